//! The list of crash points, `tests/crash-points.toml`, and what leads a service to each of them.

use std::path::Path;

use config::{Config, File, FileFormat};
use serde::Deserialize;

/// The environment variable that arms a point in a service that was built with the feature `crash-points`.
pub const VARIABLE: &str = "GCTB_CRASH_POINT";

/// The program that takes steps and is no service.
pub const COMMAND: &str = "gctb";

/// A durable step, with a point before it and one after it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The name of its points, without `.before` and `.after`.
    pub name: String,
    /// What becomes durable.
    pub step: String,
    /// The programs that take it, each with `:n` behind it where not the first time counts.
    pub services: Vec<String>,
    /// What leads to it.
    #[serde(default)]
    pub scenario: Scenario,
}

/// Work that leads a service to a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// A batch with good and bad disbursements.
    #[default]
    Batch,
    /// A batch for a second later, which the relay sends.
    Scheduled,
    /// A batch while Kafka is away.
    KafkaAway,
    /// A message beside the batch that nobody can read.
    Poison,
    /// A payment file whose count is not that of its lines.
    UnrenderableFile,
    /// A put that can give the file no name: the hidden one lies on another file system.
    PutThatDoesNothing,
    /// An earlier process died before it gave a payment file its name.
    BrokenDelivery,
    /// A response file that is none.
    BrokenResponse,
    /// News of a batch that the database does not know.
    UnknownBatch,
    /// A batch whose messages to Kafka got lost.
    Lost,
    /// A batch that the mapper has not read.
    SlowMapper,
    /// One process died when it had called a rail, and another before it did; their leases are over.
    AbandonedWindow,
}

impl Step {
    /// Its two points.
    pub fn points(&self) -> [String; 2] {
        ["before", "after"].map(|side| format!("{}.{side}", self.name))
    }

    /// The programs that take it, and which time counts.
    ///
    /// # Panics
    /// Where the list is no such thing.
    pub fn takers(&self) -> impl Iterator<Item = (&str, u32)> {
        self.services.iter().map(|taker| match taker.split_once(':') {
            Some((program, nth)) => (program, nth.parse().expect("a number after the service's name")),
            None => (taker.as_str(), 1),
        })
    }

    /// Where the program dies of this step: `name.before:n` and `name.after:n`.
    pub fn deaths_of(&self, program: &str) -> Vec<String> {
        let own = self.takers().filter(|(taker, _)| *taker == program);
        own.flat_map(|(_, nth)| self.points().map(|point| format!("{point}:{nth}"))).collect()
    }
}

/// The whole list, in its order.
///
/// # Panics
/// Where it cannot be read.
pub fn steps() -> Vec<Step> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        point: Vec<Step>,
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crash-points.toml");
    let source = File::from(path).format(FileFormat::Toml);
    let list = Config::builder().add_source(source).build().and_then(Config::try_deserialize::<List>);
    list.expect("tests/crash-points.toml is readable").point
}
