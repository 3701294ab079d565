//! Reads a topic's messages as they are, outside any consumer group: for dead letters and for people who look.
//!
//! It ends at the high watermarks taken at its start and moves nobody's offsets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gctb_events::Headers;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::{self, Quiet};
use crate::positions::{Positions, PositionsError};
use crate::settings::KafkaSettings;

impl ConsumerContext for Quiet {}

/// A message as Kafka has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// When it was produced, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The key; empty where there is none.
    pub key: Vec<u8>,
    /// The bytes; empty where there are none.
    pub payload: Vec<u8>,
    /// The headers that are text.
    pub headers: Headers,
}

impl RawMessage {
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        let headers = message
            .headers()
            .map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// Where to begin reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest message that is kept.
    Beginning,
    /// At the first message produced at or after this time, in milliseconds since 1970.
    Time(i64),
    /// At these offsets by partition; partitions that are not named are not read.
    Offsets(BTreeMap<i32, i64>),
}

/// Reads the messages of one topic up to its end as it was when the reader was made.
pub struct TopicReader {
    topic: String,
    consumer: BaseConsumer<Quiet>,
    /// Per partition that is still being read: the offset before which it ends.
    ends: BTreeMap<i32, i64>,
    deadline: Instant,
    deadline_after: Duration,
}

impl TopicReader {
    /// A reader of `topic` from `from`, which must have read everything after `deadline`.
    ///
    /// # Errors
    /// [`PositionsError`] where Kafka does not answer or the topic does not exist.
    pub fn open(
        settings: &KafkaSettings,
        topic: &str,
        from: &ReadFrom,
        deadline: Duration,
    ) -> Result<Self, PositionsError> {
        let positions = Positions::new(settings)?;
        let watermarks = positions.watermarks(topic)?;
        let starts = match from {
            ReadFrom::Beginning => watermarks.iter().map(|(partition, marks)| (*partition, marks.low)).collect(),
            ReadFrom::Time(since_ms) => positions.offsets_for_time(topic, *since_ms)?,
            ReadFrom::Offsets(offsets) => offsets.clone(),
        };
        let mut assignment = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for (partition, marks) in watermarks {
            let Some(start) = starts.get(&partition).map(|start| (*start).max(marks.low)) else { continue };
            if start < marks.high {
                assignment
                    .add_partition_offset(topic, partition, Offset::Offset(start))
                    .map_err(|error| PositionsError::kafka("choose offsets of", topic, &error))?;
                ends.insert(partition, marks.high);
            }
        }
        let consumer: BaseConsumer<Quiet> = client::config(settings, "gctb-reader")
            // The group is only a name: nothing is committed and nobody joins.
            .set("group.id", "gctb-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .create_with_context(Quiet)
            .map_err(|error| PositionsError::Create { reason: client::creation_error(&error) })?;
        consumer.assign(&assignment).map_err(|error| PositionsError::kafka("read", topic, &error))?;
        let topic = topic.to_owned();
        Ok(Self { topic, consumer, ends, deadline: Instant::now() + deadline, deadline_after: deadline })
    }

    /// The next message; None at the end.
    ///
    /// # Errors
    /// [`PositionsError::Late`] after the deadline, another where Kafka refuses.
    pub fn next_message(&mut self) -> Result<Option<RawMessage>, PositionsError> {
        while !self.ends.is_empty() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PositionsError::Late { topic: self.topic.clone(), deadline: self.deadline_after });
            }
            let message = match self.consumer.poll(left.min(Duration::from_millis(200))) {
                None => continue,
                Some(Ok(message)) => RawMessage::of(&message),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    self.ends.remove(&partition);
                    continue;
                }
                Some(Err(error)) => {
                    // Brokers come back; the deadline is the limit.
                    tracing::debug!(topic = %self.topic, error = %error, "reading waits");
                    continue;
                }
            };
            let Some(end) = self.ends.get(&message.partition).copied() else { continue };
            if message.offset + 1 >= end {
                self.ends.remove(&message.partition);
            }
            if message.offset < end {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

impl std::fmt::Debug for TopicReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicReader").field("topic", &self.topic).field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// Up to `limit` messages of `topic`, read within `deadline`. In order within a partition, not across partitions.
///
/// # Errors
/// Those of [`TopicReader`].
pub fn read_topic(
    settings: &KafkaSettings,
    topic: &str,
    from: &ReadFrom,
    limit: usize,
    deadline: Duration,
) -> Result<Vec<RawMessage>, PositionsError> {
    let mut reader = TopicReader::open(settings, topic, from, deadline)?;
    let mut messages = Vec::new();
    while messages.len() < limit {
        match reader.next_message()? {
            Some(message) => messages.push(message),
            None => break,
        }
    }
    Ok(messages)
}
