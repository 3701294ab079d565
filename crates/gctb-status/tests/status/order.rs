//! Invariant I5: the order in which events come, how often, and who folds them, leaves no trace in the tables.

use gctb_domain::{BatchId, LedgerState};
use gctb_events::{LedgerEntry, StatusChunk};
use gctb_runtime::Handler;
use gctb_status::StatusFolder;
use gctb_testkit::TestDatabase;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{Item, accept, arrived, assert_totals, chunk, entry};

/// What happened to some instructions, and how the news of it travelled.
#[derive(Clone, Debug)]
struct Story {
    /// Per instruction its states, by version.
    states: Vec<Vec<usize>>,
    /// The entries, mixed up, as (position, version).
    entries: Vec<(i32, i32)>,
    /// How many of them share a chunk.
    chunk_size: usize,
    /// The chunks as they come, each twice.
    deliveries: Vec<usize>,
    /// How many messages are polled together.
    poll_size: usize,
    /// Whether two replicas fold at once.
    two_replicas: bool,
}

fn story() -> impl Strategy<Value = Story> {
    let shape = (vec(vec(0..LedgerState::ALL.len(), 1..5), 1..10), 1_usize..5, 1_usize..6, any::<bool>());
    shape.prop_flat_map(|(states, chunk_size, poll_size, two_replicas)| {
        let versions = |(seq, states): (i32, &Vec<usize>)| {
            (1..).take(states.len()).map(move |version| (seq, version)).collect::<Vec<_>>()
        };
        let entries: Vec<(i32, i32)> = (0..).zip(&states).flat_map(versions).collect();
        let chunks = entries.len().div_ceil(chunk_size);
        let twice: Vec<usize> = (0..chunks).chain(0..chunks).collect();
        (Just(entries).prop_shuffle(), Just(twice).prop_shuffle()).prop_map(move |(entries, deliveries)| Story {
            states: states.clone(),
            entries,
            chunk_size,
            deliveries,
            poll_size,
            two_replicas,
        })
    })
}

impl Story {
    fn entry(&self, seq: i32, version: i32) -> LedgerEntry {
        let states = &self.states[usize::try_from(seq).expect("from 0")];
        entry(seq, version, LedgerState::ALL[states[usize::try_from(version - 1).expect("from 1")]])
    }

    fn accept(&self, database: &TestDatabase) -> BatchId {
        let currencies = ["KES", "UGX", "USD"];
        let accepted = |seq: usize| Item::Accepted(1_000 + i64::try_from(seq).expect("small"), currencies[seq % 3]);
        let items: Vec<Item> = (0..self.states.len()).map(accepted).chain([Item::Refused]).collect();
        accept(database.db(), &items, |_| Vec::new()).id
    }

    /// One by one, in the order in which it happened.
    fn fold_in_order(&self, database: &TestDatabase, batch: BatchId) {
        let mut entries = self.entries.clone();
        entries.sort_by_key(|(seq, version)| (*version, *seq));
        for (seq, version) in entries {
            fold(database, &[chunk(database, batch, vec![self.entry(seq, version)])]);
            assert_totals(database, batch);
        }
    }

    /// As it travelled.
    fn fold_as_it_came(&self, database: &TestDatabase, batch: BatchId) {
        let to_chunk = |entries: &[(i32, i32)]| {
            chunk(database, batch, entries.iter().map(|(seq, version)| self.entry(*seq, *version)).collect())
        };
        let chunks: Vec<StatusChunk> = self.entries.chunks(self.chunk_size).map(to_chunk).collect();
        let deliveries: Vec<StatusChunk> = self.deliveries.iter().map(|index| chunks[*index].clone()).collect();
        let polls: Vec<&[StatusChunk]> = deliveries.chunks(self.poll_size).collect();
        if self.two_replicas {
            let (first, second) = polls.split_at(polls.len() / 2);
            std::thread::scope(|scope| {
                for polls in [first, second] {
                    scope.spawn(|| polls.iter().for_each(|poll| fold(database, poll)));
                }
            });
        } else {
            for poll in polls {
                fold(database, poll);
                assert_totals(database, batch);
            }
        }
        assert_totals(database, batch);
    }
}

fn fold(database: &TestDatabase, poll: &[StatusChunk]) {
    let polled: Vec<_> = poll.iter().map(arrived).collect();
    let handled = StatusFolder::new(database.db().clone(), drop).handle(&polled).expect("Postgres is there");
    assert!(handled.dead.is_empty());
}

fn tables(database: &TestDatabase, batch: BatchId) -> Vec<String> {
    let mut tables = database.values(&format!(
        "SELECT concat_ws('|', seq, status, version, backend, resolved_fa, file, rail_reference, error_code, error_msg,
                CASE WHEN rail_reference IS NOT NULL THEN updated_at END) AS value
         FROM payment_instructions WHERE batch_id = '{batch}' ORDER BY seq"
    ));
    tables.extend(database.values(&format!(
        "SELECT concat_ws('|', currency, status, instructions, amount_minor) AS value FROM batch_totals
         WHERE batch_id = '{batch}' AND instructions <> 0 ORDER BY currency, status"
    )));
    tables.push(database.value(&format!("SELECT in_flight::text AS value FROM batches WHERE batch_id = '{batch}'")));
    tables
}

#[test]
fn i5_any_order_and_any_repetition_of_events_folds_to_the_same_tables() {
    let Some(database) = gctb_testkit::database("i5_any_order_and_any_repetition") else { return };
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let told = TestRunner::new(config).run(&story(), |story| {
        let (in_order, as_it_came) = (story.accept(&database), story.accept(&database));
        story.fold_in_order(&database, in_order);
        story.fold_as_it_came(&database, as_it_came);
        prop_assert_eq!(tables(&database, in_order), tables(&database, as_it_came));
        let left = database.value("SELECT count(*)::text AS value FROM outbox WHERE kind = 2");
        prop_assert_eq!(left, "0", "every chunk's row went with its fold");
        Ok(())
    });
    told.unwrap_or_else(|error| panic!("{error}"));
}
