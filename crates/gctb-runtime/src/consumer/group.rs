//! A group of messages that were polled together: decoded once, handled as often as it takes.

use std::collections::{BTreeMap, BTreeSet};

use gctb_events::{Event, Headers};
use tracing::Span;

use super::dead::MessageFate;
use super::{DeadEntry, Incoming, Origin};
use crate::replay::RawMessage;
use crate::trace;

pub(super) struct Group<E> {
    /// The messages that decoded, for the handler.
    pub(super) incoming: Vec<Incoming<E>>,
    /// What did not decode.
    pub(super) dead: Vec<DeadEntry>,
    /// The work on the whole group; it ends when the group is dropped.
    pub(super) span: Span,
    /// One span per trace that goes through the group, held open as long as the group.
    _spans: Vec<Span>,
    messages: BTreeMap<(i32, i64), Letterhead>,
}

/// What of a message is needed again for its dead letters.
struct Letterhead {
    key: String,
    headers: Headers,
    decoded: bool,
}

impl<E: Event> Group<E> {
    pub(super) fn decode(topic: &str, polled: Vec<RawMessage>) -> Self {
        let mut incoming = Vec::with_capacity(polled.len());
        let mut dead = Vec::new();
        let mut messages = BTreeMap::new();
        for message in polled {
            let origin = Origin {
                topic: topic.to_owned(),
                partition: message.partition,
                offset: message.offset,
                timestamp_ms: message.timestamp_ms,
            };
            let traceparent = message.headers.get(gctb_events::header::TRACEPARENT).cloned();
            let decoded = E::decode(&message.payload);
            let letterhead = Letterhead {
                key: String::from_utf8_lossy(&message.key).into_owned(),
                headers: message.headers,
                decoded: decoded.is_ok(),
            };
            messages.insert((origin.partition, origin.offset), letterhead);
            match decoded {
                Ok(decoded) => {
                    dead.extend(decoded.refused.into_iter().map(|refused| DeadEntry {
                        payload: refused.payload,
                        reason: refused.reason,
                        origin: origin.clone(),
                    }));
                    incoming.push(Incoming { event: decoded.event, origin, traceparent });
                }
                Err(error) => dead.push(DeadEntry { payload: message.payload, reason: error.to_string(), origin }),
            }
        }
        let (span, spans) = spans(topic, &mut incoming);
        Self { incoming, dead, span, _spans: spans, messages }
    }
}

impl<E> Group<E> {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Forgets the messages of partitions that went to another replica, which gets them again.
    pub(super) fn drop_revoked(&mut self, revoked: &[i32]) {
        self.incoming.retain(|incoming| !revoked.contains(&incoming.origin.partition));
        self.dead.retain(|dead| !revoked.contains(&dead.origin.partition));
        self.messages.retain(|(partition, _), _| !revoked.contains(partition));
    }

    /// Where each partition goes on after this group.
    pub(super) fn next_offsets(&self) -> BTreeMap<i32, i64> {
        // Keys are in order: the last offset of a partition wins.
        self.messages.keys().map(|(partition, offset)| (*partition, offset + 1)).collect()
    }

    /// Key and headers of the message that a dead entry came in.
    pub(super) fn letterhead(&self, origin: &Origin) -> (&str, Headers) {
        let letterhead = self.messages.get(&(origin.partition, origin.offset));
        letterhead.map_or_else(|| ("", Headers::new()), |found| (found.key.as_str(), found.headers.clone()))
    }

    /// What became of each message, in order. `handled_any`: whether the handler counted any entry of the group.
    pub(super) fn fates(&self, dead: &[&DeadEntry], handled_any: bool) -> Vec<MessageFate> {
        let mut dead_of: BTreeMap<(i32, i64), u32> = BTreeMap::new();
        for entry in dead {
            *dead_of.entry((entry.origin.partition, entry.origin.offset)).or_default() += 1;
        }
        let fate = |(place, letterhead): (&(i32, i64), &Letterhead)| {
            let dead = dead_of.get(place).copied().unwrap_or(0);
            MessageFate { dead, some_good: letterhead.decoded && (dead == 0 || handled_any) }
        };
        self.messages.iter().map(fate).collect()
    }
}

