//! The topics: their names, and what `deploy/topics.toml` declares about each.

use std::time::Duration;

use gctb_domain::BackendName;
use serde::Deserialize;

/// A topic of the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Instructions accepted and due; [`crate::InstructionChunk`].
    Batches,
    /// Instructions whose payee's id waits for the ID account mapper; [`crate::InstructionChunk`].
    Resolve,
    /// Resolved instructions for one backend; [`crate::PaymentChunk`].
    Payments(BackendName),
    /// Changes of the ledger; [`crate::StatusChunk`].
    Status,
    /// Batches that finished or progressed; [`crate::BatchProgress`].
    Completions,
    /// Entries of another topic that nobody could handle.
    Dead(Box<Topic>),
}

impl Topic {
    /// The topic's name in Kafka.
    pub fn name(&self) -> String {
        match self {
            Self::Batches => "gctb.batches".to_owned(),
            Self::Resolve => "gctb.resolve".to_owned(),
            Self::Payments(backend) => format!("gctb.payments.{backend}"),
            Self::Status => "gctb.status".to_owned(),
            Self::Completions => "gctb.completions".to_owned(),
            Self::Dead(topic) => format!("{}.dead", topic.name()),
        }
    }

    /// Reads a topic's name.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(topic) = name.strip_suffix(".dead") {
            let topic = Self::from_name(topic)?;
            return (!matches!(topic, Self::Dead(_))).then(|| Self::Dead(Box::new(topic)));
        }
        if let Some(backend) = name.strip_prefix("gctb.payments.") {
            return BackendName::parse(backend).ok().map(Self::Payments);
        }
        [Self::Batches, Self::Resolve, Self::Status, Self::Completions].into_iter().find(|topic| topic.name() == name)
    }

    /// Where this topic's dead letters go.
    pub fn dead(&self) -> Self {
        match self {
            Self::Dead(_) => self.clone(),
            Self::Batches | Self::Resolve | Self::Payments(_) | Self::Status | Self::Completions => {
                Self::Dead(Box::new(self.clone()))
            }
        }
    }

    /// Every topic of a deployment with these backends, dead-letter topics last.
    pub fn all(backends: &[BackendName]) -> Vec<Self> {
        let mut topics = vec![Self::Batches, Self::Resolve, Self::Status, Self::Completions];
        topics.extend(backends.iter().cloned().map(Self::Payments));
        let dead: Vec<Self> = topics.iter().map(Self::dead).collect();
        topics.extend(dead);
        topics
    }
}

/// What `deploy/topics.toml` declares about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDeclaration {
    /// The topic.
    pub topic: Topic,
    /// How many partitions it has.
    pub partitions: i32,
    /// How long messages are kept.
    pub retention: Duration,
}

/// The declarations of every topic of a deployment with these backends.
///
/// # Errors
/// [`TopicsError`] where the embedded file is unreadable or lacks a topic; a test reads it.
pub fn declared_topics(backends: &[BackendName]) -> Result<Vec<TopicDeclaration>, TopicsError> {
    let file: TopicsFile = config::Config::builder()
        .add_source(config::File::from_str(include_str!("../../../deploy/topics.toml"), config::FileFormat::Toml))
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(TopicsError::Unreadable)?;
    let declare = |topic: Topic| {
        let pattern = match &topic {
            Topic::Batches | Topic::Resolve | Topic::Status | Topic::Completions => topic.name(),
            Topic::Payments(_) => "gctb.payments.<backend>".to_owned(),
            Topic::Dead(_) => "<topic>.dead".to_owned(),
        };
        let declared = file.topic.iter().find(|declared| declared.name == pattern);
        let declared = declared.ok_or(TopicsError::Missing { pattern })?;
        Ok(TopicDeclaration { partitions: declared.partitions, retention: days(&declared.retention)?, topic })
    };
    Topic::all(backends).into_iter().map(declare).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicsFile {
    topic: Vec<Declared>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    partitions: i32,
    retention: String,
}

fn days(text: &str) -> Result<Duration, TopicsError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    days.map(|days| Duration::from_secs(days * 86_400)).ok_or_else(|| TopicsError::Retention { text: text.to_owned() })
}

/// What can be wrong with `deploy/topics.toml`.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// Not TOML, or with unknown or missing keys.
    #[error("could not read deploy/topics.toml")]
    Unreadable(#[source] config::ConfigError),
    /// A topic has no declaration.
    #[error("deploy/topics.toml does not declare {pattern}")]
    Missing {
        /// The declaration's name.
        pattern: String,
    },
    /// A retention that is not a number of days.
    #[error("deploy/topics.toml: the retention {text:?} is not a number of days such as \"7d\"")]
    Retention {
        /// What stands there.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_declared_and_reads_back_from_its_name() {
        let backends = [BackendName::parse("file").expect("a name"), BackendName::parse("mpesa").expect("a name")];
        let declared = declared_topics(&backends).expect("the file is complete");
        let names: Vec<String> = declared.iter().map(|declared| declared.topic.name()).collect();
        let expected = [
            "gctb.batches",
            "gctb.resolve",
            "gctb.status",
            "gctb.completions",
            "gctb.payments.file",
            "gctb.payments.mpesa",
            "gctb.batches.dead",
            "gctb.resolve.dead",
            "gctb.status.dead",
            "gctb.completions.dead",
            "gctb.payments.file.dead",
            "gctb.payments.mpesa.dead",
        ];
        assert_eq!(names, expected);
        for declared in declared {
            assert_eq!(Topic::from_name(&declared.topic.name()), Some(declared.topic));
        }
        for name in ["gctb.batches.dead.dead", "gctb.payments.File", "orders"] {
            assert_eq!(Topic::from_name(name), None, "{name}");
        }
    }
}
