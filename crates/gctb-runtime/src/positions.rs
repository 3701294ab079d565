//! Where topics begin and end, how far a group has come, and setting a group back for a replay.
//!
//! A position is a hint and never a proof of what was done: only Postgres knows that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::{self, Quiet};
use crate::replay::ReadFrom;
use crate::settings::KafkaSettings;

/// How long to wait before a coordinator that moves is asked again.
const COORDINATOR_POLL: Duration = Duration::from_millis(50);

/// Asks Kafka about offsets, outside any consumer group.
pub struct Positions {
    settings: KafkaSettings,
    consumer: BaseConsumer<Quiet>,
}

/// The ends of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The oldest offset that is kept.
    pub low: i64,
    /// The offset that the next message will get.
    pub high: i64,
}

/// What a reset does to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMove {
    /// The partition.
    pub partition: i32,
    /// Where the group stands; None where it has committed nothing.
    pub from: Option<i64>,
    /// Where it will go on.
    pub to: i64,
}

/// Why offsets are not known or were not moved.
#[derive(Debug, thiserror::Error)]
pub enum PositionsError {
    /// The client could not be made from the settings.
    #[error("could not make a Kafka client from the settings: {reason}")]
    Create {
        /// librdkafka's words.
        reason: String,
    },
    /// Kafka did not answer or refused.
    #[error("could not {doing} {what}: {reason}")]
    Kafka {
        /// What was asked.
        doing: &'static str,
        /// Of which topic or group.
        what: String,
        /// Kafka's words.
        reason: String,
    },
    /// There is no such topic.
    #[error("the topic {topic} does not exist; `gctb topics apply` makes the bridge's topics")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// A group that is at work cannot be set back.
    #[error("the group {group} has {members} active members, and a group at work keeps its position")]
    GroupActive {
        /// The group.
        group: String,
        /// How many consumers it has.
        members: usize,
    },
    /// Reading took too long.
    #[error("reading {topic} took more than {deadline:?}")]
    Late {
        /// The topic.
        topic: String,
        /// How long it might have taken.
        deadline: Duration,
    },
}

impl PositionsError {
    pub(crate) fn kafka(doing: &'static str, what: &str, error: &KafkaError) -> Self {
        let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        Self::Kafka { doing, what: what.to_owned(), reason }
    }
}

impl Positions {
    /// A client. It does not wait for Kafka.
    ///
    /// # Errors
    /// [`PositionsError::Create`] where the settings cannot be used.
    pub fn new(settings: &KafkaSettings) -> Result<Self, PositionsError> {
        Ok(Self { settings: settings.clone(), consumer: member_of("gctb-positions", settings)? })
    }

    /// The ends of every partition of `topic`.
    ///
    /// # Errors
    /// [`PositionsError::NoTopic`], or [`PositionsError::Kafka`] where a broker does not answer.
    pub fn watermarks(&self, topic: &str) -> Result<BTreeMap<i32, Watermarks>, PositionsError> {
        let mut watermarks = BTreeMap::new();
        for partition in self.partitions(topic)? {
            let ends = self.consumer.fetch_watermarks(topic, partition, self.settings.request_timeout);
            let (low, high) = ends.map_err(|error| PositionsError::kafka("find the ends of", topic, &error))?;
            watermarks.insert(partition, Watermarks { low, high });
        }
        Ok(watermarks)
    }

    /// Per partition the offset of the first message produced at or after `since_ms` (milliseconds since 1970); its end
    /// where there is none.
    ///
    /// # Errors
    /// Those of [`Positions::watermarks`].
    pub fn offsets_for_time(&self, topic: &str, since_ms: i64) -> Result<BTreeMap<i32, i64>, PositionsError> {
        self.offsets_for_time_within(topic, since_ms, &self.watermarks(topic)?)
    }

    /// Where `group` goes on in `topic`; None for a partition of which it has committed nothing.
    ///
    /// # Errors
    /// Those of [`Positions::watermarks`].
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, Option<i64>>, PositionsError> {
        let asked = list(topic, self.partitions(topic)?.into_iter().map(|partition| (partition, Offset::Invalid)))?;
        let (asking, until) = (member_of(group, &self.settings)?, Instant::now() + self.settings.request_timeout);
        let answered = loop {
            let left = until.saturating_duration_since(Instant::now());
            match asking.committed_offsets(asked.clone(), left) {
                // The group's coordinator moves for a moment: after a broker's start, and before the first group ever.
                Err(error) if is_moving(&error) && !left.is_zero() => std::thread::sleep(COORDINATOR_POLL),
                answered => {
                    break answered.map_err(|error| PositionsError::kafka("read the position of", group, &error))?;
                }
            }
        };
        Ok(answered.elements().iter().map(|element| (element.partition(), known(element.offset()))).collect())
    }

    /// Whether `group` has consumed everything of `topic` that was produced before `since_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// Those of [`Positions::watermarks`].
    pub fn group_has_passed(&self, group: &str, topic: &str, since_ms: i64) -> Result<bool, PositionsError> {
        Ok(self.unread(group, topic, since_ms)?.is_empty())
    }

    /// The partitions of `topic` that hold something produced before `since_ms` (milliseconds since 1970) which `group` has
    /// yet to consume, each with the position that the group has committed. What has expired is not waited for.
    ///
    /// # Errors
    /// Those of [`Positions::watermarks`].
    pub fn unread(
        &self,
        group: &str,
        topic: &str,
        since_ms: i64,
    ) -> Result<BTreeMap<i32, Option<i64>>, PositionsError> {
        let watermarks = self.watermarks(topic)?;
        let targets = self.offsets_for_time_within(topic, since_ms, &watermarks)?;
        let committed = self.committed(group, topic)?;
        let unread = watermarks.iter().filter_map(|(partition, ends)| {
            let target = targets.get(partition).copied().unwrap_or(ends.high);
            let position = committed.get(partition).copied().flatten();
            // A consumer without a position, or with one that is no longer kept, begins with the oldest that is.
            (position.unwrap_or(ends.low).max(ends.low) < target).then_some((*partition, position))
        });
        Ok(unread.collect())
    }

