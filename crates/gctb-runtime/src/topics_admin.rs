//! Makes the topics what `deploy/topics.toml` declares, and checks that they are. Services only check.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use gctb_events::{Topic, TopicDeclaration};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication, TopicResult,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::block_on::block_on;
use crate::client::{self, Quiet};
use crate::health::Health;
use crate::positions::is_unreachable;
use crate::settings::KafkaSettings;
use crate::shutdown::Shutdown;

/// How long new topics may take to get their leaders.
const LEADERS_DEADLINE: Duration = Duration::from_secs(30);
/// How often to look meanwhile.
const LEADERS_POLL: Duration = Duration::from_millis(100);
/// Waiting time between attempts while no broker answers at a service's start.
const START_RETRY: Duration = Duration::from_secs(2);
/// The broker's own replication factor: one on a laptop, three in production.
const DEFAULT_REPLICATION: i32 = -1;

const RETENTION: &str = "retention.ms";

/// Administers topics.
pub struct TopicAdmin {
    admin: AdminClient<Quiet>,
    brokers: String,
    timeout: Duration,
}

/// What [`TopicAdmin::apply`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// A topic was made.
    Created {
        /// Its name.
        topic: String,
        /// Its partitions.
        partitions: i32,
    },
    /// A topic got more partitions.
    PartitionsRaised {
        /// Its name.
        topic: String,
        /// How many it had.
        from: i32,
        /// How many it has.
        to: i32,
    },
    /// A topic keeps its messages for another time.
    RetentionSet {
        /// Its name.
        topic: String,
        /// Milliseconds before, as Kafka had them.
        from: String,
        /// Milliseconds now.
        to: String,
    },
}

impl fmt::Display for TopicChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { topic, partitions } => write!(f, "{topic}: created with {partitions} partitions"),
            Self::PartitionsRaised { topic, from, to } => write!(f, "{topic}: partitions raised from {from} to {to}"),
            Self::RetentionSet { topic, from, to } => write!(f, "{topic}: retention.ms set from {from} to {to}"),
        }
    }
}

/// In what a topic differs from its declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicProblem {
    /// It does not exist.
    Missing {
        /// Its name.
        topic: String,
    },
    /// It has fewer partitions than declared.
    TooFewPartitions {
        /// Its name.
        topic: String,
        /// How many it has.
        has: i32,
        /// How many are declared.
        declared: i32,
    },
}

impl fmt::Display for TopicProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { topic } => write!(f, "{topic} does not exist"),
            Self::TooFewPartitions { topic, has, declared } => {
                write!(f, "{topic} has {has} partitions, {declared} are declared")
            }
        }
    }
}

/// Why topics were not applied or checked.
#[derive(Debug, thiserror::Error)]
pub enum TopicAdminError {
    /// The client could not be made from the settings.
    #[error("could not make a Kafka client from the settings: {reason}")]
    Create {
        /// librdkafka's words.
        reason: String,
    },
    /// No broker answered in time.
    #[error("could not {doing}: no Kafka broker answers at {brokers}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// The setting kafka.brokers.
        brokers: String,
    },
    /// Kafka refused.
    #[error("could not {doing}: {reason}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// Kafka's words.
        reason: String,
    },
    /// Topics did not become usable in time.
    #[error("after {deadline:?} these topics had no leaders: {}", topics.join(", "))]
    NoLeaders {
        /// How long it took.
        deadline: Duration,
        /// Which topics.
        topics: Vec<String>,
    },
    /// Topics are not as declared.
    #[error("the topics are not as declared ({}); run `gctb topics apply`", sentences(problems))]
    NotAsDeclared {
        /// In what.
        problems: Vec<TopicProblem>,
    },
}

fn sentences(problems: &[TopicProblem]) -> String {
    problems.iter().map(TopicProblem::to_string).collect::<Vec<_>>().join("; ")
}

/// What Kafka has under a topic's name.
struct Found {
    partitions: i32,
    all_have_leaders: bool,
}

impl TopicAdmin {
    /// A client. It does not wait for Kafka.
    ///
    /// # Errors
    /// [`TopicAdminError::Create`] where the settings cannot be used.
    pub fn new(settings: &KafkaSettings) -> Result<Self, TopicAdminError> {
        let admin = client::config(settings, "gctb-topics")
            .create_with_context(Quiet)
            .map_err(|error| TopicAdminError::Create { reason: client::creation_error(&error) })?;
        Ok(Self { admin, brokers: settings.brokers.clone(), timeout: settings.request_timeout })
    }

