//! The two ways in which senders write a time, and the one in which we do.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};

/// A text that is no time in either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 2026-07-01T08:30:00Z, or 2026-07-01 08:30:00 for UTC")]
pub struct TimeError;

/// Reads RFC 3339 with a zone, or `YYYY-MM-DD HH:MM:SS[.ffffff]` (also with `T`) without one, which means UTC: that is
/// what Python's `str(datetime.utcnow())` gives and OpenG2P's client sends.
pub(crate) fn parse(text: &str) -> Result<DateTime<Utc>, TimeError> {
    // Nearly every time is read here: chrono is much quicker with this form than with one that is spelt out.
    let rfc3339 = DateTime::parse_from_rfc3339;
    if let Ok(time) = rfc3339(text).or_else(|_| rfc3339(&format!("{text}Z"))) {
        return Ok(time.to_utc());
    }
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .filter(|_| has_four_digit_year(text))
        .map(|time| time.and_utc())
        .ok_or(TimeError)
}

/// chrono's `%Y` also takes signs and longer years, which Postgres and people read differently.
fn has_four_digit_year(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 4 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn format(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_no_zone_means_utc() {
        let table = [
            ("2026-07-01T08:30:00.000Z", Ok("2026-07-01T08:30:00.000Z")),
            ("2026-07-01T11:30:00+03:00", Ok("2026-07-01T08:30:00.000Z")),
            ("2023-11-28 10:11:12.123456", Ok("2023-11-28T10:11:12.123Z")),
            ("2023-11-28 10:11:12", Ok("2023-11-28T10:11:12.000Z")),
            ("2023-11-28T10:11:12", Ok("2023-11-28T10:11:12.000Z")),
            ("", Err(TimeError)),
            ("tomorrow", Err(TimeError)),
            ("2023-11-28", Err(TimeError)),
            ("2023-13-28 10:11:12", Err(TimeError)),
            ("+12023-11-28 10:11:12", Err(TimeError)),
            ("1700000000", Err(TimeError)),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).map(format), expected.map(str::to_owned), "{text}");
        }
    }
}
