//! What banks say: judged line by line, recorded once; contradictions and lines that cannot be believed are kept.

use gctb_db::{FileLine, IncomingState, LineException, PutOutcome, Registration, SettleOutcome};
use gctb_domain::{Currency, LedgerState, Money, News, RailKey, Seq};
use gctb_testkit::TestDatabase;

use crate::world::{PUT_MAX, closed_file, count, file_backend, kes, ledger, line, response, sent_file, told};

/// Records a whole response file whose content is `content`.
fn settle(database: &TestDatabase, content: u8, lines: &[FileLine]) -> SettleOutcome {
    let total = i32::try_from(lines.len()).expect("few");
    let incoming = response(database.db(), content);
    database.db().settle_lines(&file_backend(), incoming, lines, Vec::new(), 0, total).expect("Postgres is there")
}

fn exceptions(database: &TestDatabase) -> Vec<String> {
    database.values("SELECT concat_ws(':', line_no, kind) AS value FROM file_exceptions ORDER BY incoming_id, line_no")
}

fn conflicts(database: &TestDatabase) -> Vec<String> {
    database.values(
        "SELECT concat_ws(':', seq, before_state, after_state, ledger_version) AS value FROM ledger_conflicts ORDER BY conflict_id",
    )
}

#[test]
fn answers_are_recorded_and_told_in_one_commit() {
    let Some(database) = gctb_testkit::database("answers_are_recorded_and_told") else { return };
    let (batch, _) = sent_file(database.db(), &[100, 200]);
    let lines = [line(2, &batch, 0, News::Paid, 100), line(3, &batch, 1, News::Refused, 200)];
    let outcome = settle(&database, 1, &lines);
    assert_eq!((outcome.recorded, outcome.exceptions, outcome.conflicts), (2, 0, 0));
    assert_eq!(ledger(&database, &batch), ["0:7:2:file", "1:8:2:file"]);
    let entries: Vec<_> = told(&outcome.outbox)
        .into_iter()
        .map(|entry| (entry.seq.0, entry.version, entry.state, entry.rail_reference, entry.reason.is_some()))
        .collect();
    let expected = [
        (0, 2, LedgerState::Paid, Some("bank-0".to_owned()), false),
        (1, 2, LedgerState::Failed, Some("bank-1".to_owned()), true),
    ];
    assert_eq!(entries, expected);
    let waiting =
        database.value(&format!("SELECT count(*)::text AS value FROM outbox WHERE id = '{}'", outcome.outbox[0].id));
    assert_eq!(waiting, "1", "the status is in the outbox with the ledger's change");
}

#[test]
fn a_line_that_cannot_be_believed_is_an_exception_and_stops_only_itself() {
    let Some(database) = gctb_testkit::database("a_line_that_cannot_be_believed") else { return };
    let db = database.db();
    let (batch, _) = sent_file(db, &[100; 5]);
    let usd = Money::from_minor(100, Currency::parse("USD").expect("a currency")).expect("positive");
    let key =
        |no: i64, seq: i32, attempt: i16| RailKey::new(gctb_domain::BatchNo(no), Seq(seq), attempt).expect("fits");
    let good = |line_no, seq| line(line_no, &batch, seq, News::Paid, 100);
    let lines = [
        FileLine { amount: kes(101), ..good(2, 0) },
        FileLine { amount: usd, ..good(3, 1) },
        FileLine { rail_key: key(batch.no.0, 2, 2), ..good(4, 2) },
        FileLine { rail_key: key(batch.no.0, 77, 1), ..good(5, 3) },
        FileLine { rail_key: key(batch.no.0 + 1_000, 0, 1), ..good(6, 3) },
        FileLine { news: News::Refused, ..good(7, 3) },
        FileLine { news: News::Returned, ..good(8, 3) },
        good(9, 4),
    ];
    let outcome = settle(&database, 1, &lines);
    assert_eq!((outcome.recorded, outcome.exceptions), (2, 6));
    let expected = [
        "2:amount_differs",
        "3:currency_differs",
        "4:other_attempt",
        "5:unknown_instruction",
        "6:unknown_batch",
        "8:impossible_news",
    ];
    assert_eq!(exceptions(&database), expected);
    let only_the_good = ["0:3:1:file", "1:3:1:file", "2:3:1:file", "3:8:2:file", "4:7:2:file"];
    assert_eq!(ledger(&database, &batch), only_the_good);
    assert_eq!(database.value("SELECT exception_count::text AS value FROM incoming_files"), "6");
    assert_eq!(db.exceptions(10).expect("Postgres is there").len(), 6);
}