    /// Makes missing topics, raises partition counts, sets retention; then waits until every topic can be used.
    /// Applying twice changes nothing. Partitions are never taken away, and other settings of a topic are left alone.
    ///
    /// # Errors
    /// [`TopicAdminError`]; what was done before it stays done.
    pub fn apply(&self, declared: &[TopicDeclaration]) -> Result<Vec<TopicChange>, TopicAdminError> {
        let found = self.found()?;
        let mut changes = Vec::new();
        let (existing, missing): (Vec<_>, Vec<_>) =
            declared.iter().partition(|declared| found.contains_key(&declared.topic.name()));
        self.create(&missing, &mut changes)?;
        self.raise_partitions(&existing, &found, &mut changes)?;
        self.set_retention(&existing, &mut changes)?;
        self.wait_for_leaders(declared)?;
        Ok(changes)
    }

    /// Deletes topics with all their messages, and returns when Kafka no longer lists them. Those that do not exist are
    /// passed over. No service does this: it is for tests, and harmless to payments (a lost topic strands nothing).
    ///
    /// # Errors
    /// [`TopicAdminError`]; what was done before it stays done.
    pub fn delete(&self, topics: &[Topic]) -> Result<(), TopicAdminError> {
        let doing = "delete topics";
        let found = self.found()?;
        let names: Vec<String> = topics.iter().map(Topic::name).filter(|name| found.contains_key(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = names.iter().map(String::as_str).collect();
        let results = block_on(self.admin.delete_topics(&named, &self.options()));
        self.all_done(doing, results.map_err(|error| self.error(doing, &error))?)?;
        let deadline = Instant::now() + LEADERS_DEADLINE;
        while self.found()?.keys().any(|name| names.contains(name)) {
            if Instant::now() > deadline {
                let reason = format!("still listed after {LEADERS_DEADLINE:?}");
                return Err(TopicAdminError::Refused { doing, reason });
            }
            std::thread::sleep(LEADERS_POLL);
        }
        Ok(())
    }

    /// In what the topics differ from their declarations so far that a service cannot work. Changes nothing.
    ///
    /// # Errors
    /// [`TopicAdminError::Unreachable`] or [`TopicAdminError::Refused`].
    pub fn check(&self, declared: &[TopicDeclaration]) -> Result<Vec<TopicProblem>, TopicAdminError> {
        let found = self.found()?;
        let problem = |declared: &TopicDeclaration| {
            let topic = declared.topic.name();
            match found.get(&topic) {
                None => Some(TopicProblem::Missing { topic }),
                Some(found) if found.partitions < declared.partitions => {
                    Some(TopicProblem::TooFewPartitions { topic, has: found.partitions, declared: declared.partitions })
                }
                Some(_) => None,
            }
        };
        Ok(declared.iter().filter_map(problem).collect())
    }

    fn found(&self) -> Result<BTreeMap<String, Found>, TopicAdminError> {
        let metadata = self.admin.inner().fetch_metadata(None, self.timeout);
        let metadata = metadata.map_err(|error| self.error("list the topics", &error))?;
        let found = metadata.topics().iter().filter(|topic| topic.error().is_none()).map(|topic| {
            let partitions = topic.partitions();
            let all_have_leaders = partitions.iter().all(|partition| partition.leader() >= 0);
            let partitions = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
            (topic.name().to_owned(), Found { partitions, all_have_leaders })
        });
        Ok(found.collect())
    }

    fn create(&self, missing: &[&TopicDeclaration], changes: &mut Vec<TopicChange>) -> Result<(), TopicAdminError> {
        if missing.is_empty() {
            return Ok(());
        }
        let doing = "create topics";
        let texts: Vec<(String, String)> =
            missing.iter().map(|declared| (declared.topic.name(), retention_ms(declared))).collect();
        let topics: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&texts)
            .map(|(declared, (name, retention))| {
                let replication = TopicReplication::Fixed(DEFAULT_REPLICATION);
                NewTopic::new(name, declared.partitions, replication).set(RETENTION, retention)
            })
            .collect();
        let results = block_on(self.admin.create_topics(&topics, &self.options()));
        self.all_done(doing, results.map_err(|error| self.error(doing, &error))?)?;
        let created = |declared: &&TopicDeclaration| TopicChange::Created {
            topic: declared.topic.name(),
            partitions: declared.partitions,
        };
        changes.extend(missing.iter().map(created));
        Ok(())
    }

    fn raise_partitions(
        &self,
        existing: &[&TopicDeclaration],
        found: &BTreeMap<String, Found>,
        changes: &mut Vec<TopicChange>,
    ) -> Result<(), TopicAdminError> {
        let doing = "raise the number of partitions";
        for declared in existing {
            let topic = declared.topic.name();
            let from = found.get(&topic).map_or(0, |found| found.partitions);
            let to = declared.partitions;
            if from >= to {
                continue;
            }
            let wanted = NewPartitions::new(&topic, usize::try_from(to).unwrap_or(0));
            let results = block_on(self.admin.create_partitions([&wanted], &self.options()));
            self.all_done(doing, results.map_err(|error| self.error(doing, &error))?)?;
            changes.push(TopicChange::PartitionsRaised { topic, from, to });
        }
        Ok(())
    }

    fn set_retention(
        &self,
        existing: &[&TopicDeclaration],
        changes: &mut Vec<TopicChange>,
    ) -> Result<(), TopicAdminError> {
        for declared in existing {
            let (topic, to) = (declared.topic.name(), retention_ms(declared));
            let config = self.describe(&topic)?;
            let from = config.get(RETENTION).and_then(|entry| entry.value.clone()).unwrap_or_default();
            if from == to {
                continue;
            }
            self.alter_retention(&topic, &config, &to)?;
            changes.push(TopicChange::RetentionSet { topic, from, to });
        }
        Ok(())
    }

    fn describe(&self, topic: &str) -> Result<ConfigResource, TopicAdminError> {
        let doing = "read the settings of topics";
        let asked = [ResourceSpecifier::Topic(topic)];
        let described = block_on(self.admin.describe_configs(&asked, &self.options()));
        let described = described.map_err(|error| self.error(doing, &error))?;
        let none = || TopicAdminError::Refused { doing, reason: format!("{topic} was not described") };
        let first = described.into_iter().next().ok_or_else(none)?;
        first.map_err(|code| TopicAdminError::Refused { doing, reason: code.to_string() })
    }

    fn alter_retention(&self, topic: &str, config: &ConfigResource, to: &str) -> Result<(), TopicAdminError> {
        let doing = "set the retention of topics";
        // This call of Kafka replaces all: what an operator set on the topic is sent along.
        let kept = config.entries.iter().filter(|entry| entry.name != RETENTION);
        let kept = kept.filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic));
        let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(RETENTION, to);
        for entry in kept {
            if let Some(value) = &entry.value {
                wanted = wanted.set(&entry.name, value);
            }
        }
        let results = block_on(self.admin.alter_configs([&wanted], &self.options()));
        for result in results.map_err(|error| self.error(doing, &error))? {
            result.map_err(|(_, code)| TopicAdminError::Refused { doing, reason: format!("{topic}: {code}") })?;
        }
        Ok(())
    }

    fn wait_for_leaders(&self, declared: &[TopicDeclaration]) -> Result<(), TopicAdminError> {
        let deadline = Instant::now() + LEADERS_DEADLINE;
        loop {
            let found = self.found()?;
            let usable = |declared: &&TopicDeclaration| {
                let found = found.get(&declared.topic.name());
                found.is_some_and(|found| found.all_have_leaders && found.partitions >= declared.partitions)
            };
            let waiting: Vec<String> =
                declared.iter().filter(|declared| !usable(declared)).map(|declared| declared.topic.name()).collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(TopicAdminError::NoLeaders { deadline: LEADERS_DEADLINE, topics: waiting });
            }
            std::thread::sleep(LEADERS_POLL);
        }
    }

    fn all_done(&self, doing: &'static str, results: Vec<TopicResult>) -> Result<(), TopicAdminError> {
        for result in results {
            match result {
                // Somebody else applies the same declarations: what matters is that the topic is there.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(TopicAdminError::Refused { doing, reason: format!("{topic}: {code}") });
                }
            }
        }
        Ok(())
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout))
    }

    fn error(&self, doing: &'static str, error: &KafkaError) -> TopicAdminError {
        let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        if is_unreachable(error) {
            TopicAdminError::Unreachable { doing, brokers: self.brokers.clone() }
        } else {
            TopicAdminError::Refused { doing, reason }
        }
    }
}

