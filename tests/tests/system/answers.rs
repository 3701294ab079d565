//! Banks that answer late, wrongly, or twice.

use gctb_system_tests::bank::minor;
use gctb_system_tests::equation::{assert_all_ended, assert_witnesses_agree};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Options, System};
use gctb_testkit::eventually_within;

fn count(system: &System, what: &str) -> usize {
    system.database.value(&format!("SELECT count(*)::text AS value FROM {what}")).parse().expect("a count")
}

fn wait_for_count(system: &System, what: &str, wanted: usize) {
    eventually_within(PATIENCE, what, || (count(system, what) == wanted).then_some(()));
}

#[test]
fn i3_a_file_that_the_bank_does_not_answer_stays_in_flight_until_it_does() {
    let test = "i3_a_file_that_the_bank_does_not_answer_stays_in_flight_until_it_does";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.bank().respond("none");
    let sent = system.submit(Batch::payable(40));
    eventually_within(PATIENCE, "the bank to pay", || (system.bank().book().len() == 40).then_some(()));
    assert_eq!(assert_witnesses_agree(&system).in_flight.count, 40, "paid by the bank, but nobody has said so");
    assert_eq!(system.completed(&sent), Some(0));
    eventually_within(PATIENCE, "a file whose answer is owed", || {
        (system.bank().respond_rest()["files"] == 1).then_some(())
    });
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn a_response_file_of_the_wrong_structure_is_set_aside_whole_and_decides_nothing() {
    let test = "a_response_file_of_the_wrong_structure_is_set_aside_whole_and_decides_nothing";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.bank().respond("bad_structure");
    let sent = system.submit(Batch::payable(40));
    wait_for_count(&system, "incoming_files WHERE state = 3 AND problem IS NOT NULL", 1);
    assert_eq!(system.completed(&sent), Some(0), "nothing is decided by it");
    system.bank().respond("all");
    system.bank().respond_rest();
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn a_line_with_a_wrong_amount_currency_or_reference_goes_to_the_exceptions_and_decides_nothing() {
    let test = "a_line_with_a_wrong_amount_currency_or_reference_goes_to_the_exceptions_and_decides_nothing";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    let mut exceptions = 0;
    for respond in ["wrong_amount", "wrong_currency", "unknown_ref"] {
        system.bank().respond(respond);
        let sent = system.submit(Batch::payable(40));
        // Every tenth line is spoilt.
        exceptions += 4;
        wait_for_count(&system, "file_exceptions", exceptions);
        eventually_within(PATIENCE, "the other lines to be believed", || {
            (system.completed(&sent) == Some(36)).then_some(())
        });
        system.bank().respond_rest();
        eventually_within(PATIENCE, "the truth", || (system.completed(&sent) == Some(40)).then_some(()));
    }
    system.wait_until_finished();
    assert_all_ended(&system);
    let listed = system.gctb(&["exceptions", "list"]);
    assert!(listed.contains("amount_differs") && listed.contains("currency_differs"), "{listed}");
}

#[test]
fn i3_a_bank_that_contradicts_itself_is_believed_where_it_paid_and_the_conflict_is_listed() {
    let test = "i3_a_bank_that_contradicts_itself_is_believed_where_it_paid_and_the_conflict_is_listed";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    let mut conflicts = 0;
    for (respond, contradictions) in [("duplicate_lines", 0), ("paid_then_rejected", 4), ("rejected_then_paid", 4)] {
        system.bank().respond(respond);
        let sent = system.submit(Batch::payable(40));
        conflicts += contradictions;
        wait_for_count(&system, "ledger_conflicts", conflicts);
        eventually_within(PATIENCE, "every line to be decided", || (system.completed(&sent) == Some(40)).then_some(()));
        system.wait_for_an_empty_outbox();
    }
    system.wait_for_ledger("7", 120);
    system.wait_until_finished();
    assert_all_ended(&system);
    assert_eq!(count(&system, "ledger_conflicts"), conflicts);
    let listed = system.gctb(&["conflicts", "list"]);
    assert!(listed.contains("FAILED") || listed.contains("PAID"), "{listed}");
}

#[test]
fn i4_money_that_the_bank_sends_back_is_returned_and_counted_as_such() {
    let test = "i4_money_that_the_bank_sends_back_is_returned_and_counted_as_such";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.submit(Batch::payable(40));
    system.wait_until_finished();
    let answered = std::fs::read_dir(system.path("bank/incoming/processed")).expect("a folder").next();
    let answer = std::fs::read_to_string(answered.expect("an answer").expect("readable").path()).expect("text");
    std::fs::write(system.path("bank/incoming/returns.csv"), returns(&answer, 4)).expect("the bank can write");
    system.wait_for_ledger("9", 4);
    system.wait_for_an_empty_outbox();
    let account = assert_witnesses_agree(&system);
    assert_eq!((account.paid.count, account.failed.count, account.in_flight.count), (36, 4, 0));
    let returned = "SELECT instructions::text AS value FROM batch_totals WHERE status = 8";
    assert_eq!(system.database.value(returned), "4");
    assert_eq!(system.bank().book().len(), 40, "the bank had paid them");
}

/// A response file that says that the money of the first `count` lines of `answer` came back.
fn returns(answer: &str, count: usize) -> String {
    let mut lines = answer.lines();
    let header = lines.next().expect("a header");
    let paid: Vec<&str> = lines.take(count).collect();
    let amount = |line: &&str| line.split(',').nth(6).and_then(minor).expect("an amount");
    let sum: i128 = paid.iter().map(amount).sum();
    let returned: String =
        paid.iter().map(|line| line.replace(",ACSC,,,", ",RTRN,AC04,Account closed,") + "\n").collect();
    format!("{header}\n{returned}#TRAILER,{count},{}.{:02}\n", sum / 100, sum % 100)
}