#[test]
fn i2_another_backend_cannot_settle_what_it_did_not_claim() {
    let Some(database) = gctb_testkit::database("i2_another_backend_cannot_settle") else { return };
    let db = database.db();
    let (batch, _) = sent_file(db, &[100]);
    let other = gctb_domain::BackendName::parse("file-2").expect("a name");
    let lines = [line(2, &batch, 0, News::Paid, 100)];
    db.settle_lines(&other, response(db, 1), &lines, Vec::new(), 0, 1).expect("Postgres is there");
    assert_eq!(exceptions(&database), ["2:not_ours"]);
    assert_eq!(ledger(&database, &batch), ["0:3:1:file"]);
}

#[test]
fn lines_that_come_again_change_nothing() {
    let Some(database) = gctb_testkit::database("lines_that_come_again") else { return };
    let (batch, file) = sent_file(database.db(), &[100, 100]);
    let lines = [line(2, &batch, 0, News::Paid, 100), line(3, &batch, 1, News::Refused, 100)];
    settle(&database, 1, &lines);
    let before = ledger(&database, &batch);
    let in_outbox = count(&database, "outbox");
    // The same file read twice, and the same answers in another file.
    for content in [1, 2] {
        let outcome = settle(&database, content, &lines);
        assert_eq!((outcome.recorded, outcome.already_known, outcome.exceptions), (0, 2, 0), "content {content}");
        assert!(outcome.outbox.is_empty());
    }
    assert_eq!(ledger(&database, &batch), before);
    assert_eq!((count(&database, "outbox"), count(&database, "ledger_conflicts")), (in_outbox, "0".to_owned()));
    let answered =
        database.value(&format!("SELECT answered_count::text AS value FROM outgoing_files WHERE file_id = {file}"));
    assert_eq!(answered, "2");
}

#[test]
fn i3_paid_after_failed_is_paid_and_a_conflict() {
    let Some(database) = gctb_testkit::database("i3_paid_after_failed") else { return };
    let (batch, _) = sent_file(database.db(), &[100]);
    settle(&database, 1, &[line(2, &batch, 0, News::Refused, 100)]);
    let outcome = settle(&database, 2, &[line(2, &batch, 0, News::Paid, 100)]);
    assert_eq!((outcome.recorded, outcome.conflicts), (1, 1));
    assert_eq!(ledger(&database, &batch), ["0:7:3:file"]);
    assert_eq!(conflicts(&database), ["0:8:7:3"]);
    let entry = told(&outcome.outbox).remove(0);
    assert_eq!((entry.state, entry.reason), (LedgerState::Paid, None), "the old refusal's reason is gone");
}

#[test]
fn i3_refused_after_paid_leaves_it_paid_and_is_a_conflict() {
    let Some(database) = gctb_testkit::database("i3_refused_after_paid") else { return };
    let (batch, _) = sent_file(database.db(), &[100]);
    settle(&database, 1, &[line(2, &batch, 0, News::Paid, 100)]);
    let outcome = settle(&database, 2, &[line(2, &batch, 0, News::Refused, 100)]);
    assert_eq!(outcome.conflicts, 1);
    assert_eq!(ledger(&database, &batch), ["0:7:3:file"]);
    assert_eq!(conflicts(&database), ["0:7:7:3"]);
    let reference = database.value("SELECT rail_reference AS value FROM payment_ledger");
    assert_eq!(reference, "bank-0", "what was said when it was paid stands");
}

#[test]
fn i2_a_second_payment_under_another_reference_of_the_bank_is_a_conflict() {
    let Some(database) = gctb_testkit::database("i2_a_second_payment") else { return };
    let (batch, _) = sent_file(database.db(), &[100]);
    let paid = line(2, &batch, 0, News::Paid, 100);
    settle(
        &database,
        1,
        &[paid.clone(), FileLine { line_no: 3, rail_reference: Some("bank-again".to_owned()), ..paid }],
    );
    assert_eq!(conflicts(&database), ["0:7:7:2"]);
    assert_eq!(database.db().conflicts(10).expect("Postgres is there").len(), 1);
}

