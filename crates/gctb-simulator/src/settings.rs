//! What an operator can choose when starting the simulator: the command line, its defaults and its limits.
//!
//! It must not know how a setting is used. What can change while the simulator runs lies in [`crate::faults`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::faults::Variant;
use crate::rail_settings::RailSettings;

/// Plays the parties around the bridge: an ID account mapper, a bank, M-Pesa, Mojaloop.
///
/// The mapper answers POST /mapper/sync/resolve. The bank takes payment files from DIR/outgoing, writes every payment
/// that it makes into its book, and answers with response files in DIR/incoming. A file that comes twice is paid
/// twice: the book then shows it.
///
/// On the same port it answers as Daraja (/oauth, /mpesa), as simple-mpesa (/api) and as the Mojaloop SDK (/transfers,
/// /parties), each with a book of what was really paid (GET /rails/mpesa/summary) and with faults on request
/// (PUT /control/faults). docs/simulator.md has every endpoint, reserved number and knob. No real money is anywhere near
/// this program.
#[derive(Debug, Clone, Parser)]
#[command(name = "gctb-simulator", version, about)]
pub struct Settings {
    /// Address to serve HTTP on; loopback only, unless --open; port 0 takes a free one
    #[arg(long, env = "GCTB_SIMULATOR__BIND", default_value = "127.0.0.1:8090", value_name = "IP:PORT")]
    pub bind: SocketAddr,

    /// Allows an address that is not loopback: everybody who reaches it can break what is being tested
    #[arg(long, env = "GCTB_SIMULATOR__OPEN")]
    pub open: bool,

    /// Directory shared with the bridge; the bank makes outgoing/ and incoming/ in it
    #[arg(long, env = "GCTB_SIMULATOR__BANK_ROOT", value_name = "DIR")]
    pub bank_root: PathBuf,

    /// The bank's book: JSON lines, one per payment actually made; made if it does not exist
    #[arg(long, env = "GCTB_SIMULATOR__BOOK", value_name = "FILE")]
    pub book: PathBuf,

    /// How often the bank looks for payment files, e.g. 200ms or 2s
    #[arg(long, env = "GCTB_SIMULATOR__BANK_POLL", default_value = "200ms", value_parser = duration, value_name = "TIME")]
    pub bank_poll: Duration,

    /// How long the bank takes from paying a file to answering it, e.g. 500ms or 1m
    #[arg(long, env = "GCTB_SIMULATOR__BANK_DELAY", default_value = "500ms", value_parser = duration, value_name = "TIME")]
    pub bank_delay: Duration,

    /// Share of the beneficiary accounts, 0 to 100, that the bank rejects with MS03 beside its fixed rules
    #[arg(long, env = "GCTB_SIMULATOR__REJECT_PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100), value_name = "N")]
    pub reject_percent: u8,

    /// Which release of the mapper to play
    #[arg(long, env = "GCTB_SIMULATOR__MAPPER_VARIANT", default_value = "spar23", value_enum, value_name = "NAME")]
    pub mapper_variant: Variant,

    /// The rails that are called.
    #[command(flatten)]
    pub rails: RailSettings,
}

/// Reads a whole number with its unit (`ms`, `s` or `m`). A poll or delay above one hour is a mistake and is refused.
fn duration(text: &str) -> Result<Duration, String> {
    const LIMIT: Duration = Duration::from_secs(3600);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("expected a number with a unit, like 200ms, not `{text}`"))?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(format!("expected the unit ms, s or m after the number, not `{unit}`")),
    };
    if duration > LIMIT { Err("the longest time is one hour".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for bad in ["", "5", "ms", "-1s", "1.5s", "2h", "99999999999999999999s", "61m"] {
            assert!(duration(bad).is_err(), "{bad} should be refused");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help_text() {
        let settings =
            Settings::try_parse_from(["gctb-simulator", "--bank-root", "bank", "--book", "book.jsonl"]).expect("valid");
        assert_eq!(settings.bind.to_string(), "127.0.0.1:8090");
        assert_eq!(settings.bank_delay, Duration::from_millis(500));
        assert!(
            Settings::try_parse_from(["gctb-simulator", "--bank-root", "b", "--book", "f", "--reject-percent", "101"])
                .is_err()
        );
    }
}
