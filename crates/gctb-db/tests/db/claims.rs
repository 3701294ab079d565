//! Claims: whoever inserts the ledger row first decides (invariant I2); who inserts nothing obeys the row that is there.

use std::collections::HashMap;
use std::sync::Barrier;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use gctb_db::{Claim, ControlState, DbError, Rejection};
use gctb_domain::{BackendName, LedgerState, ReasonCode, Seq};
use gctb_testkit::eventually;

use crate::fold::waiters;
use crate::world::{Item, Message, claim, claim_of, count, due_in, file_backend, file_of, ledger, stored, told};

fn rejection(seq: i32) -> Rejection {
    Rejection { seq: Seq(seq), reason: ReasonCode::PayeeFaInvalid, message: "no such payee".to_owned() }
}

fn claims(count: i32) -> Vec<Claim> {
    (0..count).map(|seq| claim_of(seq, 100)).collect()
}

#[test]
fn i2_two_replicas_that_claim_the_same_chunk_at_once_give_each_instruction_one_row() {
    let Some(database) = gctb_testkit::database("i2_two_replicas_that_claim") else { return };
    let db = database.db();
    for _ in 0..10 {
        let batch = stored(db, &[Item::Accepted(100); 50]);
        let barrier = Barrier::new(2);
        let replica = |name: &str| {
            let backend = BackendName::parse(name).expect("a name");
            barrier.wait();
            db.claim_for_files(&backend, batch.id, batch.no, &claims(50), &HashMap::new(), 1_000, None)
                .expect("claimed")
        };
        // Of one backend, or after a changed route of two: the row is the judge all the same.
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(|| replica("file-2"));
            (replica("file"), other.join().expect("the thread ends"))
        });
        assert_eq!(one.claimed + two.claimed, 50);
        assert_eq!(one.already_known + two.already_known, 50);
        assert_eq!(ledger(&database, &batch).len(), 50);
        for outcome in [&one, &two] {
            // Who comes too late for every row fills no file.
            let files = outcome.files.values().map(|place| place.file_id);
            let lines = files.map(|file| db.payment_lines(file).expect("Postgres is there").len());
            assert_eq!(lines.sum::<usize>(), outcome.claimed);
            assert_eq!(told(&outcome.outbox).len(), 50, "each replica tells of every instruction as its row stands");
        }
    }
}

#[test]
fn i2_a_claim_of_what_the_mapper_rejected_obeys_the_row_and_tells_of_it() {
    let Some(database) = gctb_testkit::database("i2_a_claim_of_what_the_mapper_rejected") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    let decided = db.reject(batch.id, batch.no, &[rejection(0)], None).expect("rejected");
    assert_eq!((decided.inserted, decided.already_known), (1, 0));
    let outcome = claim(db, &batch, &claims(1)).expect("obeyed");
    assert_eq!((outcome.claimed, outcome.already_known), (0, 1));
    assert_eq!(ledger(&database, &batch), ["0:1:1"]);
    let states: Vec<LedgerState> = told(&outcome.outbox).iter().map(|entry| entry.state).collect();
    assert_eq!(states, [LedgerState::Rejected]);
}

#[test]
fn i2_a_rejection_of_what_a_backend_claimed_obeys_the_row_and_tells_of_it() {
    let Some(database) = gctb_testkit::database("i2_a_rejection_of_what_a_backend_claimed") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &batch, &claims(1)).expect("claimed");
    let decided = db.reject(batch.id, batch.no, &[rejection(0)], None).expect("obeyed");
    assert_eq!((decided.inserted, decided.already_known), (0, 1));
    assert_eq!(ledger(&database, &batch), ["0:3:1:file"]);
    assert_eq!(told(&decided.outbox)[0].state, LedgerState::Claimed);
}

#[test]
fn a_replayed_claim_changes_nothing_in_ledger_or_file() {
    let Some(database) = gctb_testkit::database("a_replayed_claim_changes_nothing") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let first = claim(db, &batch, &claims(3)).expect("claimed");
    let before = ledger(&database, &batch);
    // The mapper answers differently the second time.
    let other: Vec<Claim> = claims(3)
        .into_iter()
        .map(|claim| Claim { resolved_fa: "account:9@x.y.bank_acc".to_owned(), ..claim })
        .collect();
    let again = claim(db, &batch, &other).expect("obeyed");
    assert_eq!((again.claimed, again.already_known), (0, 3));
    assert_eq!(ledger(&database, &batch), before);
    let lines = db.payment_lines(file_of(&first)).expect("Postgres is there");
    assert!(lines.iter().all(|line| line.resolved_fa.ends_with("@c.d.bank_acc")), "paid to the first answer");
}