    /// How many consumers `group` has at the moment.
    ///
    /// # Errors
    /// [`PositionsError::Kafka`] where a broker does not answer.
    pub fn members(&self, group: &str) -> Result<usize, PositionsError> {
        let groups = self
            .consumer
            .fetch_group_list(Some(group), self.settings.request_timeout)
            .map_err(|error| PositionsError::kafka("list the members of", group, &error))?;
        Ok(groups.groups().iter().filter(|found| found.name() == group).map(|found| found.members().len()).sum())
    }

    /// Sets `group` to go on in `topic` from `from`, or only says what that would do.
    ///
    /// Offsets outside of what is kept are moved to its nearer end. Every message from there on comes again, which
    /// changes nothing but counters (design invariant I2).
    ///
    /// # Errors
    /// [`PositionsError::GroupActive`] while the group has members, and those of [`Positions::watermarks`].
    pub fn reset_group(
        &self,
        group: &str,
        topic: &str,
        from: &ReadFrom,
        dry_run: bool,
    ) -> Result<Vec<PartitionMove>, PositionsError> {
        let watermarks = self.watermarks(topic)?;
        let targets = match from {
            ReadFrom::Beginning => watermarks.iter().map(|(partition, ends)| (*partition, ends.low)).collect(),
            ReadFrom::Time(since_ms) => self.offsets_for_time_within(topic, *since_ms, &watermarks)?,
            ReadFrom::Offsets(offsets) => offsets.clone(),
        };
        let committed = self.committed(group, topic)?;
        let planned = watermarks.iter().filter_map(|(partition, ends)| {
            let to = (*targets.get(partition)?).clamp(ends.low, ends.high.max(ends.low));
            Some(PartitionMove { partition: *partition, from: committed.get(partition).copied().flatten(), to })
        });
        let planned: Vec<PartitionMove> = planned.collect();
        if !dry_run {
            self.refuse_while_active(group)?;
            self.commit(group, topic, &planned)?;
        }
        Ok(planned)
    }

    fn commit(&self, group: &str, topic: &str, planned: &[PartitionMove]) -> Result<(), PositionsError> {
        let offsets = planned.iter().map(|planned| (planned.partition, Offset::Offset(planned.to)));
        let offsets = list(topic, offsets)?;
        // The coordinator refuses this commit itself should a member have joined meanwhile.
        member_of(group, &self.settings)?
            .commit(&offsets, CommitMode::Sync)
            .map_err(|error| PositionsError::kafka("move the position of", group, &error))
    }

    fn refuse_while_active(&self, group: &str) -> Result<(), PositionsError> {
        let members = self.members(group)?;
        if members > 0 { Err(PositionsError::GroupActive { group: group.to_owned(), members }) } else { Ok(()) }
    }

    fn offsets_for_time_within(
        &self,
        topic: &str,
        since_ms: i64,
        watermarks: &BTreeMap<i32, Watermarks>,
    ) -> Result<BTreeMap<i32, i64>, PositionsError> {
        let asked = list(topic, watermarks.keys().map(|partition| (*partition, Offset::Offset(since_ms.max(0)))))?;
        let answered = self
            .consumer
            .offsets_for_times(asked, self.settings.request_timeout)
            .map_err(|error| PositionsError::kafka("find a time in", topic, &error))?;
        let mut offsets = BTreeMap::new();
        for element in answered.elements() {
            element.error().map_err(|error| PositionsError::kafka("find a time in", topic, &error))?;
            let end = watermarks.get(&element.partition()).map_or(0, |ends| ends.high);
            offsets.insert(element.partition(), known(element.offset()).unwrap_or(end));
        }
        Ok(offsets)
    }

    fn partitions(&self, topic: &str) -> Result<Vec<i32>, PositionsError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic), self.settings.request_timeout)
            .map_err(|error| PositionsError::kafka("find the partitions of", topic, &error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions: Vec<i32> =
            found.into_iter().flat_map(|found| found.partitions()).map(|partition| partition.id()).collect();
        if partitions.is_empty() { Err(PositionsError::NoTopic { topic: topic.to_owned() }) } else { Ok(partitions) }
    }
}

impl std::fmt::Debug for Positions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Positions").finish_non_exhaustive()
    }
}

/// A client that speaks of `group` without joining it.
fn member_of(group: &str, settings: &KafkaSettings) -> Result<BaseConsumer<Quiet>, PositionsError> {
    client::config(settings, "gctb-positions")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create_with_context(Quiet)
        .map_err(|error| PositionsError::Create { reason: client::creation_error(&error) })
}

fn list(topic: &str, offsets: impl Iterator<Item = (i32, Offset)>) -> Result<TopicPartitionList, PositionsError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition, offset)
            .map_err(|error| PositionsError::kafka("name an offset of", topic, &error))?;
    }
    Ok(list)
}

/// librdkafka has other words than numbers for "none".
fn known(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    }
}

/// Whether `error` says that another broker has become the group's coordinator, or this one is not yet.
fn is_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// Whether `error` only says that Kafka could not be reached now.
pub(crate) fn is_unreachable(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotEnoughReplicas
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::Resolve
        )
    )
}