/// Opens one span per trace, as a child of the sender's, and gives the handler that span to go on from.
///
/// The span of the whole group is that one span where there is one trace, else a trace of its own with links.
fn spans<E>(topic: &str, incoming: &mut [Incoming<E>]) -> (Span, Vec<Span>) {
    let name = format!("consume {topic}");
    let received: BTreeSet<String> = incoming.iter().filter_map(|incoming| incoming.traceparent.clone()).collect();
    let mut spans = BTreeMap::new();
    for traceparent in received {
        let span = tracing::info_span!("consume", otel.name = %name, otel.kind = "consumer", topic);
        trace::set_parent(&span, &traceparent);
        spans.insert(traceparent, span);
    }
    for incoming in incoming {
        let own = incoming.traceparent.as_ref().and_then(|received| trace::traceparent_of(spans.get(received)?));
        incoming.traceparent = own.or_else(|| incoming.traceparent.take());
    }
    let whole = match spans.len() {
        1 => spans.values().next().cloned().unwrap_or_else(Span::none),
        _ => {
            let whole = tracing::info_span!("handle", otel.name = %format!("handle {topic}"), topic);
            spans.keys().for_each(|traceparent| trace::link(&whole, traceparent));
            whole
        }
    };
    (whole, spans.into_values().collect())
}

#[cfg(test)]
mod tests {
    use gctb_domain::BatchId;
    use gctb_events::{BatchProgress, header};
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn message(partition: i32, offset: i64, payload: Vec<u8>) -> RawMessage {
        let headers = Headers::from([(header::TRACEPARENT.to_owned(), format!("trace-{offset}"))]);
        RawMessage { partition, offset, timestamp_ms: None, key: b"key".to_vec(), payload, headers }
    }

    fn good() -> Vec<u8> {
        BatchProgress { batch_id: BatchId::from_uuid(uuid::Uuid::from_u128(1)), totals_version: 1 }.encode()
    }

    #[test]
    fn what_does_not_decode_dies_alone_and_what_was_revoked_is_forgotten() {
        let _untraced = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::new());
        let polled = vec![message(0, 7, good()), message(0, 8, b"junk".to_vec()), message(1, 3, good())];
        let mut group: Group<BatchProgress> = Group::decode("gctb.completions", polled);
        assert_eq!(group.incoming.len(), 2);
        assert_eq!(
            group.incoming[0].traceparent.as_deref(),
            Some("trace-7"),
            "without telemetry it is passed on as it came"
        );
        assert_eq!(group.dead.len(), 1);
        assert_eq!(group.dead[0].payload, b"junk");
        assert_eq!(group.dead[0].origin.to_string(), "gctb.completions/0/8");
        assert_eq!(group.letterhead(&group.dead[0].origin).0, "key");
        assert_eq!(group.next_offsets(), BTreeMap::from([(0, 9), (1, 4)]));
        let dead: Vec<&DeadEntry> = group.dead.iter().collect();
        let good: Vec<bool> = group.fates(&dead, false).iter().map(|fate| fate.some_good).collect();
        assert_eq!(good, [true, false, true]);
        group.drop_revoked(&[0]);
        assert_eq!((group.len(), group.incoming.len(), group.dead.len()), (1, 1, 0));
        assert_eq!(group.next_offsets(), BTreeMap::from([(1, 4)]));
    }

    #[test]
    fn the_handler_goes_on_in_the_trace_of_each_message() {
        let tracers = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(tracers.tracer("test"));
        let _traced = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let of_trace = |trace: &str, offset| {
            let mut message = message(0, offset, good());
            message.headers.insert(header::TRACEPARENT.to_owned(), format!("00-{trace}-b7ad6b7169203331-01"));
            message
        };
        let (one, other) = ("0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c");
        let polled = vec![of_trace(one, 1), of_trace(other, 2), of_trace(one, 3)];
        let group: Group<BatchProgress> = Group::decode("gctb.completions", polled);
        let traces: Vec<&str> =
            group.incoming.iter().filter_map(|incoming| Some(&incoming.traceparent.as_ref()?[3..35])).collect();
        assert_eq!(traces, [one, other, one]);
        assert!(
            group
                .incoming
                .iter()
                .all(|incoming| !incoming.traceparent.as_ref().is_some_and(|own| own.contains("b7ad6b71")))
        );
        let alone: Group<BatchProgress> = Group::decode("gctb.completions", vec![of_trace(one, 1)]);
        assert!(trace::traceparent_of(&alone.span).is_some_and(|whole| whole.contains(one)));
    }
}
