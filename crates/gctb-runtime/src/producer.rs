//! Produces messages and waits for Kafka's word on each: a message is sent when its delivery report says so.
//!
//! It knows nothing of where messages come from. Repeats are harmless to the bridge (at least once), so that a caller
//! who hears of an error sends again later.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gctb_events::Outgoing;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, Message};

use crate::Fate;
use crate::client;
use crate::health::{Component, Health};
use crate::settings::KafkaSettings;

/// What a delivery report may come late by, on top of the message's own timeout.
const REPORT_MARGIN: Duration = Duration::from_secs(5);
/// How long to wait before a full queue is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(10);
/// How long the last messages may take when a process ends.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// An idempotent producer. Clones share it; any thread may use it.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    kafka: ThreadedProducer<Reports>,
    report_timeout: Duration,
}

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The producer could not be made from the settings.
    #[error("could not make a Kafka producer from the settings: {reason}")]
    Create {
        /// librdkafka's words.
        reason: String,
    },
    /// Kafka did not take a message.
    #[error("Kafka did not take a message for {topic}: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// Kafka's words.
        reason: String,
        /// Whether it may take it later.
        fate: Fate,
    },
    /// No delivery report came in time; the message may or may not have been stored.
    #[error("Kafka did not say within {waited:?} whether it took a message for {topic}")]
    NoReport {
        /// The topic.
        topic: String,
        /// How long.
        waited: Duration,
    },
}

impl ProduceError {
    /// Whether the same message may be sent later with success.
    pub const fn class(&self) -> Fate {
        match self {
            Self::Create { .. } => Fate::Stop,
            Self::Refused { fate, .. } => *fate,
            Self::NoReport { .. } => Fate::Retry,
        }
    }
}

impl Producer {
    /// A producer for `service`. It does not wait for Kafka: with no broker in reach, sends fail after their timeout.
    ///
    /// The health component `kafka producer` is advisory: batches are accepted without Kafka (invariant I8).
    ///
    /// # Errors
    /// [`ProduceError::Create`] where the settings cannot be used.
    pub fn new(settings: &KafkaSettings, service: &str, health: &Health) -> Result<Self, ProduceError> {
        let component = health.advisory("kafka producer");
        component.failing("has not yet reached a broker");
        let queue_kib = (settings.producer_queue_bytes_max / 1024).max(1024);
        let kafka = client::config(settings, service)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", client::milliseconds(settings.message_timeout))
            .set("message.max.bytes", "1000000")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", queue_kib.to_string())
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("statistics.interval.ms", "2000")
            .create_with_context(Reports::new(component, settings.message_timeout))
            .map_err(|error| ProduceError::Create { reason: client::creation_error(&error) })?;
        let report_timeout = settings.message_timeout + REPORT_MARGIN;
        Ok(Self { shared: Arc::new(Shared { kafka, report_timeout }) })
    }

    /// The longest that a send takes, whatever Kafka does.
    pub fn send_time_max(&self) -> Duration {
        self.shared.report_timeout
    }

    /// Sends all messages and returns when Kafka has every one of them.
    ///
    /// # Errors
    /// The first message's error by which the caller must stop, else the first at all. The others may have been sent.
    pub fn send_all(&self, messages: &[Outgoing]) -> Result<(), ProduceError> {
        let mut errors: Vec<ProduceError> = self.send_each(messages).into_iter().filter_map(Result::err).collect();
        if errors.is_empty() {
            return Ok(());
        }
        let worst = errors.iter().position(|error| error.class() == Fate::Stop).unwrap_or(0);
        Err(errors.swap_remove(worst))
    }

    /// Sends all messages and says of each what became of it, in their order.
    ///
    /// Blocks until every delivery report is in, at most `message_timeout` and a margin.
    pub fn send_each(&self, messages: &[Outgoing]) -> Vec<Result<(), ProduceError>> {
        if !messages.is_empty() {
            fail::fail_point!("producer.send.before");
        }
        let deadline = Instant::now() + self.shared.report_timeout;
        let reports = Arc::new(Collected::new(messages.len()));
        for (index, message) in messages.iter().enumerate() {
            if let Err(error) = self.enqueue(message, index, &reports, deadline) {
                reports.put(index, Err(error));
            }
        }
        let mut results = reports.wait_until(deadline).into_iter();
        if !messages.is_empty() {
            fail::fail_point!("producer.send.after");
        }
        let missing = |message: &Outgoing| {
            Err(ProduceError::NoReport { topic: message.topic.clone(), waited: self.shared.report_timeout })
        };
        messages.iter().map(|message| results.next().flatten().unwrap_or_else(|| missing(message))).collect()
    }