#[test]
fn of_claims_that_come_twice_in_one_commit_the_first_counts() {
    let Some(database) = gctb_testkit::database("of_claims_that_come_twice") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let other = Claim { resolved_fa: "account:9@x.y.bank_acc".to_owned(), ..claim_of(1, 100) };
    let outcome = claim(db, &batch, &[claim_of(1, 100), claim_of(0, 100), other]).expect("claimed");
    assert_eq!((outcome.claimed, outcome.already_known), (2, 1));
    assert_eq!(ledger(&database, &batch), ["0:3:1:file", "1:3:1:file"]);
    let lines = db.payment_lines(file_of(&outcome)).expect("Postgres is there");
    assert!(lines.iter().all(|line| line.resolved_fa.ends_with("@c.d.bank_acc")), "paid to the first answer");
    let told = told(&outcome.outbox);
    assert_eq!(told.len(), 2);
    let stands = database
        .values("SELECT DISTINCT floor(extract(epoch FROM changed_at) * 1000)::text AS value FROM payment_ledger");
    assert_eq!(stands, [told[0].changed_at.timestamp_millis().to_string()], "the event tells the row's time");
}

#[test]
fn positions_far_apart_are_claimed_and_known_again() {
    let Some(database) = gctb_testkit::database("positions_far_apart") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2_500]);
    let far: Vec<Claim> = [0, 1, 1_200, 2_499].into_iter().map(|seq| claim_of(seq, 100)).collect();
    assert_eq!(claim(db, &batch, &far).expect("claimed").claimed, 4);
    let again = claim(db, &batch, &claims(2_500)).expect("obeyed");
    assert_eq!((again.claimed, again.already_known), (2_496, 4));
    assert_eq!(told(&again.outbox).len(), 2_500);
}

#[test]
fn what_is_not_due_is_not_claimed() {
    let Some(database) = gctb_testkit::database("what_is_not_due_is_not_claimed") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let outcome = claim(db, &batch, &[due_in(claim_of(0, 100), 3_600), due_in(claim_of(1, 100), -1)]).expect("claimed");
    assert_eq!((outcome.claimed, outcome.not_now), (1, 1));
    assert_eq!(ledger(&database, &batch), ["1:3:1:file"]);
}

#[test]
fn a_held_batch_is_not_claimed_and_a_cancelled_one_ends() {
    let Some(database) = gctb_testkit::database("a_held_batch_is_not_claimed") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 3]);
    claim(db, &batch, &claims(1)).expect("the first is claimed while the batch is open");
    db.set_control(batch.id, ControlState::Held).expect("held");
    let held = claim(db, &batch, &claims(3)).expect("dropped");
    assert_eq!((held.claimed, held.not_now, held.outbox.len()), (0, 3, 0));
    db.set_control(batch.id, ControlState::Cancelled).expect("cancelled");
    let cancelled = claim(db, &batch, &claims(3)).expect("cancelled");
    assert_eq!((cancelled.claimed, cancelled.cancelled, cancelled.already_known), (0, 2, 1));
    // What was claimed before may be paid: the cancel came too late for it.
    assert_eq!(ledger(&database, &batch), ["0:3:1:file", "1:2:1", "2:2:1"]);
    db.set_control(batch.id, ControlState::Open).expect("opened again");
    let late = claim(db, &batch, &claims(3)).expect("obeyed");
    assert_eq!((late.claimed, late.already_known), (0, 3), "what was cancelled stays so");
}

#[test]
fn a_rejection_in_a_cancelled_batch_is_a_cancellation() {
    let Some(database) = gctb_testkit::database("a_rejection_in_a_cancelled_batch") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    db.set_control(batch.id, ControlState::Cancelled).expect("cancelled");
    db.reject(batch.id, batch.no, &[rejection(0)], None).expect("decided");
    assert_eq!(ledger(&database, &batch), ["0:2:1"]);
}

