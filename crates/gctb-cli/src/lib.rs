//! The `gctb` command: submit a batch, follow it, prove by the bank's own book that everybody was paid once; and what
//! operators do: migrations, topics, replays, dead letters, payment files.
//!
//! Results go to the writer that the caller gives (standard output), everything else to standard error. Exit codes:
//! 0 it did what was asked, 1 it says no, 2 it was called wrongly.
//!
//! Nothing here decides about a payment. What is sent over HTTP is what any sender could send, and what operators change
//! goes through the verbs of `gctb-db` and `gctb-runtime`.

mod args;
mod breakdown;
mod bridge;
mod error;
mod http;
mod operator;
mod progress;
mod simulate;
mod status;
mod submit;
mod sums;
mod table;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Verb};
use crate::error::CliError;

/// What a verb found, where that is not an error of the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// As it should be: exit code 0.
    Good,
    /// The answer is no, and the verb has said why: exit code 1.
    Bad,
}

/// Environment variables of the process, as text.
pub type Variables = Vec<(String, String)>;

/// Runs the command with the arguments `argv` (the program's name first) and writes its results to `out`.
///
/// Flags that are missing are looked up in the process' environment; of `environment`, further Kafka properties are read.
pub fn run(argv: impl IntoIterator<Item = OsString>, environment: Variables, out: &mut dyn Write) -> ExitCode {
    if let Some(variable) = unknown_variable(&environment) {
        eprintln!("gctb: the environment variable {variable} is not known; `gctb VERB --help` names those that are.");
        return ExitCode::from(2);
    }
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(usage) => return print_usage(&usage),
    };
    match dispatch(cli.verb, environment, out) {
        Ok(Finding::Good) => ExitCode::SUCCESS,
        Ok(Finding::Bad) => ExitCode::from(1),
        // `gctb status … | head` is no failure: the reader has seen enough.
        Err(CliError::Output(cause)) if cause.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gctb: {}", error.sentence());
            ExitCode::from(1)
        }
    }
}

/// What can be typed: verbs, flags and their variables. For tests of the documents that name them.
pub fn command() -> clap::Command {
    Cli::command()
}

/// A variable that is meant for this command and that nothing reads: most likely a slip of the pen. Those of Kafka are
/// checked where they are read.
fn unknown_variable(environment: &Variables) -> Option<&str> {
    let mut known = Vec::new();
    collect_variables(&Cli::command(), &mut known);
    let ours = environment.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("GCTB_CLI__"));
    ours.filter(|name| !name.starts_with("GCTB_CLI__KAFKA__")).find(|name| !known.iter().any(|known| known == name))
}

fn collect_variables(command: &clap::Command, known: &mut Vec<String>) {
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    known.extend(variables.filter_map(|variable| variable.to_str().map(str::to_owned)));
    for verb in command.get_subcommands() {
        collect_variables(verb, known);
    }
}

/// Help and version are results, everything else that clap says is a wrong call.
fn print_usage(usage: &clap::Error) -> ExitCode {
    // Where standard output is closed there is nobody left to tell.
    let _ = usage.print();
    ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2))
}

fn dispatch(verb: Verb, environment: Variables, out: &mut dyn Write) -> Result<Finding, CliError> {
    match verb {
        Verb::Submit(args) => in_runtime(submit::run(args, out)),
        Verb::Status(args) => in_runtime(status::run(args, out)),
        Verb::Simulate(args) => in_runtime(simulate::run(args, out)),
        Verb::Migrate(args) => operator::migrate::run(&args, out),
        Verb::Topics(verb) => operator::topics::run(&verb, environment, out),
        Verb::Replay(args) => operator::replay::run(&args, environment, out),
        Verb::Dead(verb) => operator::dead::run(&verb, environment, out),
        Verb::Files(verb) => operator::files::run(&verb, out),
        Verb::Exceptions(verb) => operator::exceptions::run(&verb, out),
        Verb::Conflicts(verb) => operator::conflicts::run(&verb, out),
        Verb::Payments(verb) => operator::payments::run(&verb, out),
        Verb::Rail(verb) => operator::rail::run(&verb, out),
    }
}

fn in_runtime(verb: impl Future<Output = Result<Finding, CliError>>) -> Result<Finding, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    runtime.block_on(verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_reads_is_refused_by_name() {
        let variables =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect::<Variables>();
        let known = [
            "PATH",
            "GCTB_CLI__API__URL",
            "GCTB_CLI__DATABASE__URL",
            "GCTB_CLI__KAFKA__BROKERS",
            "GCTB_CLI__SIMULATOR__URL",
        ];
        assert_eq!(unknown_variable(&variables(&known)), None);
        assert_eq!(unknown_variable(&variables(&["GCTB_CLI__API__URI"])), Some("GCTB_CLI__API__URI"));
    }
}
