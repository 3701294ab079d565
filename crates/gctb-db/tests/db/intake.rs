//! Intake: one commit or nothing, and a message that comes again finds itself.

use chrono::Utc;
use gctb_db::{DbError, Fate, Intake, NewBatch, OutboxRow};
use gctb_events::BatchProgress;

use crate::world::{Item, Message, claim, claim_of, count, instruction, ledger, stored};

const TABLES: [&str; 7] =
    ["batches", "batch_controls", "batch_totals", "batch_sweeps", "payment_instructions", "payment_ledger", "outbox"];

fn outbox_row(message: &Message) -> OutboxRow {
    OutboxRow::progress(&BatchProgress { batch_id: message.id, totals_version: 0 }, None)
}

#[test]
fn i1_intake_is_one_commit_and_a_failure_at_its_end_leaves_nothing() {
    let Some(database) = gctb_testkit::database("i1_intake_is_one_commit") else { return };
    let db = database.db();
    // The ledger rows of the refused are written after the instructions, and the outbox rows after those.
    for broken in ["payment_ledger", "outbox"] {
        db.execute_sql(&format!("ALTER TABLE {broken} ADD CONSTRAINT nothing CHECK (batch_id IS NULL)"))
            .expect("broken");
        let message = Message::new(db, &[Item::Accepted(100), Item::Refused]);
        let result = message.store_with(db, &[outbox_row(&message)]);
        assert!(matches!(&result, Err(error) if error.fate() == Fate::Refused), "{result:?}");
        for table in TABLES {
            assert_eq!(count(&database, table), "0", "{table} after {broken} failed");
        }
        db.execute_sql(&format!("ALTER TABLE {broken} DROP CONSTRAINT nothing")).expect("mended");
        db.execute_sql("SELECT 1").expect("the connection is as good as new");
    }
    let message = Message::new(db, &[Item::Accepted(100), Item::Refused]);
    assert!(matches!(message.store_with(db, &[outbox_row(&message)]), Ok(Intake::Stored)));
    // KES is in flight, XXX failed.
    let expected = ["1", "1", "2", "1", "2", "1", "1"];
    assert_eq!(TABLES.map(|table| count(&database, table)), expected);
}

#[test]
fn i1_without_the_months_partition_nothing_is_stored() {
    let Some(database) = gctb_testkit::database("i1_without_the_months_partition") else { return };
    let db = database.db();
    let message = Message::new(db, &[Item::Accepted(100)]);
    let month = database.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM') AS value");
    db.execute_sql(&format!("DROP TABLE payment_instructions_{month}")).expect("dropped");
    message.store(db).expect_err("no place for the instructions");
    assert_eq!(count(&database, "batches"), "0");
    db.make_partitions(1).expect("made again");
    assert!(matches!(message.store(db), Ok(Intake::Stored)));
}

#[test]
fn a_message_that_comes_again_finds_what_is_stored_and_changes_nothing() {
    let Some(database) = gctb_testkit::database("a_message_that_comes_again") else { return };
    let db = database.db();
    let first = stored(db, &[Item::Accepted(100), Item::Refused]);
    let before = TABLES.map(|table| count(&database, table));
    let again = Message { transaction: first.transaction.clone(), ..Message::new(db, &[Item::Accepted(999)]) };
    let Ok(Intake::Existing(existing)) = again.store(db) else { panic!("the transaction is known") };
    assert_eq!((existing.batch_id(), existing.batch_no()), (first.id, first.no));
    assert_eq!(
        (existing.digest.as_slice(), existing.instruction_count, existing.in_flight),
        ([1, 2, 3].as_slice(), 2, 1)
    );
    let other = Message { message: first.message.clone(), ..Message::new(db, &[Item::Accepted(1)]) };
    assert!(matches!(other.store(db), Ok(Intake::MessageIdTaken)));
    assert_eq!(TABLES.map(|table| count(&database, table)), before);
    let stranger = Message { sender: "another", ..Message { transaction: first.transaction.clone(), ..other } };
    assert!(matches!(stranger.store(db), Ok(Intake::Stored)), "another sender's words are its own");
}

