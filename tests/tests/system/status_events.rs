//! News of the ledger that get lost, come twice, or come in the wrong order.

use gctb_events::{Outgoing, Topic};
use gctb_system_tests::equation::{Before, assert_all_ended};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Options, Service, System};
use gctb_testkit::eventually_within;

const STATUS: &str = "gctb.status";

/// The messages of the topic, each twice, the last first: as wrong an order as can be.
fn doubled_and_reversed(system: &System) -> Vec<Outgoing> {
    let mut messages = system.kafka.messages(STATUS);
    messages.sort_by_key(|message| (message.timestamp_ms, message.offset));
    let again = messages.iter().rev().flat_map(|message| [message, message]).map(|message| Outgoing {
        topic: STATUS.to_owned(),
        key: String::from_utf8_lossy(&message.key).into_owned(),
        payload: message.payload.clone(),
        headers: message.headers.clone(),
    });
    again.collect()
}

#[test]
fn i4_a_status_topic_deleted_after_the_ledger_is_final_strands_nothing() {
    let test = "i4_a_status_topic_deleted_after_the_ledger_is_final_strands_nothing";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.stop(Service::Status);
    let sent = system.submit(Batch::payable(700));
    system.wait_for_ledger("7", 700);
    assert!(system.kafka.count(STATUS) > 0, "the news were sent");
    assert_eq!(system.completed(&sent), Some(0), "and nobody has folded them");
    system.kafka.delete(&[Topic::Status]);
    system.kafka.apply();
    system.start_service(Service::Status);
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i4_a_batches_topic_deleted_before_the_mapper_read_it_strands_nothing() {
    let test = "i4_a_batches_topic_deleted_before_the_mapper_read_it_strands_nothing";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.stop(Service::Mapper);
    system.submit(Batch::mixed(600));
    system.wait_for_an_empty_outbox();
    assert!(system.kafka.count("gctb.batches") > 0, "the batch was sent");
    system.kafka.delete(&[Topic::Batches]);
    system.kafka.apply();
    system.start_service(Service::Mapper);
    // The first look at a batch is a minute after its intake; nobody wants to wait for that.
    system.execute("UPDATE batch_sweeps SET due_at = now()");
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i5_duplicate_and_reordered_status_events_fold_to_the_same_tables() {
    let test = "i5_duplicate_and_reordered_status_events_fold_to_the_same_tables";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.stop(Service::Status);
    system.bank().respond("half");
    system.submit(Batch::mixed(600));
    system.wait_for_value(
        "answers",
        "SELECT (count(*) > 200)::text AS value FROM payment_ledger WHERE state = 7",
        "true",
    );
    let first_told = doubled_and_reversed(&system);
    system.kafka.delete(&[Topic::Status]);
    system.kafka.apply();
    system.kafka.produce(&first_told);
    system.start_service(Service::Status);
    system.bank().respond("all");
    system.bank().respond_rest();
    system.wait_until_finished();
    assert_all_ended(&system);
    let before = Before::of(&system);

    let all = doubled_and_reversed(&system);
    let handled = system.messages_handled(Service::Status);
    system.kafka.produce(&all);
    eventually_within(PATIENCE, "every message to be handled again", || {
        (system.messages_handled(Service::Status) >= handled + all.len() as u64).then_some(())
    });
    before.assert_unchanged(&system, "messages in the wrong order");
}