#[test]
fn money_that_comes_back_is_returned() {
    let Some(database) = gctb_testkit::database("money_that_comes_back") else { return };
    let (batch, _) = sent_file(database.db(), &[100]);
    settle(&database, 1, &[line(2, &batch, 0, News::Paid, 100)]);
    settle(&database, 2, &[line(2, &batch, 0, News::Returned, 100)]);
    assert_eq!(ledger(&database, &batch), ["0:9:3:file"]);
    assert_eq!(count(&database, "ledger_conflicts"), "0");
}

#[test]
fn i5_a_return_that_is_read_before_its_payment_ends_as_after_it() {
    let Some(database) = gctb_testkit::database("i5_a_return_that_is_read_before_its_payment") else { return };
    let (batch, file) = sent_file(database.db(), &[100]);
    let returned =
        FileLine { rail_reference: Some("bank-return".to_owned()), ..line(2, &batch, 0, News::Returned, 100) };
    settle(&database, 1, std::slice::from_ref(&returned));
    let outcome = settle(&database, 2, &[line(2, &batch, 0, News::Paid, 100)]);
    assert_eq!(outcome.recorded, 1, "it brings the reference of the payment");
    settle(&database, 3, &[line(3, &batch, 0, News::Paid, 100), returned]);
    assert_eq!(ledger(&database, &batch), ["0:9:3:file"]);
    assert_eq!(database.value("SELECT rail_reference AS value FROM payment_ledger"), "bank-0");
    assert_eq!((count(&database, "ledger_conflicts"), count(&database, "file_exceptions")), ("0".into(), "0".into()));
    let answered =
        database.value(&format!("SELECT answered_count::text AS value FROM outgoing_files WHERE file_id = {file}"));
    assert_eq!(answered, "1");
}

#[test]
fn i3_a_refusal_of_a_file_that_was_not_sent_is_no_answer_to_it() {
    let Some(database) = gctb_testkit::database("i3_a_refusal_of_a_file_that_was_not_sent") else { return };
    let (batch, _) = closed_file(database.db(), &[100]);
    let outcome = settle(&database, 1, &[line(2, &batch, 0, News::Refused, 100)]);
    assert_eq!((outcome.recorded, outcome.exceptions), (0, 1));
    assert_eq!(exceptions(&database), ["2:file_not_sent"]);
    assert_eq!(ledger(&database, &batch), ["0:3:1:file"]);
    let db = database.db();
    assert!(db.files_to_deliver(&file_backend()).expect("Postgres is there").is_empty(), "never put by itself");
    assert_eq!(
        db.overdue_files(48).expect("Postgres is there").len(),
        1,
        "an operator finds out why the bank knows of it"
    );
}

#[test]
fn i2_an_answer_to_a_put_that_seemed_to_fail_shows_that_the_bank_has_the_file() {
    let Some(database) = gctb_testkit::database("i2_an_answer_to_a_put_that_seemed_to_fail") else { return };
    let db = database.db();
    let (batch, file) = closed_file(db, &[100, 200]);
    let owner = uuid::Uuid::new_v4();
    assert!(db.begin_delivery(file, owner, &[1; 32], 1).expect("Postgres is there").is_begun());
    db.deliver(file, owner, PUT_MAX, |_| PutOutcome::NothingSeen { retry_after_ms: 0 }).expect("Postgres is there");
    assert_eq!(db.files_to_deliver(&file_backend()).expect("Postgres is there").len(), 1, "it would be put again");
    // Not even an answer that can be believed: its amount is wrong. It is an answer to the file all the same.
    settle(&database, 1, &[line(2, &batch, 0, News::Accepted, 999)]);
    assert!(db.files_to_deliver(&file_backend()).expect("Postgres is there").is_empty(), "it is not put again");
    let outcome = settle(&database, 2, &[line(2, &batch, 0, News::Refused, 100)]);
    assert_eq!(outcome.recorded, 1, "its answers are believed");
}