impl fmt::Debug for TopicAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicAdmin").finish_non_exhaustive()
    }
}

fn retention_ms(declared: &TopicDeclaration) -> String {
    declared.retention.as_millis().to_string()
}

/// For a service's start: returns when Kafka answers and the topics are there. While no broker answers it waits, with
/// the health component `topics` failing, so that a service may be started before Kafka. Ok also at a shutdown.
///
/// # Errors
/// [`TopicAdminError::NotAsDeclared`], which names `gctb topics apply`, and errors that waiting does not heal.
pub fn wait_until_declared(
    settings: &KafkaSettings,
    declared: &[TopicDeclaration],
    health: &Health,
    shutdown: &Shutdown,
) -> Result<(), TopicAdminError> {
    let component = health.component("topics");
    let admin = TopicAdmin::new(settings)?;
    component.ok();
    loop {
        match admin.check(declared) {
            Ok(problems) if problems.is_empty() => {
                component.ok();
                return Ok(());
            }
            Ok(problems) => return Err(TopicAdminError::NotAsDeclared { problems }),
            Err(error @ TopicAdminError::Unreachable { .. }) => {
                if component.failing(error.to_string()) {
                    tracing::warn!(error = %error, "the service waits for Kafka before it starts its work");
                }
            }
            Err(error) => return Err(error),
        }
        if shutdown.wait_timeout(START_RETRY) {
            return Ok(());
        }
    }
}