#[test]
fn i2_of_two_equal_messages_at_the_same_moment_one_is_stored() {
    let Some(database) = gctb_testkit::database("i2_of_two_equal_messages") else { return };
    let db = database.db();
    for _ in 0..10 {
        let first = Message::new(db, &[Item::Accepted(100); 50]);
        let twin = Message {
            transaction: first.transaction.clone(),
            message: first.message.clone(),
            ..Message::new(db, &first.items)
        };
        let barrier = std::sync::Barrier::new(2);
        let store = |message: &Message| {
            barrier.wait();
            matches!(message.store(db), Ok(Intake::Stored))
        };
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(|| store(&twin));
            (store(&first), other.join().expect("the thread ends"))
        });
        assert!(one ^ two, "one of the two is stored");
    }
    assert_eq!(count(&database, "payment_instructions"), "500");
}

#[test]
fn i2_a_refused_item_is_rejected_in_the_ledger_from_the_start_and_nobody_can_claim_it() {
    let Some(database) = gctb_testkit::database("i2_a_refused_item_is_rejected") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Refused, Item::Accepted(100)]);
    assert_eq!(ledger(&database, &batch), ["0:1:1"]);
    let outcome = claim(db, &batch, &[claim_of(0, 100), claim_of(1, 100)]).expect("claimed");
    assert_eq!((outcome.claimed, outcome.already_known), (1, 1));
    assert_eq!(ledger(&database, &batch), ["0:1:1", "1:3:1:file"]);
}

#[test]
fn i4_a_batch_of_refused_items_is_finished_from_the_start_and_says_so() {
    let Some(database) = gctb_testkit::database("i4_a_batch_of_refused_items") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Refused, Item::Refused]);
    let row = db.find_batch(batch.sender, &batch.transaction).expect("Postgres is there").expect("it is stored");
    assert_eq!((row.in_flight, row.totals_version), (0, 1));
    assert_eq!(database.value("SELECT kind::text AS value FROM outbox"), "3", "its progress is told");
    assert_eq!(count(&database, "batch_sweeps"), "0", "nothing is left to sweep");
}

#[test]
fn i4_numbers_that_are_not_those_of_the_instructions_store_nothing() {
    let Some(database) = gctb_testkit::database("i4_numbers_that_are_not_those") else { return };
    let db = database.db();
    let message = Message::new(db, &[Item::Accepted(100), Item::Refused]);
    for (instructions, in_flight) in [(3, 2), (2, 2), (2, 0), (1, 1)] {
        let batch = NewBatch {
            batch_id: message.id,
            batch_no: message.no,
            sender_id: message.sender,
            transaction_id: &message.transaction,
            message_id: &message.message,
            digest: &[1],
            digest_version: 1,
            request_timestamp: Utc::now(),
            received_at: Utc::now(),
            traceparent: None,
            instructions,
            in_flight,
        };
        let items = [instruction(0, "r-0", Item::Accepted(100)), instruction(1, "r-1", Item::Refused)];
        assert!(matches!(db.intake(&batch, items, || &[]), Err(DbError::Unreadable { .. })));
        assert_eq!(TABLES.map(|table| count(&database, table)), ["0"; 7], "{instructions} with {in_flight} in flight");
    }
    assert!(matches!(message.store(db), Ok(Intake::Stored)));
}

#[test]
fn a_batch_is_shown_to_its_sender_only() {
    let Some(database) = gctb_testkit::database("a_batch_is_shown_to_its_sender_only") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    assert!(db.find_batch_by_id("sender", batch.id).expect("Postgres is there").is_some());
    assert!(db.find_batch_by_id("another", batch.id).expect("Postgres is there").is_none());
    assert!(db.find_batch("another", &batch.transaction).expect("Postgres is there").is_none());
}

#[test]
fn i9_an_error_quotes_no_value() {
    let Some(database) = gctb_testkit::database("i9_an_error_quotes_no_value") else { return };
    let db = database.db();
    db.execute_sql("ALTER TABLE payment_instructions ALTER COLUMN payee_name TYPE varchar(2)").expect("narrowed");
    let too_long: DbError = Message::new(db, &[Item::Accepted(100)]).store(db).expect_err("too long");
    assert_eq!(too_long.fate(), Fate::Refused);
    // Postgres itself would say: invalid input syntax for type integer: "Payee".
    let quoting: DbError = db.execute_sql("SELECT 'Payee'::integer").expect_err("not a number");
    for error in [too_long, quoting] {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains("Postgres says"), "{cause}");
        assert!(!format!("{error} {cause} {error:?}").contains("Payee"), "{error:?}");
    }
}
