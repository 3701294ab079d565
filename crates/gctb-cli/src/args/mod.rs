//! What can be typed: verbs, flags, their defaults and their help. It must not know what the verbs do.

pub(crate) mod operator;
pub(crate) mod rails;
pub(crate) mod start;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use self::operator::{ConflictsVerb, DeadVerb, ExceptionsVerb, FilesVerb, MigrateArgs, ReplayArgs, TopicsVerb, secret};
use self::rails::{PaymentsVerb, RailVerb};
use crate::simulate::books::BookOf;

/// Most disbursements that `gctb simulate` makes in one run. The eight-digit beneficiary numbers bound it, and ten
/// million already take an hour.
const SIMULATE_COUNT_MAX: u64 = 10_000_000;

/// The operator's and tester's command of the G2P Cash Transfer Bridge.
#[derive(Debug, Parser)]
#[command(
    name = "gctb",
    version,
    about = "Submit, follow and operate payment batches of the G2P Cash Transfer Bridge",
    after_help = "Exit codes: 0 done, 1 the answer is no, 2 wrong call. Every flag that names a server can be set in \
                  the environment instead; `gctb VERB --help` shows its name."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// One verb per task.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Submit(SubmitArgs),
    Status(StatusArgs),
    Simulate(SimulateArgs),
    Migrate(MigrateArgs),
    #[command(subcommand)]
    Topics(TopicsVerb),
    Replay(ReplayArgs),
    #[command(subcommand)]
    Dead(DeadVerb),
    #[command(subcommand)]
    Files(FilesVerb),
    #[command(subcommand)]
    Exceptions(ExceptionsVerb),
    #[command(subcommand)]
    Conflicts(ConflictsVerb),
    #[command(subcommand)]
    Payments(PaymentsVerb),
    #[command(subcommand)]
    Rail(RailVerb),
}

/// Where the bridge's API is.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApiArgs {
    /// Base URL of gctb-api
    #[arg(long = "api", env = "GCTB_CLI__API__URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
}

/// Send a disbursement message to the bridge and show what it says about each item
///
/// FILE is a G2P Connect disburse message in JSON and is sent byte for byte. Sending the same file again changes
/// nothing: the bridge answers as the first time. Sums are exact, in units of the currency (KES 10.50).
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb submit docs/examples/disburse-small.json")]
pub(crate) struct SubmitArgs {
    /// The message, or - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what became of a batch: counts and exact sums by status and reason
///
/// The batch is read through the status API, page by page, as its sender would read it. Sums are in units of the
/// currency (KES 10.50).
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb status 5c1e7f0a-6e0f-4c58-9d3f-0f6f5a1f7a10 --watch")]
pub(crate) struct StatusArgs {
    /// The batch's transaction_id
    #[arg(value_name = "TXN")]
    pub(crate) transaction: String,
    /// Wait, with a progress bar, until every instruction has ended
    #[arg(long)]
    pub(crate) watch: bool,
    /// How long --watch waits at most (s, m or h), after which the table is shown as it stands
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub(crate) deadline: Duration,
    /// The sender_id that the batch was sent under
    #[arg(long, value_name = "ID", default_value = "payments.openg2p.org")]
    pub(crate) sender: String,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Submit a fresh batch made from FILE, wait for its end and compare the bridge with the simulated rails' own books
///
/// FILE is a disburse message that serves as a template (docs/examples/README.md says what is replaced). Needs a
/// bridge whose payments all end at gctb-simulator's rails, and no other batch in flight: the books are compared by what
/// they gained. The last line is the equation over all books; exit code 1 says that it does not hold.
#[derive(Debug, Args)]
#[command(after_help = "Example: gctb simulate docs/examples/disburse-1000.json --count 100000 --deadline 10m")]
pub(crate) struct SimulateArgs {
    /// The template
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How many disbursements to send; the file's pattern is repeated or cut, and more than 100,000 go as several
    /// batches [default: as many as the file has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SIMULATE_COUNT_MAX))]
    pub(crate) count: Option<u64>,
    /// How long to wait for the last instruction to end (s, m or h)
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = duration)]
    pub(crate) deadline: Duration,
    /// What goes wrong on the simulator's rails meanwhile, as JSON: faults by rule, or by chance and seed. Afterwards they
    /// behave as before. docs/simulator.md lists every knob
    ///
    /// {"seed": 7, "chances": [{"rail": "mojaloop", "stage": "commit", "per_million": 20000,
    /// "fault": {"error_after": {"status": 500}}}]} lets 2 of 100 payments answer with an error after they were made.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) faults: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Base URL of gctb-simulator, whose rails keep the books
    #[arg(
        long = "simulator",
        env = "GCTB_CLI__SIMULATOR__URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8090"
    )]
    pub(crate) simulator_url: String,
    /// Which book of the simulator (bank, mpesa, simple-mpesa, mojaloop) has what a payment backend pays
    #[arg(
        long,
        env = "GCTB_CLI__SIMULATOR__BOOKS",
        value_name = "BACKEND=BOOK,…",
        value_delimiter = ',',
        default_value = "file=bank,mpesa=mpesa,simple=simple-mpesa,mojaloop=mojaloop"
    )]
    pub(crate) books: Vec<BookOf>,
    /// postgres://user:password@host:port/database, never printed: with it each book is compared with what the bridge's
    /// tables say that its backend paid, without it all books together with the status API
    #[arg(
        long = "database",
        env = "GCTB_CLI__DATABASE__URL",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret
    )]
    pub(crate) database_url: Option<SecretString>,
}

/// Reads `90s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a whole number and a unit: 90s, 5m or 1h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_tells_in_its_help_what_it_does_and_gives_an_example() {
        fn check(command: &clap::Command, path: &str) {
            for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
                let path = format!("{path} {}", verb.get_name());
                assert!(verb.get_about().is_some(), "{path} does not say what it does");
                if verb.has_subcommands() {
                    check(verb, &path);
                } else {
                    let example = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(example.contains(&format!("Example: {path}")), "{path} has no example");
                }
            }
        }
        check(&Cli::command(), "gctb");
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for text in ["", "5", "s", "-5s", "1.5s", "5d", "5é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
