//! What librdkafka tells the loop while it polls: assignments, revocations, lag, and whether brokers answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::client;
use crate::health::Component;

/// The partitions that this replica has, with their lag where it is known. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Assigned {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    lags: BTreeMap<i32, Option<i64>>,
    revoked: Vec<i32>,
    grew: bool,
}

impl Assigned {
    pub(super) fn lags(&self) -> Vec<(i32, i64)> {
        self.lock().lags.iter().filter_map(|(partition, lag)| Some((*partition, (*lag)?))).collect()
    }

    /// How many partitions this replica has.
    pub(super) fn count(&self) -> usize {
        self.lock().lags.len()
    }

    /// The partitions revoked since the last call.
    pub(super) fn take_revoked(&self) -> Vec<i32> {
        std::mem::take(&mut self.lock().revoked)
    }

    /// Whether partitions were assigned since the last call.
    pub(super) fn take_grew(&self) -> bool {
        std::mem::take(&mut self.lock().grew)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct LoopContext {
    topic: String,
    assigned: Assigned,
    connection: Component,
}

impl LoopContext {
    pub(super) fn new(topic: &str, assigned: &Assigned, connection: Component) -> Self {
        Self { topic: topic.to_owned(), assigned: assigned.clone(), connection }
    }

    /// An error that a poll returned. Brokers and topics come back; the loop goes on polling.
    pub(super) fn trouble(&self, error: &KafkaError) {
        let sentence = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                format!("the topic {} does not exist; `gctb topics apply` makes it", self.topic)
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => "no broker answers".to_owned(),
            Some(code) => format!("Kafka says: {code}"),
            None => format!("Kafka says: {error}"),
        };
        if self.connection.failing(sentence.clone()) {
            tracing::warn!(topic = %self.topic, trouble = %sentence, "the consumer waits for Kafka");
        }
    }

    /// The partitions were not given back but taken away: the broker heard nothing of us for too long, or we of it.
    fn lost_its_place(&self) {
        // A cause that is known already says more than its consequence.
        if !self.connection.is_failing() {
            self.connection.failing("the consumer lost its place in the group: the broker did not answer in time");
            tracing::warn!(topic = %self.topic, "the consumer lost its place in the group and joins it again");
        }
    }

    fn works(&self) {
        if self.connection.ok() {
            tracing::info!(topic = %self.topic, "the consumer is connected");
        }
    }
}

impl ClientContext for LoopContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", error = %error, reason, "consumer error");
    }

    fn stats(&self, statistics: Statistics) {
        let mut shared = self.assigned.lock();
        let partitions = statistics.topics.get(&self.topic).map(|topic| &topic.partitions);
        for (partition, known) in partitions.into_iter().flatten() {
            if let Some(lag) = shared.lags.get_mut(partition) {
                *lag = lag_of(known);
            }
        }
        let has_partitions = !shared.lags.is_empty();
        drop(shared);
        // Partitions stay assigned while brokers are away, so that both must hold.
        if has_partitions && statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.works();
        }
    }
}

impl ConsumerContext for LoopContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            if consumer.assignment_lost() {
                self.lost_its_place();
            }
            let mut shared = self.assigned.lock();
            for partition in numbers(partitions) {
                shared.lags.remove(&partition);
                shared.revoked.push(partition);
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                // A partition that left while it was paused comes back paused, and would stand still for ever.
                if let Err(error) = consumer.resume(partitions) {
                    tracing::warn!(topic = %self.topic, error = %error, "assigned partitions could not be resumed");
                }
                let mut shared = self.assigned.lock();
                shared.lags.extend(numbers(partitions).map(|partition| (partition, None)));
                shared.grew = true;
                drop(shared);
                tracing::info!(topic = %self.topic, partitions = ?numbers(partitions).collect::<Vec<_>>(), "partitions assigned");
                // An assignment, even an empty one, means that the group works: more replicas than partitions is no fault.
                self.works();
            }
            Rebalance::Revoke(partitions) => {
                tracing::info!(topic = %self.topic, partitions = ?numbers(partitions).collect::<Vec<_>>(), "partitions revoked");
            }
            Rebalance::Error(error) => self.trouble(error),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // A commit that fails is made up for by the next one, or the messages come again: both are harmless.
        if let Err(error) = result {
            tracing::debug!(topic = %self.topic, error = %error, "offsets were not committed");
        }
    }
}

/// librdkafka knows no lag before the first commit. A group that waits at its first message has all that is kept before it.
fn lag_of(partition: &Partition) -> Option<i64> {
    let all = partition.hi_offset - partition.lo_offset.max(0);
    let lag = if partition.committed_offset < 0 { all } else { partition.consumer_lag };
    (lag >= 0).then_some(lag)
}

fn numbers(partitions: &TopicPartitionList) -> impl Iterator<Item = i32> {
    let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
    numbers.into_iter()
}