    fn enqueue(
        &self,
        message: &Outgoing,
        index: usize,
        reports: &Arc<Collected>,
        deadline: Instant,
    ) -> Result<(), ProduceError> {
        let ticket = Box::new(Ticket { index, reports: Arc::clone(reports) });
        let mut record = BaseRecord::with_opaque_to(&message.topic, ticket)
            .key(&message.key)
            .payload(&message.payload)
            .headers(headers(message));
        loop {
            record = match self.shared.kafka.send(record) {
                Ok(()) => return Ok(()),
                // The queue is bounded (invariant I10); its own thread empties it.
                Err((error, returned)) if is_queue_full(&error) && Instant::now() < deadline => returned,
                Err((error, _)) => return Err(refused(&message.topic, &error)),
            };
            std::thread::sleep(QUEUE_FULL_WAIT);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // rdkafka's own drop throws queued messages away.
        if let Err(error) = self.kafka.flush(FLUSH_DEADLINE) {
            tracing::warn!(error = %error, "messages were still waiting for Kafka when the producer was closed");
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

fn headers(message: &Outgoing) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(message.headers.len());
    message.headers.iter().fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

fn refused(topic: &str, error: &KafkaError) -> ProduceError {
    // The codes belong to librdkafka and grow with it. These three are wrong tomorrow as well; time may heal the rest.
    let fate = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage) => {
            Fate::Stop
        }
        Some(_) | None => Fate::Retry,
    };
    let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
    ProduceError::Refused { topic: topic.to_owned(), reason, fate }
}

/// The reports of one call, filled in by the producer's own thread.
struct Collected {
    slots: Mutex<Slots>,
    changed: Condvar,
}

struct Slots {
    results: Vec<Option<Result<(), ProduceError>>>,
    missing: usize,
}

impl Collected {
    fn new(count: usize) -> Self {
        let results = (0..count).map(|_| None).collect();
        Self { slots: Mutex::new(Slots { results, missing: count }), changed: Condvar::new() }
    }

    fn put(&self, index: usize, result: Result<(), ProduceError>) {
        let mut slots = self.lock();
        if let Some(slot @ None) = slots.results.get_mut(index) {
            *slot = Some(result);
            slots.missing -= 1;
        }
        if slots.missing == 0 {
            self.changed.notify_all();
        }
    }

    fn wait_until(&self, deadline: Instant) -> Vec<Option<Result<(), ProduceError>>> {
        let mut slots = self.lock();
        while slots.missing > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            slots = match self.changed.wait_timeout(slots, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        slots.results.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes back with a delivery report: whose it is.
struct Ticket {
    index: usize,
    reports: Arc<Collected>,
}

struct Reports {
    component: Component,
    /// When Kafka last did not take a message. A broker whose connection stands may answer nothing all the same.
    refused_at: Mutex<Option<Instant>>,
    /// For how long a refusal outweighs a connection that stands.
    doubt: Duration,
}

impl Reports {
    fn new(component: Component, message_timeout: Duration) -> Self {
        Self { component, refused_at: Mutex::new(None), doubt: message_timeout * 2 + REPORT_MARGIN }
    }

    fn refused_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_refused(&self, error: &KafkaError) {
        *self.refused_at() = Some(Instant::now());
        let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        if self.component.failing(format!("Kafka takes no messages: {reason}")) {
            tracing::warn!(reason, "Kafka takes no messages; they wait");
        }
    }

    fn was_taken(&self) {
        *self.refused_at() = None;
        self.a_broker_answers();
    }

    fn is_in_doubt(&self) -> bool {
        self.refused_at().is_some_and(|at| at.elapsed() < self.doubt)
    }

    fn brokers_are_away(&self) {
        if self.component.failing("no broker answers") {
            tracing::warn!("the Kafka producer reaches no broker; messages wait");
        }
    }

    fn a_broker_answers(&self) {
        if self.component.ok() {
            tracing::info!("the Kafka producer reaches a broker");
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.brokers_are_away();
        }
        tracing::debug!(target: "librdkafka", error = %error, reason, "producer error");
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") && !self.is_in_doubt() {
            self.a_broker_answers();
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, report: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let result = match report {
            Ok(_) => {
                self.was_taken();
                Ok(())
            }
            Err((error, message)) => {
                self.was_refused(error);
                Err(refused(message.topic(), error))
            }
        };
        ticket.reports.put(ticket.index, result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_collected_in_the_order_of_the_messages_and_not_waited_for_beyond_the_deadline() {
        let reports = Collected::new(3);
        let error = ProduceError::NoReport { topic: "gctb.status".to_owned(), waited: Duration::ZERO };
        reports.put(2, Err(error.clone()));
        reports.put(0, Ok(()));
        reports.put(0, Err(error.clone()));
        assert_eq!(reports.wait_until(Instant::now()), [Some(Ok(())), None, Some(Err(error))]);
    }
}
