//! Each program dies before and after every durable step that it takes, with work in hand, and is started again.
//!
//! The steps are those of `tests/crash-points.toml`; nothing here names one. docs/testing.md tells how a step is added.

use gctb_system_tests::Service;
use gctb_system_tests::crash_points::{COMMAND, Scenario, steps};
use gctb_system_tests::doomed::Doomed;

/// So many deaths see one bridge: each is followed by a look at all batches so far, which takes longer with each.
const DEATHS_OF_A_BRIDGE: usize = 12;

/// Without them the test counts as skipped.
fn has_crash_points(test: &str) -> bool {
    if !gctb_runtime::HAS_CRASH_POINTS {
        gctb_testkit::skipped(test, "built without the feature gctb-runtime/crash-points; `make test` builds with it");
    }
    gctb_runtime::HAS_CRASH_POINTS
}

/// Lets the service die at every point of the list that is its own.
fn dies_at_each_of_its_points(test: &str, victim: Service) {
    if !has_crash_points(test) {
        return;
    }
    let mut deaths: Vec<(String, Scenario)> = Vec::new();
    for step in steps() {
        deaths.extend(step.deaths_of(victim.program()).into_iter().map(|point| (point, step.scenario)));
    }
    assert!(!deaths.is_empty(), "{} takes no durable step?", victim.name());
    for deaths in deaths.chunks(DEATHS_OF_A_BRIDGE) {
        let Some(mut doomed) = Doomed::start(test, victim) else { return };
        for (point, scenario) in deaths {
            doomed.dies_at(point, *scenario);
        }
    }
}

#[test]
fn i1_i4_the_api_dies_at_each_of_its_crash_points_and_what_was_acknowledged_is_paid_once() {
    let test = "i1_i4_the_api_dies_at_each_of_its_crash_points_and_what_was_acknowledged_is_paid_once";
    dies_at_each_of_its_points(test, Service::Api);
}

#[test]
fn i2_i4_the_mapper_dies_at_each_of_its_crash_points_and_everybody_is_paid_once() {
    let test = "i2_i4_the_mapper_dies_at_each_of_its_crash_points_and_everybody_is_paid_once";
    dies_at_each_of_its_points(test, Service::Mapper);
}

#[test]
fn i2_i4_the_file_backend_dies_at_each_of_its_crash_points_and_everybody_is_paid_once() {
    let test = "i2_i4_the_file_backend_dies_at_each_of_its_crash_points_and_everybody_is_paid_once";
    dies_at_each_of_its_points(test, Service::BackendFile);
}

#[test]
fn i2_i3_i4_the_mpesa_backend_dies_at_each_of_its_crash_points_and_everybody_is_paid_once() {
    let test = "i2_i3_i4_the_mpesa_backend_dies_at_each_of_its_crash_points_and_everybody_is_paid_once";
    dies_at_each_of_its_points(test, Service::BackendMpesa);
}

#[test]
fn i2_i3_i4_the_mojaloop_backend_dies_at_each_of_its_crash_points_and_everybody_is_paid_once() {
    let test = "i2_i3_i4_the_mojaloop_backend_dies_at_each_of_its_crash_points_and_everybody_is_paid_once";
    dies_at_each_of_its_points(test, Service::BackendMojaloop);
}

#[test]
fn i2_i3_the_command_dies_at_each_of_its_crash_points_and_an_operators_word_counts_once() {
    let test = "i2_i3_the_command_dies_at_each_of_its_crash_points_and_an_operators_word_counts_once";
    if !has_crash_points(test) {
        return;
    }
    let points: Vec<String> = steps().iter().flat_map(|step| step.deaths_of(COMMAND)).collect();
    assert!(!points.is_empty(), "the command takes no durable step?");
    let Some(mut doomed) = Doomed::start_for_an_operator(test) else { return };
    for point in points {
        // simple-mpesa cannot be asked: what was sent and what was not looks alike until somebody looks into its book.
        for left_at in ["rail.send.before:3", "rail.send.after:3"] {
            doomed.command_dies_at(&point, left_at);
        }
    }
}

#[test]
fn i4_i5_the_status_service_dies_at_each_of_its_crash_points_and_no_total_is_wrong() {
    let test = "i4_i5_the_status_service_dies_at_each_of_its_crash_points_and_no_total_is_wrong";
    dies_at_each_of_its_points(test, Service::Status);
}