#[test]
fn a_response_that_was_recorded_in_part_goes_on_where_it_stopped() {
    let Some(database) = gctb_testkit::database("a_response_that_was_recorded_in_part") else { return };
    let db = database.db();
    let (batch, _) = sent_file(db, &[100; 3]);
    let lines: Vec<FileLine> = (0..3).map(|seq| line(seq + 2, &batch, seq, News::Paid, 100)).collect();
    let incoming = response(db, 1);
    let unreadable = LineException {
        line_no: 9,
        kind: "unreadable",
        detail: "no amount".to_owned(),
        payment_ref: "?".to_owned(),
        instruction: None,
    };
    db.settle_lines(&file_backend(), incoming, &lines[..2], vec![unreadable.clone()], 0, 3).expect("recorded");
    let Ok(Registration::Known(known)) = db.register_incoming(&file_backend(), "again.csv", &[1; 32], 10) else {
        panic!("the content is known")
    };
    assert_eq!((known.incoming_id, known.state, known.lines_done), (incoming, IncomingState::New, 3));
    let repeated = db.settle_lines(&file_backend(), incoming, &lines[..2], vec![unreadable], 0, 3).expect("no harm");
    assert_eq!((repeated.recorded, repeated.already_known), (0, 2));
    db.finish_incoming(incoming, 4).expect("Postgres is there");
    assert_eq!(database.value("SELECT state::text AS value FROM incoming_files"), "1", "a line is missing");
    let rest = db.settle_lines(&file_backend(), incoming, &lines[2..], Vec::new(), 3, 4).expect("recorded");
    assert_eq!(rest.recorded, 1);
    db.finish_incoming(incoming, 4).expect("Postgres is there");
    assert_eq!(
        database.value("SELECT concat_ws(':', state, lines_done, exception_count) AS value FROM incoming_files"),
        "2:4:1"
    );
    assert_eq!(exceptions(&database), ["9:unreadable"]);
}

#[test]
fn a_response_of_the_wrong_structure_is_set_aside_and_none_of_it_is_used() {
    let Some(database) = gctb_testkit::database("a_response_of_the_wrong_structure") else { return };
    let db = database.db();
    let (batch, _) = sent_file(db, &[100]);
    let incoming = response(db, 1);
    db.set_incoming_aside(incoming, 1, "line 1: no column payment_ref").expect("set aside");
    let outcome = settle(&database, 1, &[line(2, &batch, 0, News::Paid, 100)]);
    assert_eq!((outcome.recorded, outcome.already_known), (0, 1));
    assert_eq!(ledger(&database, &batch), ["0:3:1:file"]);
    let Ok(Registration::Known(known)) = db.register_incoming(&file_backend(), "x.csv", &[1; 32], 10) else {
        panic!("the content is known")
    };
    assert_eq!(known.state, IncomingState::SetAside);
}

#[test]
fn i2_the_same_response_read_by_two_replicas_at_once_is_recorded_once() {
    let Some(database) = gctb_testkit::database("i2_the_same_response_read_by_two") else { return };
    let db = database.db();
    for content in 1..=10 {
        let (batch, _) = sent_file(db, &[100; 20]);
        let lines: Vec<FileLine> = (0..20).map(|seq| line(seq + 2, &batch, seq, News::Paid, 100)).collect();
        let incoming = response(db, content);
        let barrier = std::sync::Barrier::new(2);
        let replica = || {
            barrier.wait();
            db.settle_lines(&file_backend(), incoming, &lines, Vec::new(), 0, 20).expect("Postgres is there").recorded
        };
        let recorded = std::thread::scope(|scope| {
            let other = scope.spawn(replica);
            replica() + other.join().expect("the thread ends")
        });
        assert_eq!(recorded, 20);
    }
    assert_eq!(count(&database, "ledger_conflicts"), "0");
}

#[test]
fn i2_two_answers_about_the_same_payments_at_the_same_moment_are_judged_one_after_the_other() {
    let Some(database) = gctb_testkit::database("i2_two_answers_about_the_same_payments") else { return };
    let db = database.db();
    let (batch, file) = sent_file(db, &[100; 300]);
    let all = |news: News| (0..300).map(|seq| line(seq + 2, &batch, seq, news, 100)).collect::<Vec<_>>();
    let barrier = std::sync::Barrier::new(2);
    let record = |content: u8, lines: Vec<FileLine>| {
        let incoming = response(db, content);
        barrier.wait();
        db.settle_lines(&file_backend(), incoming, &lines, Vec::new(), 0, 300).expect("judged")
    };
    // One bank file says PAID, another one of the same payments says refused: whoever is second meets a conflict.
    let (paid, refused) = std::thread::scope(|scope| {
        let other = scope.spawn(|| record(2, all(News::Refused)));
        (record(1, all(News::Paid)), other.join().expect("the thread ends"))
    });
    assert_eq!(paid.conflicts + refused.conflicts, 300, "{paid:?} {refused:?}");
    assert_eq!(ledger(&database, &batch).iter().filter(|row| row.contains(":7:3:")).count(), 300, "all PAID");
    let answered = format!("SELECT answered_count::text AS value FROM outgoing_files WHERE file_id = {file}");
    assert_eq!(database.value(&answered), "300", "each line became final once");
}
