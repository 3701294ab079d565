//! One dead letter: what its headers say about it, and what is sent when it is sent again.

use gctb_events::{Headers, Outgoing, Topic, header};
use gctb_runtime::RawMessage;

/// The headers that make a message a dead letter.
const DEAD_HEADERS: [&str; 4] = [header::DEAD_REASON, header::DEAD_GROUP, header::DEAD_ORIGIN, header::DEAD_AT];

/// A dead letter as it lies in its topic.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    dead: Topic,
    message: RawMessage,
}

impl Letter {
    /// A message of the dead-letter topic `dead`.
    pub(super) fn of(dead: &Topic, message: RawMessage) -> Self {
        Self { dead: dead.clone(), message }
    }

    /// `partition:offset`, as `--from` takes it.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.message.partition, self.message.offset)
    }

    /// When it was written.
    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        self.message.timestamp_ms
    }

    /// Why it is here.
    pub(super) fn reason(&self) -> &str {
        self.header(header::DEAD_REASON)
    }

    /// Which consumer gave up.
    pub(super) fn group(&self) -> &str {
        self.header(header::DEAD_GROUP)
    }

    /// `topic/partition/offset` of the message that it was part of.
    pub(super) fn origin(&self) -> &str {
        self.header(header::DEAD_ORIGIN)
    }

    /// Name and version of its schema.
    pub(super) fn schema(&self) -> &str {
        self.header(header::SCHEMA)
    }

    /// Its bytes.
    pub(super) fn payload(&self) -> &[u8] {
        &self.message.payload
    }

    /// What is sent to the topic that it came from. None where it does not say which, or names one whose dead letters
    /// lie elsewhere: nobody guesses where an instruction to pay belongs.
    pub(super) fn to_be_sent_again(&self) -> Option<Outgoing> {
        let topic = Topic::from_name(self.origin().split('/').next()?)?;
        let key = String::from_utf8(self.message.key.clone()).ok()?;
        let headers: Headers = self.message.headers.clone();
        let headers = headers.into_iter().filter(|(name, _)| !DEAD_HEADERS.contains(&name.as_str())).collect();
        let payload = self.message.payload.clone();
        (topic != self.dead && topic.dead() == self.dead).then(|| Outgoing {
            topic: topic.name(),
            key,
            payload,
            headers,
        })
    }

    fn header(&self, name: &str) -> &str {
        self.message.headers.get(name).map_or("", String::as_str)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A letter of `gctb.batches.dead` that says it came from `origin`.
    pub(in crate::operator::dead) fn letter(origin: &str) -> Letter {
        let headers = [
            (header::SCHEMA, "gctb.v1.InstructionChunk"),
            (header::TRACEPARENT, "00-1-2-01"),
            (header::DEAD_REASON, "the entry has no amount"),
            (header::DEAD_GROUP, "gctb-mapper"),
            (header::DEAD_ORIGIN, origin),
            (header::DEAD_AT, "2026-11-23T08:00:00.000Z"),
        ];
        let message = RawMessage {
            partition: 0,
            offset: 17,
            timestamp_ms: Some(1_795_420_800_000),
            key: b"batch:0:0".to_vec(),
            payload: vec![10, 255],
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        Letter::of(&Topic::Batches.dead(), message)
    }

    #[test]
    fn a_letter_goes_back_as_it_came_without_what_made_it_a_dead_one() {
        let sent = letter("gctb.batches/3/42").to_be_sent_again().expect("has an origin");
        assert_eq!(
            (sent.topic.as_str(), sent.key.as_str(), sent.payload.as_slice()),
            ("gctb.batches", "batch:0:0", [10, 255].as_slice())
        );
        let names: Vec<_> = sent.headers.keys().map(String::as_str).collect();
        assert_eq!(names, [header::SCHEMA, header::TRACEPARENT]);
    }

    #[test]
    fn a_letter_that_names_no_topic_or_another_one_is_sent_nowhere() {
        for origin in ["", "orders/0/1", "gctb.status/0/1", "gctb.batches.dead/0/1"] {
            assert!(letter(origin).to_be_sent_again().is_none(), "{origin}");
        }
    }
}
