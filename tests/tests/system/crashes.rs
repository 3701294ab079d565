//! Processes that die at the worst moment.

use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Options, Service, System};
use gctb_testkit::eventually_within;
use serde_json::json;

#[test]
fn i1_an_acknowledged_batch_survives_kill_9_of_the_api_right_after_the_answer() {
    let test = "i1_an_acknowledged_batch_survives_kill_9_of_the_api_right_after_the_answer";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    for acknowledged in [1010, 2020, 3030] {
        system.submit(Batch::mixed(1000));
        system.kill_9(Service::Api);
        let stored = system.database.value("SELECT count(*)::text AS value FROM payment_instructions");
        assert_eq!(stored, acknowledged.to_string(), "what was acknowledged is stored");
        system.start_service(Service::Api);
    }
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i2_i4_kill_9_of_the_mapper_while_it_resolves_a_batch_pays_everybody_once() {
    let test = "i2_i4_kill_9_of_the_mapper_while_it_resolves_a_batch_pays_everybody_once";
    let Some(mut system) = System::start(test, Options::default().kept_by_name()) else { return };
    system.bank().mapper(&json!({ "delay_ms": 300 }));
    for killed_after in [1, 2] {
        let asked = system.bank().mapper_calls();
        system.submit(Batch::mixed(1400));
        eventually_within(PATIENCE, "calls of the mapper", || {
            (system.bank().mapper_calls() >= asked + killed_after).then_some(())
        });
        system.kill_9(Service::Mapper);
        system.start_service(Service::Mapper);
    }
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i2_i4_kill_9_of_the_file_backend_at_every_step_of_a_file_pays_everybody_once() {
    let test = "i2_i4_kill_9_of_the_file_backend_at_every_step_of_a_file_pays_everybody_once";
    let Some(mut system) = System::start(test, Options::default().kept_by_name()) else { return };
    let states =
        |system: &System| system.database.value("SELECT coalesce(max(state), 0)::text AS value FROM outgoing_files");
    let killed_and_started = |system: &mut System| {
        system.kill_9(Service::BackendFile);
        system.start_service(Service::BackendFile);
    };
    // A long wait for more rows keeps the file open: the first instant at which claims exist is one with an open file.
    system.bank().pause(true);
    system.submit(Batch::mixed(1400));
    eventually_within(PATIENCE, "the first claim", || (states(&system) != "0").then_some(()));
    killed_and_started(&mut system);
    system.submit(Batch::mixed(600));
    system.wait_for_value(
        "files that lie at the bank",
        "SELECT (count(*) > 2)::text AS value FROM outgoing_files WHERE state = 4",
        "true",
    );
    killed_and_started(&mut system);
    system.bank().pause(false);
    eventually_within(PATIENCE, "the first answer", || (states(&system).as_str() >= "5").then_some(()));
    killed_and_started(&mut system);
    system.settle_unclear_files();
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i4_i5_kill_9_of_the_status_service_while_it_folds_changes_no_total() {
    let test = "i4_i5_kill_9_of_the_status_service_while_it_folds_changes_no_total";
    let Some(mut system) = System::start(test, Options::default().kept_by_name()) else { return };
    for _ in 0..2 {
        system.submit(Batch::mixed(1400));
        eventually_within(PATIENCE, "the first fold", || (system.entries(Service::Status, "folded") > 0).then_some(()));
        system.kill_9(Service::Status);
        system.start_service(Service::Status);
    }
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i2_i4_kill_9_of_everything_at_once_with_a_batch_in_hand_pays_everybody_once() {
    let test = "i2_i4_kill_9_of_everything_at_once_with_a_batch_in_hand_pays_everybody_once";
    let Some(mut system) = System::start(test, Options::default().kept_by_name()) else { return };
    system.submit(Batch::mixed(1400));
    system.wait_for_value(
        "some claims",
        "SELECT (count(*) > 0)::text AS value FROM payment_ledger WHERE state = 3",
        "true",
    );
    for service in [Service::Mapper, Service::BackendFile, Service::Status, Service::Api, Service::Simulator] {
        system.kill_9(service);
    }
    system.start_all();
    system.submit(Batch::mixed(100));
    system.settle_unclear_files();
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i2_two_replicas_of_a_backend_one_of_which_freezes_and_wakes_up_pay_everybody_once() {
    let test = "i2_two_replicas_of_a_backend_one_of_which_freezes_and_wakes_up_pay_everybody_once";
    let Some(mut system) = System::start(test, Options { second_replica: true, ..Options::default() }) else { return };
    system.submit(Batch::mixed(1400));
    system.wait_for_value("claims", "SELECT (count(*) > 0)::text AS value FROM payment_ledger WHERE state = 3", "true");
    system.pause(Service::BackendFile);
    let assignments = |system: &System| system.log(Service::BackendFileTwin).matches("partitions assigned").count();
    let assigned_before = assignments(&system);
    // Kafka takes the frozen one for dead and gives its partitions, with what it had in hand, to the other. That one may have
    // to wait for what the frozen one has locked, but it must not go on without it.
    system.submit(Batch::mixed(1400));
    eventually_within(PATIENCE, "the other replica to be given all partitions", || {
        (assignments(&system) > assigned_before).then_some(())
    });
    system.resume(Service::BackendFile);
    system.submit(Batch::mixed(100));
    system.settle_unclear_files();
    system.wait_until_finished();
    assert_all_ended(&system);
}

/// What a crash between the put of a file and its recording leaves: DELIVERING, and the file at the bank or not.
const AS_IF_NEVER_RECORDED: &str = "UPDATE outgoing_files
    SET state = 3, dispatched_at = NULL, delivering_owner = gen_random_uuid(), delivering_at = now() - interval '1 hour'
    WHERE state = 4";

#[test]
fn i2_a_file_whose_put_was_not_recorded_is_found_at_the_bank_and_not_put_again() {
    let test = "i2_a_file_whose_put_was_not_recorded_is_found_at_the_bank_and_not_put_again";
    let Some(mut system) = System::start(test, Options::default().kept_by_name()) else { return };
    system.bank().pause(true);
    system.submit(Batch::payable(50));
    system.wait_for_value(
        "a file at the bank",
        "SELECT count(*)::text AS value FROM outgoing_files WHERE state = 4",
        "1",
    );
    system.kill_9(Service::BackendFile);
    system.execute(AS_IF_NEVER_RECORDED);
    // The bank moves it away before anybody looks: its archive is a trace as well.
    system.bank().pause(false);
    eventually_within(PATIENCE, "the bank to pay the file", || (system.bank().book().len() == 50).then_some(()));
    system.start_service(Service::BackendFile);
    system.wait_until_finished();
    assert_all_ended(&system);
    assert_eq!(system.bank().summary()["files"], 1, "one delivery");
}

#[test]
fn i2_a_file_with_no_trace_at_the_bank_waits_for_an_operators_word_and_is_then_put_once() {
    let test = "i2_a_file_with_no_trace_at_the_bank_waits_for_an_operators_word_and_is_then_put_once";
    let Some(mut system) = System::start(test, Options::default().kept_by_name()) else { return };
    system.bank().pause(true);
    let sent = system.submit(Batch::payable(50));
    system.wait_for_value(
        "a file at the bank",
        "SELECT count(*)::text AS value FROM outgoing_files WHERE state = 4",
        "1",
    );
    system.kill_9(Service::BackendFile);
    system.execute(AS_IF_NEVER_RECORDED);
    let name = system.database.value("SELECT name AS value FROM outgoing_files WHERE state = 3");
    std::fs::remove_file(system.path("bank/outgoing").join(&name)).expect("the file lies in outgoing");
    system.bank().pause(false);
    system.start_service(Service::BackendFile);
    system.wait_for_value(
        "an operator's row",
        "SELECT count(needs_operator_since)::text AS value FROM outgoing_files WHERE state = 3",
        "1",
    );
    assert_eq!(system.completed(&sent), Some(0), "nothing is decided without the operator");
    assert_eq!(system.bank().book().len(), 0, "and nothing is put by itself");
    let listed = system.gctb(&["files", "overdue"]);
    assert!(listed.contains(&name), "{listed}");
    system.gctb(&["files", "resolve", &name, "--absent", "--evidence", "bank ticket 4711"]);
    system.wait_until_finished();
    assert_all_ended(&system);
}
