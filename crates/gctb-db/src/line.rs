//! How long a connection to Postgres may be silent, said in libpq's words.
//!
//! Without these limits a connection whose other end vanished (a machine that lost its power, a firewall that forgot it) is
//! waited for as long as the kernel likes: a quarter of an hour for a statement, hours for one that idles. A limit that the
//! URL names itself is left as it is.

use std::time::Duration;

/// Probes that may stay unanswered, after the first one at a half of the silence.
const PROBES: u64 = 3;

/// The URL, or the `key=value` words, with libpq's time limits.
pub(crate) fn with_limits(url: &str, connect: Duration, silence: Duration) -> String {
    let silence_s = silence.as_secs().max(2);
    let limits = [
        // libpq takes 1 for 2, and 0 for no limit.
        ("connect_timeout", connect.as_secs().max(2)),
        ("keepalives_idle", silence_s / 2),
        ("keepalives_interval", (silence_s / (2 * PROBES)).max(1)),
        ("keepalives_count", PROBES),
        ("tcp_user_timeout", silence_s * 1000),
    ];
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let mut limited = url.to_owned();
    for (key, value) in limits.into_iter().filter(|(key, _)| !url.contains(&format!("{key}="))) {
        let before = match (is_url, limited.contains('?')) {
            (true, false) => '?',
            (true, true) => '&',
            (false, _) => ' ',
        };
        limited.push_str(&format!("{before}{key}={value}"));
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(url: &str) -> String {
        with_limits(url, Duration::from_secs(5), Duration::from_secs(30))
    }

    #[test]
    fn every_connection_has_limits_and_those_of_the_url_stand() {
        let all =
            "connect_timeout=5&keepalives_idle=15&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=30000";
        assert_eq!(limited("postgres://gctb@db:5432/gctb"), format!("postgres://gctb@db:5432/gctb?{all}"));
        assert_eq!(
            limited("postgres://db/gctb?sslmode=verify-full&connect_timeout=9"),
            format!("postgres://db/gctb?sslmode=verify-full&connect_timeout=9&{}", &all["connect_timeout=5&".len()..])
        );
        assert_eq!(limited("host=db dbname=gctb"), format!("host=db dbname=gctb {}", all.replace('&', " ")));
    }
}