#[test]
fn what_the_layout_cannot_carry_is_rejected_and_is_in_no_file() {
    let Some(database) = gctb_testkit::database("what_the_layout_cannot_carry") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let refusal = Some((ReasonCode::PayeeFaInvalid, "the layout has no place for it".to_owned()));
    let outcome = claim(db, &batch, &[Claim { refusal, ..claim_of(0, 100) }, claim_of(1, 100)]).expect("claimed");
    assert_eq!((outcome.claimed, outcome.rejected), (1, 1));
    assert_eq!(ledger(&database, &batch), ["0:1:1", "1:3:1:file"]);
    assert_eq!(db.payment_lines(file_of(&outcome)).expect("Postgres is there").len(), 1);
}

#[test]
fn i2_nobody_pays_or_decides_about_a_batch_that_this_database_does_not_know() {
    let Some(database) = gctb_testkit::database("i2_a_batch_that_this_database_does_not_know") else { return };
    let db = database.db();
    let lost = Message::new(db, &[Item::Accepted(100)]);
    let unknown = |result: Option<DbError>| assert!(matches!(result, Some(DbError::UnknownBatch { .. })), "{result:?}");
    unknown(claim(db, &lost, &claims(1)).err());
    unknown(db.reject(lost.id, lost.no, &[rejection(0)], None).err());
    unknown(db.set_control(lost.id, ControlState::Held).err());
    unknown(db.fold_status(lost.id, &[], &[]).err());
    assert_eq!(count(&database, "payment_ledger"), "0");
    assert_eq!(count(&database, "outgoing_files"), "0");
}

#[test]
fn i2_a_cancel_waits_for_a_claim_that_saw_the_batch_open() {
    let Some(database) = gctb_testkit::database("i2_a_cancel_waits_for_a_claim") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let files = claim(db, &batch, &claims(1)).expect("the first one opens a file").files;
    // The claim of the second one has seen the control row, and waits for its file.
    let mut holder = PgConnection::establish(database.url()).expect("a connection");
    holder.batch_execute("BEGIN; SELECT 1 FROM outgoing_files FOR UPDATE").expect("the file's lock");
    let overtaken = std::thread::scope(|scope| {
        scope.spawn(|| {
            db.claim_for_files(&file_backend(), batch.id, batch.no, &claims(2), &files, 1_000, None).expect("claimed")
        });
        eventually("a claim that waits for its file", || (waiters(&database) == 1).then_some(()));
        let cancel = scope.spawn(|| db.set_control(batch.id, ControlState::Cancelled).expect("cancelled"));
        eventually("a cancel that waits or is done", || {
            (waiters(&database) == 2 || cancel.is_finished()).then_some(())
        });
        let overtaken = cancel.is_finished();
        holder.batch_execute("COMMIT").expect("the file is free");
        overtaken
    });
    assert!(!overtaken, "who has cancelled a batch may tell the sender that nothing more of it is claimed");
    assert_eq!(ledger(&database, &batch), ["0:3:1:file", "1:3:1:file"]);
}

#[test]
fn i2_a_close_counts_every_claim_however_they_race() {
    let Some(database) = gctb_testkit::database("i2_a_close_counts_every_claim") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 400]);
    std::thread::scope(|scope| {
        let claiming = scope.spawn(|| {
            let mut files = HashMap::new();
            for chunk in claims(400).chunks(4) {
                let outcome =
                    db.claim_for_files(&file_backend(), batch.id, batch.no, chunk, &files, 0, None).expect("claimed");
                assert_eq!(outcome.claimed, 4);
                files = outcome.files;
            }
        });
        while !claiming.is_finished() {
            for file in db.files_due_to_close(&file_backend()).expect("Postgres is there") {
                db.close_file(file).expect("Postgres is there");
            }
        }
    });
    for file in db.files_due_to_close(&file_backend()).expect("Postgres is there") {
        assert!(db.close_file(file).expect("Postgres is there"));
    }
    let wrong = database.values(
        "SELECT f.name AS value FROM outgoing_files f LEFT JOIN payment_ledger l USING (file_id)
         GROUP BY f.file_id HAVING f.line_count <> count(l.seq) OR f.amount_minor <> coalesce(sum(l.amount), 0) OR f.state = 1",
    );
    assert!(wrong.is_empty(), "files whose count is not that of their lines: {wrong:?}");
    assert_eq!(database.value("SELECT sum(line_count)::text AS value FROM outgoing_files"), "400");
    let files: usize = count(&database, "outgoing_files").parse().expect("a number");
    assert!(files > 1, "the closer took files away from under the claims");
}
