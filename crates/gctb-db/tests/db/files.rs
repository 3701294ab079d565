//! Payment files: put at most once by themselves, resolved by an operator only after a quarantine and with evidence.

use gctb_db::{FileState, PutOutcome, Resolution};
use gctb_domain::News;
use uuid::Uuid;

use crate::world::{PUT_MAX, closed_file, count, file_backend, ledger, line, response, sent_file};

fn state(database: &gctb_testkit::TestDatabase, file: i64) -> String {
    database.value(&format!("SELECT state::text AS value FROM outgoing_files WHERE file_id = {file}"))
}

fn name(database: &gctb_testkit::TestDatabase, file: i64) -> String {
    database.value(&format!("SELECT name AS value FROM outgoing_files WHERE file_id = {file}"))
}

#[test]
fn i2_a_file_is_put_by_one_owner_and_only_once() {
    let Some(database) = gctb_testkit::database("i2_a_file_is_put_by_one_owner") else { return };
    let db = database.db();
    let (_, file) = closed_file(db, &[100, 200]);
    let due = db.files_to_deliver(&file_backend()).expect("Postgres is there");
    assert_eq!(due.iter().map(|file| (file.line_count, file.amount_minor)).collect::<Vec<_>>(), [(2, 300)]);
    let (owner, other) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(db.begin_delivery(file, owner, &[1; 32], 1).expect("Postgres is there").is_begun());
    assert!(!db.begin_delivery(file, other, &[1; 32], 1).expect("Postgres is there").is_begun(), "somebody puts it");
    assert!(db.files_to_deliver(&file_backend()).expect("Postgres is there").is_empty());
    assert_eq!(db.deliver(file, other, PUT_MAX, |_| panic!("not its file")).expect("Postgres is there"), None);
    let mut puts = 0;
    let mut put = || {
        db.deliver(file, owner, PUT_MAX, |file| {
            assert_eq!((file.state, file.line_count), (FileState::Delivering, 2));
            puts += 1;
            PutOutcome::Delivered
        })
    };
    assert_eq!(put().expect("Postgres is there"), Some(PutOutcome::Delivered));
    assert_eq!(put().expect("Postgres is there"), None, "it is at the bank");
    assert_eq!(puts, 1);
    assert_eq!(state(&database, file), "4");
}

#[test]
fn a_put_that_failed_with_nothing_to_be_seen_is_tried_again_later() {
    let Some(database) = gctb_testkit::database("a_put_that_failed") else { return };
    let db = database.db();
    let (_, file) = closed_file(db, &[100]);
    let owner = Uuid::new_v4();
    assert!(db.begin_delivery(file, owner, &[1; 32], 1).expect("Postgres is there").is_begun());
    let outcome = PutOutcome::NothingSeen { retry_after_ms: 3_600_000 };
    assert_eq!(db.deliver(file, owner, PUT_MAX, |_| outcome).expect("Postgres is there"), Some(outcome));
    assert_eq!(state(&database, file), "2");
    assert!(db.files_to_deliver(&file_backend()).expect("Postgres is there").is_empty(), "not before its time");
    db.execute_sql("UPDATE outgoing_files SET retry_at = now()").expect("its time has come");
    assert_eq!(db.files_to_deliver(&file_backend()).expect("Postgres is there").len(), 1);
}

#[test]
fn i2_a_delivery_that_broke_off_is_looked_for_and_never_put_by_itself_again() {
    let Some(database) = gctb_testkit::database("i2_a_delivery_that_broke_off") else { return };
    let db = database.db();
    let (_, found) = closed_file(db, &[100]);
    let (_, lost) = closed_file(db, &[100]);
    for file in [found, lost] {
        assert!(db.begin_delivery(file, Uuid::new_v4(), &[1; 32], 1).expect("Postgres is there").is_begun());
    }
    let look = |file: &gctb_db::OutgoingFile| {
        if file.file_id == found { PutOutcome::Delivered } else { PutOutcome::NothingSeen { retry_after_ms: 0 } }
    };
    let outcomes = db.recover_deliveries(&file_backend(), 0, look).expect("Postgres is there");
    let outcomes: Vec<PutOutcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [PutOutcome::Delivered, PutOutcome::Unclear]);
    assert_eq!((state(&database, found), state(&database, lost)), ("4".to_owned(), "3".to_owned()));
    assert!(!db.begin_delivery(lost, Uuid::new_v4(), &[1; 32], 1).expect("Postgres is there").is_begun());
    assert!(db.files_to_deliver(&file_backend()).expect("Postgres is there").is_empty());
    let (_, waiting) = db.file_counts(&file_backend()).expect("Postgres is there");
    assert_eq!(waiting, 1, "it waits for an operator");
    let overdue = db.overdue_files(48).expect("Postgres is there");
    assert_eq!(overdue.iter().map(|file| file.file_id).collect::<Vec<_>>(), [lost]);
}

