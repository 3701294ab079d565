//! Batches that nothing happens to.

use chrono::Utc;
use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::{Batch, Item, Options, System};

#[test]
fn i4_i6_batches_with_good_and_bad_disbursements_end_to_the_last_cent() {
    let test = "i4_i6_batches_with_good_and_bad_disbursements_end_to_the_last_cent";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.submit(Batch::mixed(300));
    system.submit(Batch::mixed(700));
    system.wait_until_finished();
    let account = assert_all_ended(&system);
    assert_eq!((account.paid.count, account.failed.count), (1000, 20));
}

#[test]
fn a_scheduled_disbursement_is_not_paid_before_its_time_and_then_it_is() {
    let test = "a_scheduled_disbursement_is_not_paid_before_its_time_and_then_it_is";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    let later = Item::to_account().in_seconds(4);
    let due_at = later.scheduled_at.expect("it is scheduled");
    let mut items = Batch::payable(10).items;
    items.push(later);
    let sent = system.submit(Batch::of(items));
    gctb_testkit::eventually("the others to be paid", || system.completed(&sent).filter(|completed| *completed == 10));
    let paid_now = system.bank().book().len();
    assert!(Utc::now() < due_at, "the others are paid before it is due, or this test shows nothing");
    assert_eq!(paid_now, 10);
    system.wait_until_finished();
    assert_all_ended(&system);
    let early = "SELECT count(*)::text AS value FROM payment_ledger l JOIN payment_instructions i USING (batch_id, seq)
        JOIN outgoing_files f USING (file_id) WHERE f.opened_at < i.scheduled_at";
    assert_eq!(system.database.value(early), "0", "nothing was claimed before its time");
}
