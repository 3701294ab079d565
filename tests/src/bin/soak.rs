//! `make soak`: batches and faults drawn from printed seeds, and every invariant checked after each.
//!
//! ONLY=rails tries the rails that are called instead of payment files, one of them for each seed. SEED=x runs exactly one; otherwise SEEDS=n of them from START on, which is drawn from the clock where it is not given, every
//! STEP-th (soak.sh shares the seeds out among jobs, and GCTB_SOAK_RESULT names the file to which each writes its last line,
//! which is printed otherwise). The servers are those of GCTB_TEST_DATABASE_URL and GCTB_TEST_KAFKA.

use std::fmt;
use std::io::{Write, stderr, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gctb_system_tests::rails::Rail;
use gctb_system_tests::rails::trial::Trial;
use gctb_system_tests::soak::{self, Outcome, Plan};

/// How many seeds are run where nobody says.
const SEEDS: u64 = 20;
/// Payments of a trial of a rail, and disturbances beside its two replays.
const TRIAL: (u64, usize) = (4_000, 7);

fn main() -> ExitCode {
    let seeds = match seeds() {
        Ok(seeds) => seeds,
        Err(why) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(stderr(), "soak: {why}");
            return ExitCode::from(2);
        }
    };
    let mut sum = Outcome::default();
    let mut failed = Vec::new();
    for seed in &seeds {
        match run(*seed) {
            Ok(Some(outcome)) => {
                sum.received += outcome.received;
                sum.paid += outcome.paid;
                sum.failed += outcome.failed;
            }
            Ok(None) => {
                say("soak: GCTB_TEST_DATABASE_URL and GCTB_TEST_KAFKA must name the servers; make soak starts them");
                return ExitCode::from(2);
            }
            Err(()) => failed.push(*seed),
        }
    }
    tell(seeds.len(), &sum, &failed)
}

/// Runs a seed, and prints its line.
fn run(seed: u64) -> Result<Option<Outcome>, ()> {
    let story = Story::of(seed);
    let what = story.to_string();
    let began = Instant::now();
    // A failure is a panic with a sentence, which stands on standard error with the ends of the logs and where they are kept.
    let outcome = catch_unwind(AssertUnwindSafe(|| story.run()));
    let millis = began.elapsed().as_millis();
    let took = format!("{}.{} s", millis / 1000, millis / 100 % 10);
    match outcome {
        Ok(outcome) => {
            if let Some(outcome) = &outcome {
                let notes =
                    if outcome.notes.is_empty() { String::new() } else { format!(" ({})", outcome.notes.join(", ")) };
                say(&format!("{what}{notes}; {took}, ok"));
            }
            Ok(outcome)
        }
        Err(panic) => {
            say(&format!("{what}; {took}, FAILED: {}", sentence(panic.as_ref())));
            let only = if is_of_rails() { " ONLY=rails" } else { "" };
            say(&format!("again: make soak SEED={seed}{only}"));
            Err(())
        }
    }
}

fn is_of_rails() -> bool {
    std::env::var("ONLY").is_ok_and(|only| only == "rails")
}

/// What a seed is about.
enum Story {
    Files(Plan),
    Rail(Trial),
}

impl Story {
    fn of(seed: u64) -> Self {
        if is_of_rails() {
            let rail = Rail::ALL[(seed % 3) as usize];
            Self::Rail(Trial::of(rail, seed, TRIAL.0, TRIAL.1))
        } else {
            Self::Files(Plan::of(seed))
        }
    }

    fn run(self) -> Option<Outcome> {
        match self {
            Self::Files(plan) => soak::run("soak", plan),
            Self::Rail(trial) => trial.run("soak").map(|outcome| Outcome {
                received: outcome.received,
                paid: outcome.after.paid,
                failed: outcome.after.not_paid,
                notes: vec![format!("{} were a person's", outcome.before.unknown)],
            }),
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(plan) => plan.fmt(f),
            Self::Rail(trial) => trial.fmt(f),
        }
    }
}

/// What a panic says, in one line.
fn sentence(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("it says nothing").trim_start_matches("assertion `left == right` failed: ");
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ").chars().take(400).collect()
}

fn tell(seeds: usize, sum: &Outcome, failed: &[u64]) -> ExitCode {
    let Outcome { received, paid, failed: refused, .. } = sum;
    if !failed.is_empty() {
        let names: Vec<String> = failed.iter().map(u64::to_string).collect();
        conclude(&format!("soak: {} of {seeds} seeds FAILED: {}", failed.len(), names.join(" ")));
        return ExitCode::FAILURE;
    }
    conclude(&format!(
        "soak: {seeds} seeds, {received} received = {paid} paid + {refused} failed + 0 in flight; 0 lost; 0 paid twice"
    ));
    ExitCode::SUCCESS
}

/// The seeds of this run.
fn seeds() -> Result<Vec<u64>, String> {
    if let Some(seed) = number("SEED")? {
        return Ok(vec![seed]);
    }
    let (count, step) = (number("SEEDS")?.unwrap_or(SEEDS), number("STEP")?.unwrap_or(1));
    let start = number("START")?.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_secs() % 1_000_000 * 1000)
    });
    if std::env::var_os("GCTB_SOAK_RESULT").is_none() {
        say(&format!("soak: {count} seeds from {start}"));
    }
    Ok((0..count).map(|n| start + n * step).collect())
}

/// A whole number of the environment; None where it is not set.
fn number(name: &str) -> Result<Option<u64>, String> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|_| format!("{name}={text} is no whole number")),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// The last line: to the file that adds the jobs up, or to whoever looks on.
fn conclude(line: &str) {
    match std::env::var_os("GCTB_SOAK_RESULT") {
        Some(path) if std::fs::write(&path, format!("{line}\n")).is_ok() => {}
        Some(_) | None => say(line),
    }
}

fn say(line: &str) {
    // A reader who has gone away does not stop the soak.
    let _ = writeln!(stdout(), "{line}");
}