#[test]
fn i2_an_operators_word_needs_a_quarantine_and_leaves_its_evidence() {
    let Some(database) = gctb_testkit::database("i2_an_operators_word") else { return };
    let db = database.db();
    let (_, file) = closed_file(db, &[100]);
    let name = name(&database, file);
    let resolve = |quarantine: i64, dry_run: bool| {
        db.resolve_file(&name, Resolution::Absent, "operator", "the bank's letter", quarantine, dry_run)
            .expect("Postgres is there")
            .map(|(_, allowed)| allowed)
    };
    assert_eq!(resolve(0, false), Some(false), "nobody doubts a file that was not put");
    assert!(db.begin_delivery(file, Uuid::new_v4(), &[1; 32], 1).expect("Postgres is there").is_begun());
    assert_eq!(resolve(0, false), Some(false), "nobody has looked for it yet");
    db.recover_deliveries(&file_backend(), 0, |_| PutOutcome::Unclear).expect("Postgres is there");
    assert_eq!(resolve(3_600, false), Some(false), "a put may still be under way");
    assert_eq!(count(&database, "operator_actions"), "0");
    assert_eq!(resolve(0, true), Some(true), "it would be allowed");
    assert_eq!((state(&database, file), count(&database, "operator_actions")), ("3".to_owned(), "0".to_owned()));
    assert_eq!(resolve(0, false), Some(true));
    assert_eq!(state(&database, file), "2", "it is put again, byte for byte");
    let action =
        database.value("SELECT concat_ws('|', actor, action, target, evidence) AS value FROM operator_actions");
    assert_eq!(action, format!("operator|files resolve --absent|{name}|the bank's letter"));
    assert_eq!(
        db.resolve_file("no-such.csv", Resolution::Absent, "o", "e", 0, false).expect("Postgres is there").map(|_| ()),
        None
    );
}

#[test]
fn i2_what_was_answered_can_not_be_called_absent() {
    let Some(database) = gctb_testkit::database("i2_what_was_answered") else { return };
    let db = database.db();
    let (batch, file) = closed_file(db, &[100, 100]);
    let answer = [line(2, &batch, 0, News::Paid, 100)];
    db.settle_lines(&file_backend(), response(db, 1), &answer, Vec::new(), 0, 1).expect("recorded");
    let resolve = |resolution| {
        let resolved = db.resolve_file(&name(&database, file), resolution, "operator", "a letter", 0, false);
        resolved.expect("Postgres is there").expect("the file is known").1
    };
    assert!(!resolve(Resolution::Absent));
    assert!(resolve(Resolution::Delivered));
    assert_eq!(state(&database, file), "4");
}

#[test]
fn i2_an_answer_to_a_file_that_was_not_sent_keeps_it_from_ever_being_put_by_itself() {
    let Some(database) = gctb_testkit::database("i2_an_answer_to_a_file_that_was_not_sent") else { return };
    let db = database.db();
    let (batch, file) = closed_file(db, &[100, 100]);
    let paid = [line(2, &batch, 0, News::Paid, 100)];
    let outcome = db.settle_lines(&file_backend(), response(db, 1), &paid, Vec::new(), 0, 1).expect("recorded");
    assert_eq!((outcome.recorded, outcome.exceptions), (1, 0), "money moved: PAID is believed at once");
    assert_eq!(ledger(&database, &batch), ["0:7:2:file", "1:3:1:file"]);
    assert!(db.files_to_deliver(&file_backend()).expect("Postgres is there").is_empty());
    assert!(!db.begin_delivery(file, Uuid::new_v4(), &[1; 32], 1).expect("Postgres is there").is_begun());
    assert_eq!(db.file_counts(&file_backend()).expect("Postgres is there").1, 1, "an operator must look");
}

#[test]
fn a_file_whose_last_line_is_answered_is_done_and_one_that_is_not_is_overdue() {
    let Some(database) = gctb_testkit::database("a_file_whose_last_line_is_answered") else { return };
    let db = database.db();
    let (batch, file) = sent_file(db, &[100, 100]);
    db.execute_sql("UPDATE outgoing_files SET dispatched_at = now() - interval '3 days'").expect("long ago");
    assert_eq!(db.overdue_files(48).expect("Postgres is there").len(), 1);
    let incoming = response(db, 1);
    for (seq, state_after) in [(0, "4"), (1, "5")] {
        let answer = [line(seq + 2, &batch, seq, News::Paid, 100)];
        db.settle_lines(&file_backend(), incoming, &answer, Vec::new(), seq, seq + 1).expect("recorded");
        assert_eq!(state(&database, file), state_after);
    }
    assert!(db.overdue_files(48).expect("Postgres is there").is_empty());
}

#[test]
fn a_file_without_a_line_is_void_and_never_sent() {
    let Some(database) = gctb_testkit::database("a_file_without_a_line") else { return };
    let db = database.db();
    let (_, file) = closed_file(db, &[100]);
    db.execute_sql(
        "INSERT INTO outgoing_files (name, backend, payer_fa, currency, close_due_at) VALUES ('empty.csv', 'file', 'p', 'KES', now())",
    )
    .expect("opened");
    let [empty] = db.files_due_to_close(&file_backend()).expect("Postgres is there")[..] else { panic!("one is due") };
    assert!(db.close_file(empty).expect("Postgres is there"));
    assert!(!db.close_file(empty).expect("Postgres is there"), "closed once");
    assert_eq!(state(&database, empty), "6");
    let due: Vec<i64> =
        db.files_to_deliver(&file_backend()).expect("Postgres is there").iter().map(|file| file.file_id).collect();
    assert_eq!(due, [file]);
}
