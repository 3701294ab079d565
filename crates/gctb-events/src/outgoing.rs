//! A message on its way to Kafka.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::codec::Event;
use crate::topics::Topic;

/// Message headers. Values are text.
pub type Headers = BTreeMap<String, String>;

/// The names of the headers that the bridge sets.
pub mod header {
    /// An id of this emission, for people who trace it. Nothing deduplicates on it.
    pub const EVENT_ID: &str = "gctb-event-id";
    /// Name and version of the message's schema.
    pub const SCHEMA: &str = "gctb-schema";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// Dead letters: why the entry could not be handled.
    pub const DEAD_REASON: &str = "gctb-dead-reason";
    /// Dead letters: the consumer group that gave up.
    pub const DEAD_GROUP: &str = "gctb-dead-group";
    /// Dead letters: `topic/partition/offset` of the message.
    pub const DEAD_ORIGIN: &str = "gctb-dead-origin";
    /// Dead letters: when, RFC 3339.
    pub const DEAD_AT: &str = "gctb-dead-at";
}

/// A message to be produced: topic, key, bytes, headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The topic's name.
    pub topic: String,
    /// The partitioning key.
    pub key: String,
    /// The encoded event.
    pub payload: Vec<u8>,
    /// The headers.
    pub headers: Headers,
}

impl Outgoing {
    /// Addresses `event` to `topic`. `event_id` names this emission; `traceparent` continues a trace where there is one.
    pub fn new<E: Event>(topic: &Topic, event: &E, event_id: Uuid, traceparent: Option<&str>) -> Self {
        let mut headers = Headers::from([
            (header::EVENT_ID.to_owned(), event_id.to_string()),
            (header::SCHEMA.to_owned(), E::SCHEMA.to_owned()),
        ]);
        if let Some(traceparent) = traceparent {
            headers.insert(header::TRACEPARENT.to_owned(), traceparent.to_owned());
        }
        Self { topic: topic.name(), key: event.key(), payload: event.encode(), headers }
    }
}
