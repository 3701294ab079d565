//! The one consumer loop of the bridge: decode, handle, await delivery, store the offset; then the next.
//!
//! It promises at least once and nothing more: a handler may see every message again, in any order, at any time, on two
//! replicas at once. The committed offset is a position, never a proof. The loop knows nothing of what a message means.

mod backoff;
mod context;
mod dead;
mod group;
mod meters;
mod run;

use std::error::Error;
use std::time::Duration;

use gctb_events::{Event, Outgoing, Topic};
use opentelemetry::metrics::Meter;

use crate::Fate;
use crate::health::Health;
use crate::producer::{ProduceError, Producer};
use crate::settings::{ConsumerSettings, KafkaSettings};
use crate::shutdown::Shutdown;

/// Where a message came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// When it was produced, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A message as a handler sees it.
#[derive(Clone, Debug)]
pub struct Incoming<E> {
    /// The event, without the entries that nobody could decode.
    pub event: E,
    /// Where it came from.
    pub origin: Origin,
    /// The trace to go on with: give it to what the handler sends because of this message.
    pub traceparent: Option<String>,
}

/// An entry that cannot be handled, now or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadEntry {
    /// The same kind of message with this entry alone.
    pub payload: Vec<u8>,
    /// Why, without its content.
    pub reason: String,
    /// The message it came in.
    pub origin: Origin,
}

/// What a handler did.
#[derive(Clone, Debug, Default)]
pub struct Handled {
    /// Messages to be sent before the polled ones count as handled.
    pub outgoing: Vec<Outgoing>,
    /// Entries for the dead-letter topic.
    pub dead: Vec<DeadEntry>,
    /// Entries by what became of them, for the metrics: `("routed", 480)`.
    pub outcomes: Vec<(&'static str, u64)>,
}

/// Why messages could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Something that the handler depends on is down: the same messages come again after a back-off.
    #[error("a dependency is down")]
    Retry(#[source] Box<dyn Error + Send + Sync>),
    /// There is more to do with these messages than one call may take: they come again at once, and nothing is wrong.
    #[error("the handler is not done with the messages yet")]
    Again,
    /// The service must end, loudly.
    #[error("the handler cannot go on")]
    Stop(#[source] Box<dyn Error + Send + Sync>),
}

impl HandleError {
    /// Whether the same messages come again.
    pub const fn class(&self) -> Fate {
        match self {
            Self::Retry(_) | Self::Again => Fate::Retry,
            Self::Stop(_) => Fate::Stop,
        }
    }
}

/// What a service does with the messages of one topic.
pub trait Handler {
    /// What the messages are.
    type Event: Event;

    /// Handles messages polled together. It must be safe to repeat.
    ///
    /// # Errors
    /// [`HandleError`], which says whether the same messages come again.
    fn handle(&mut self, polled: &[Incoming<Self::Event>]) -> Result<Handled, HandleError>;

    /// How many partitions of the topic this replica has now; called before the first messages and when it has changed.
    fn assigned(&mut self, partitions: usize) {
        let _ = partitions;
    }

    /// Called when no message waits, some times a second; not at all while messages keep coming. It must be quick. What
    /// has to happen in time belongs on a thread of its own.
    fn idle(&mut self) {}
}

/// What the loop works with. Clones share it.
#[derive(Clone, Debug)]
pub struct LoopWorld {
    /// The service's name.
    pub service: &'static str,
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// How to work.
    pub consumer: ConsumerSettings,
    /// Sends what handlers send, and dead letters.
    pub producer: Producer,
    /// Where the loop tells how it is.
    pub health: Health,
    /// Where it counts.
    pub meter: Meter,
    /// When to end.
    pub shutdown: Shutdown,
}

/// Why the loop ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The consumer could not be made from the settings.
    #[error("could not make a Kafka consumer of {topic} from the settings: {reason}")]
    Create {
        /// The topic.
        topic: String,
        /// librdkafka's words.
        reason: String,
    },
    /// Kafka refused the consumer for good.
    #[error("Kafka no longer serves the consumer of {topic}: {reason}")]
    Kafka {
        /// The topic.
        topic: String,
        /// Kafka's words.
        reason: String,
    },
    /// Too many entries died: something is wrong with more than the entries.
    #[error(
        "{in_a_row} entries of {topic} in a row could not be handled (setting consumer.dead_letters_in_a_row_max is {max}); \
         stopped before the last messages, which will come again"
    )]
    TooManyDead {
        /// The topic.
        topic: String,
        /// How many.
        in_a_row: u32,
        /// The limit.
        max: u32,
    },
    /// The handler asked to stop.
    #[error("the handler of {topic} cannot go on")]
    Handler {
        /// The topic.
        topic: String,
        /// Its error.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// A message cannot be sent, now or later.
    #[error("what follows from {topic} cannot be sent")]
    Produce {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        cause: ProduceError,
    },
}

/// Consumes `topic` until the shutdown is requested. Blocks: call it on a thread of its own.
///
/// Per polled group: decode, handle, await the delivery of everything outgoing and of dead letters, store the offsets.
/// Undecodable entries go to `<topic>.dead` alone. On [`HandleError::Again`] the same messages are handled again after one
/// poll, without those of partitions that went elsewhere. On [`HandleError::Retry`], and while Kafka takes no messages, the
/// same messages are handled again after a back-off, while the membership in the group is kept.
///
/// # Errors
/// [`LoopError`]: the service must end with it. The offsets of what was not handled are not stored.
pub fn consume<H: Handler>(topic: &Topic, world: &LoopWorld, handler: H) -> Result<(), LoopError> {
    run::run(topic, world, handler)
}

/// How long one poll waits for a first message: the loop looks up this often.
const IDLE_WAIT: Duration = Duration::from_millis(200);
