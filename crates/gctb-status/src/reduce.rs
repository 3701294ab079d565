//! What messages polled together say about each instruction: per batch, by position, the highest version first.
//!
//! A pure step. It knows neither Postgres nor Kafka, and nothing of what a status means.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gctb_domain::{BatchId, Seq};
use gctb_events::{LedgerEntry, StatusChunk};
use gctb_runtime::Incoming;
use uuid::Uuid;

/// One entry, and the message that brought it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sourced<'a> {
    pub(crate) entry: &'a LedgerEntry,
    pub(crate) message: &'a Incoming<StatusChunk>,
}

/// What was polled about one batch.
#[derive(Debug, Default)]
pub(crate) struct BatchNews<'a> {
    /// The messages, as they came.
    pub(crate) messages: Vec<&'a Incoming<StatusChunk>>,
    /// What was said, in order of position, and of one position the highest version first.
    said: Vec<Sourced<'a>>,
    /// The chunks with the last position that each speaks of, in that order. A chunk without entries (nobody could read
    /// them) comes first.
    pub(crate) chunks: Vec<(Option<Seq>, Uuid)>,
}

impl<'a> BatchNews<'a> {
    /// Per instruction, in order of position: what was said about it, the highest version first, never empty. The first
    /// tells all; the later ones are there should Postgres refuse it.
    pub(crate) fn instructions(&self) -> impl Iterator<Item = &[Sourced<'a>]> {
        self.said.chunk_by(|one, next| one.entry.seq == next.entry.seq)
    }
}

/// Sorts polled messages by batch, in order of the batches' ids: two replicas lock batches in the same order.
pub(crate) fn reduce(polled: &[Incoming<StatusChunk>]) -> BTreeMap<BatchId, BatchNews<'_>> {
    let mut batches: BTreeMap<BatchId, BatchNews<'_>> = BTreeMap::new();
    for message in polled {
        let news = batches.entry(message.event.batch_id).or_default();
        news.messages.push(message);
    }
    for news in batches.values_mut() {
        news.said = by_position(&news.messages);
        news.chunks = by_last_position(&news.messages);
    }
    batches
}

fn by_position<'a>(messages: &[&'a Incoming<StatusChunk>]) -> Vec<Sourced<'a>> {
    let entries = |message: &&'a Incoming<StatusChunk>| {
        let message = *message;
        message.event.entries.iter().map(move |entry| Sourced { entry, message })
    };
    let rank = |said: &Sourced<'a>| (said.entry.seq, Reverse(said.entry.version));
    let mut said: Vec<Sourced<'a>> = messages.iter().flat_map(entries).collect();
    said.sort_by_key(rank);
    said.dedup_by_key(|said| rank(said));
    said
}

fn by_last_position(messages: &[&Incoming<StatusChunk>]) -> Vec<(Option<Seq>, Uuid)> {
    let last = |chunk: &StatusChunk| chunk.entries.iter().map(|entry| entry.seq).max();
    let mut chunks: Vec<(Option<Seq>, Uuid)> =
        messages.iter().map(|message| (last(&message.event), message.event.outbox_id)).collect();
    chunks.sort_unstable();
    chunks.dedup();
    chunks
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use gctb_domain::LedgerState;
    use gctb_runtime::Origin;

    use super::*;

    fn said(batch: u128, outbox: u128, entries: &[(i32, i32)]) -> Incoming<StatusChunk> {
        let entry = |&(seq, version): &(i32, i32)| LedgerEntry {
            seq: Seq(seq),
            version,
            state: LedgerState::Claimed,
            attempt: 1,
            backend: None,
            resolved_fa: String::new(),
            file: None,
            rail_reference: None,
            reason: None,
            message: String::new(),
            changed_at: DateTime::UNIX_EPOCH,
        };
        let event = StatusChunk {
            batch_id: BatchId::from_uuid(Uuid::from_u128(batch)),
            outbox_id: Uuid::from_u128(outbox),
            entries: entries.iter().map(entry).collect(),
        };
        let origin = Origin { topic: "gctb.status".to_owned(), partition: 0, offset: 0, timestamp_ms: None };
        Incoming { event, origin, traceparent: None }
    }

    #[test]
    fn the_highest_version_of_each_instruction_comes_first_and_batches_and_positions_are_in_order() {
        let polled = [said(2, 20, &[(7, 1)]), said(1, 10, &[(5, 2), (3, 1)]), said(1, 11, &[(5, 3), (5, 2), (4, 9)])];
        let reduced = reduce(&polled);
        let numbers: Vec<u128> = reduced.keys().map(|batch| batch.as_uuid().as_u128()).collect();
        assert_eq!(numbers, [1, 2]);
        let first = reduced.values().next().expect("a batch");
        let versions: Vec<Vec<(i32, i32)>> = first
            .instructions()
            .map(|said| said.iter().map(|said| (said.entry.seq.0, said.entry.version)).collect())
            .collect();
        assert_eq!(versions, [vec![(3, 1)], vec![(4, 9)], vec![(5, 3), (5, 2)]]);
    }

    #[test]
    fn a_chunk_is_done_with_its_last_position_and_named_once_however_often_it_came() {
        let polled =
            [said(1, 12, &[(9, 1), (1, 1)]), said(1, 10, &[(2, 1)]), said(1, 12, &[(9, 1), (1, 1)]), said(1, 11, &[])];
        let reduced = reduce(&polled);
        let chunks: Vec<(Option<i32>, u128)> = reduced
            .values()
            .flat_map(|news| &news.chunks)
            .map(|(last, id)| (last.map(|seq| seq.0), id.as_u128()))
            .collect();
        assert_eq!(chunks, [(None, 11), (Some(2), 10), (Some(9), 12)]);
    }
}
