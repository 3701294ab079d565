//! `gctb dead`: the entries that no consumer could handle.
//!
//! What is inside an entry may be personal data: it is shown only where `--payload` asks for it.

mod letter;
mod list;
mod redrive;
mod show;

use std::io::Write;
use std::time::Duration;

use gctb_runtime::{KafkaSettings, Positions, read_topic};

use self::letter::Letter;
use super::reach;
use crate::args::operator::{DeadRange, DeadVerb};
use crate::error::CliError;
use crate::{Finding, Variables};

/// How long reading a dead-letter topic may take.
const READ_TIME_MAX: Duration = Duration::from_secs(60);

/// Lists, shows or sends again.
pub(crate) fn run(verb: &DeadVerb, environment: Variables, out: &mut dyn Write) -> Result<Finding, CliError> {
    match verb {
        DeadVerb::List(args) => list::run(args, &reach::kafka(&args.kafka, environment)?, out),
        DeadVerb::Show(args) => show::run(args, &reach::kafka(&args.kafka, environment)?, out),
        DeadVerb::Redrive(args) => redrive::run(args, &reach::kafka(&args.kafka, environment)?, out),
    }
}

/// The dead letters of a topic, which may be named with or without `.dead`.
fn letters(kafka: &KafkaSettings, topic: &str, range: &DeadRange) -> Result<Vec<Letter>, CliError> {
    let dead = reach::topic(topic)?.dead();
    let positions = Positions::new(kafka)?;
    let from = reach::read_from(&range.from, &positions, &dead.name())?;
    let messages = read_topic(kafka, &dead.name(), &from, range.limit as usize, READ_TIME_MAX)?;
    Ok(messages.into_iter().map(|message| Letter::of(&dead, message)).collect())
}
