//! The outbox: leased without being sent twice at once, with a back-off that doubles, and given back when Kafka is away.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use gctb_db::{LeasedRow, OutboxKind, OutboxRow};
use gctb_events::{BatchProgress, Event, StatusChunk};
use gctb_testkit::TestDatabase;
use uuid::Uuid;

use crate::world::{Item, Message, claim, claim_of, count, stored};

/// `count` rows that are due.
fn due_rows(database: &TestDatabase, count: usize) -> Message {
    let message = Message::new(database.db(), &[Item::Accepted(1)]);
    let progress = BatchProgress { batch_id: message.id, totals_version: 3 };
    let rows: Vec<OutboxRow> = (0..count).map(|_| OutboxRow::progress(&progress, Some("00-aa-bb-01"))).collect();
    message.store_with(database.db(), &rows).expect("stored");
    due(database);
    message
}

fn due(database: &TestDatabase) {
    database.db().execute_sql("UPDATE outbox SET due_at = now()").expect("their time has come");
}

fn waits_seconds(database: &TestDatabase) -> Vec<i64> {
    let seconds = database.values("SELECT round(extract(epoch FROM due_at - now()))::text AS value FROM outbox");
    seconds.iter().map(|text| text.parse().expect("a number")).collect()
}

fn ids(rows: &[LeasedRow]) -> Vec<Uuid> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn a_new_row_is_left_to_its_writer_for_some_seconds() {
    let Some(database) = gctb_testkit::database("a_new_row_is_left_to_its_writer") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &batch, &[claim_of(0, 100)]).expect("claimed");
    assert!(db.lease_outbox(10, 30).expect("Postgres is there").is_empty());
    assert_eq!(db.outbox_backlog().expect("Postgres is there"), (1, 0));
}

#[test]
fn a_leased_row_is_the_message_that_was_written_and_comes_again_at_doubling_intervals() {
    let Some(database) = gctb_testkit::database("a_leased_row_is_the_message") else { return };
    let db = database.db();
    let message = due_rows(&database, 1);
    for seconds in [10, 20, 40, 80] {
        let leased = db.lease_outbox(10, 10).expect("Postgres is there");
        let [row] = leased.as_slice() else { panic!("one row is due") };
        let progress = BatchProgress::decode(&row.message.payload).expect("a progress").event;
        assert_eq!(progress, BatchProgress { batch_id: message.id, totals_version: 3 });
        assert_eq!(row.message.headers["traceparent"], "00-aa-bb-01");
        assert_eq!(row.message.headers["gctb-schema"], BatchProgress::SCHEMA);
        assert_eq!((row.kind, row.message.topic.as_str()), (OutboxKind::Progress, "gctb.completions"));
        assert!(db.lease_outbox(10, 10).expect("Postgres is there").is_empty(), "it is leased");
        assert!(
            (seconds - waits_seconds(&database)[0]).abs() <= 1,
            "{:?} instead of {seconds}",
            waits_seconds(&database)
        );
        due(&database);
    }
    db.execute_sql("UPDATE outbox SET emissions = 900").expect("sent often");
    db.lease_outbox(10, 10).expect("Postgres is there");
    assert!(waits_seconds(&database)[0] <= 3_600, "at most an hour");
}

#[test]
fn two_relays_at_once_take_different_rows() {
    let Some(database) = gctb_testkit::database("two_relays_at_once") else { return };
    let db = database.db();
    due_rows(&database, 20);
    let mut other_relay = PgConnection::establish(database.url()).expect("a connection of its own");
    other_relay
        .batch_execute("BEGIN; SELECT 1 FROM outbox ORDER BY due_at LIMIT 10 FOR UPDATE")
        .expect("ten rows in hand");
    // What another relay has in hand is neither taken nor waited for.
    let mut taken = ids(&db.lease_outbox(20, 600).expect("Postgres does not make it wait"));
    assert_eq!(taken.len(), 10);
    other_relay.batch_execute("COMMIT").expect("given back");
    taken.extend(ids(&db.lease_outbox(20, 600).expect("Postgres is there")));
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (20, 20));
}

#[test]
fn i8_rows_that_kafka_did_not_take_are_given_back_and_the_emission_does_not_count() {
    let Some(database) = gctb_testkit::database("i8_rows_that_kafka_did_not_take") else { return };
    let db = database.db();
    due_rows(&database, 2);
    for _ in 0..3 {
        let leased = db.lease_outbox(10, 600).expect("Postgres is there");
        assert_eq!(leased.len(), 2);
        db.release_outbox(&ids(&leased), 2).expect("given back");
        assert!(waits_seconds(&database).iter().all(|seconds| *seconds <= 2), "due again soon");
        due(&database);
    }
    assert_eq!(database.value("SELECT max(emissions)::text AS value FROM outbox"), "0");
    let leased = db.lease_outbox(10, 600).expect("Postgres is there");
    db.delete_outbox(&ids(&leased)).expect("delivered");
    assert_eq!(count(&database, "outbox"), "0");
}

#[test]
fn i5_a_status_row_ends_with_its_fold_and_not_with_its_delivery() {
    let Some(database) = gctb_testkit::database("i5_a_status_row_ends_with_its_fold") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &batch, &[claim_of(0, 100)]).expect("claimed");
    due(&database);
    let leased = db.lease_outbox(10, 30).expect("Postgres is there");
    let [row] = leased.as_slice() else { panic!("one row is due") };
    assert!(!row.kind.ends_with_delivery());
    let chunk = StatusChunk::decode(&row.message.payload).expect("a status chunk").event;
    assert_eq!(chunk.outbox_id, row.id);
    let entries: Vec<_> = chunk.entries.iter().collect();
    let folded = db.fold_status(batch.id, &entries, &[chunk.outbox_id]).expect("folded");
    assert_eq!((folded.changed, folded.already_known), (1, 0));
    assert_eq!(count(&database, "outbox"), "0");
    let again = db.fold_status(batch.id, &entries, &[chunk.outbox_id]).expect("no harm");
    assert_eq!((again.changed, again.already_known), (0, 1));
}

#[test]
fn a_status_row_that_kafka_has_waits_for_its_fold_and_comes_again_if_that_does_not() {
    let Some(database) = gctb_testkit::database("a_status_row_that_kafka_has") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    let outcome = claim(db, &batch, &[claim_of(0, 100)]).expect("claimed");
    let rows: Vec<Uuid> = outcome.outbox.iter().map(|row| row.id).collect();
    db.postpone_outbox(&rows, 30).expect("put off");
    assert!((29..=30).contains(&waits_seconds(&database)[0]), "{:?}", waits_seconds(&database));
    due(&database);
    assert_eq!(ids(&db.lease_outbox(10, 30).expect("Postgres is there")), rows);
}
