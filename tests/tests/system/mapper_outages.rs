//! The ID account mapper away, slow or out of its mind: ids wait for it and nobody else does, and its pages say why.
//!
//! Settings make the mapper's time-outs short, so that each trouble outlasts all of them, the longest that Kafka waits for a
//! consumer included.

use gctb_events::Topic;
use gctb_system_tests::batch::{Fate, OTHER_SENDER};
use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::proxy::Proxy;
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Consumer, Item, Options, Sent, Service, System, http};
use gctb_testkit::eventually_within;
use serde_json::{Value, json};

/// Rounds of the resolver that together take longer than every time-out of [`impatient`]: with a back-off of 0.2 s, 0.4 s,
/// and then 0.5 s between them, 3.6 s and the calls.
const ROUNDS: u64 = 8;

/// What can be wrong with the mapper as a whole, and what must be told of it.
struct Trouble {
    name: &'static str,
    /// The mapper's switches; None: nobody answers at its address.
    switches: Option<fn() -> Value>,
    /// How calls end, in the metric `gctb_mapper_calls_total`.
    outcome: &'static str,
    /// What the page /readyz says of the mapper.
    told: &'static str,
}

const TROUBLES: [Trouble; 7] = [
    Trouble { name: "nobody answers", switches: None, outcome: "unreachable", told: "could not be reached" },
    Trouble {
        name: "it is down",
        switches: Some(|| json!({ "mode": "down" })),
        outcome: "http_status",
        told: "the HTTP status 503",
    },
    Trouble {
        name: "every call fails",
        switches: Some(|| json!({ "mode": "error" })),
        outcome: "http_status",
        told: "the HTTP status 500",
    },
    Trouble {
        name: "every call takes longer than the time-out",
        switches: Some(|| json!({ "delay_ms": 900 })),
        outcome: "timed_out",
        told: "did not answer in time",
    },
    Trouble {
        name: "JSON that breaks off",
        switches: Some(|| json!({ "mode": "garbage" })),
        outcome: "unusable",
        told: "answer cannot be used",
    },
    Trouble {
        name: "a web page",
        switches: Some(|| json!({ "mode": "html" })),
        outcome: "unusable",
        told: "answer cannot be used",
    },
    Trouble {
        name: "answers to other calls",
        switches: Some(|| json!({ "mode": "stale" })),
        outcome: "other_call",
        told: "belongs to another call",
    },
];

/// Time-outs of the mapper, and of Kafka for it, that a test can outlast.
fn impatient() -> Options {
    let settings = [
        ("mapper.connect_timeout", "300ms"),
        ("mapper.call_timeout", "600ms"),
        ("mapper.round_time_max", "1s"),
        ("mapper.breaker.open_time", "500ms"),
        ("kafka.session_timeout", "3s"),
        ("kafka.max_poll_interval", "3s"),
    ];
    with_settings(&settings)
}

fn with_settings(settings: &[(&str, &str)]) -> Options {
    let of_mapper = |(key, value): &(&str, &str)| (Service::Mapper, (*key).to_owned(), (*value).to_owned());
    Options { settings: settings.iter().map(of_mapper).collect(), ..Options::default() }
}

/// A line to the mapper that can be cut, while the bank in the same process goes on.
fn line_to_the_mapper(system: &mut System) -> Proxy {
    let simulator = system.url(Service::Simulator, "");
    let line = Proxy::to(simulator.trim_start_matches("http://").to_owned());
    let url = format!("http://{}/mapper/sync/resolve", line.address());
    system.options.settings.push((Service::Mapper, "mapper.url".to_owned(), url));
    line
}

fn of_ids(count: usize) -> Batch {
    Batch::of((0..count).map(|_| Item::to_id()).collect())
}

fn of_addresses(count: usize) -> Batch {
    Batch::of((0..count).map(|_| Item::to_account()).collect()).from_sender(OTHER_SENDER)
}

fn calls(system: &System, outcome: &str) -> u64 {
    system.metric(Service::Mapper, "gctb_mapper_calls_total", &[&format!("outcome=\"{outcome}\"")])
}

/// The page /readyz of gctb-mapper: its status, and what it says is failing.
fn readiness(system: &System) -> (u16, Value) {
    let (status, mut page) = http::get(&system.url(Service::Mapper, "/readyz"));
    (status, page["failing"].take())
}

fn wait_until_told(system: &System, component: &str, told: &str, during: &str) {
    eventually_within(PATIENCE, &format!("{component} to say {told:?} while {during}"), || {
        readiness(system).1[component].as_str().is_some_and(|says| says.contains(told)).then_some(())
    });
}

fn wait_until_completed(system: &System, sent: &Sent, count: usize, during: &str) {
    eventually_within(PATIENCE, &format!("{count} disbursements to be paid while {during}"), || {
        (system.completed(sent) == Some(count as u64)).then_some(())
    });
}

/// Lets the sweeper look at every batch now, and returns when it has.
fn sweep_now(system: &System) {
    system.execute("UPDATE batch_sweeps SET due_at = now()");
    let looked_at = "SELECT (count(*) = 0)::text AS value FROM batch_sweeps WHERE due_at <= now()";
    system.wait_for_value("the sweeper to look at every batch", looked_at, "true");
}

#[test]
fn i8_whatever_ails_the_mapper_ids_wait_and_another_senders_addresses_are_paid() {
    let test = "i8_whatever_ails_the_mapper_ids_wait_and_another_senders_addresses_are_paid";
    let Some(mut system) = System::prepare(test, impatient()) else { return };
    let line = line_to_the_mapper(&mut system);
    system.start_all();
    // The mapper has given an answer that it can give again.
    system.submit(of_ids(10));
    system.wait_until_finished();
    for trouble in TROUBLES {
        suffer(&mut system, &line, &trouble);
    }
    assert_all_ended(&system);
}

fn suffer(system: &mut System, line: &Proxy, trouble: &Trouble) {
    let Trouble { name, switches, outcome, told } = trouble;
    let (failed, tried) = (calls(system, outcome), Consumer::Resolver.retries(system));
    match switches {
        Some(switches) => system.bank().mapper(&switches()),
        None => line.cut(),
    }
    let ids = system.submit(of_ids(300));
    eventually_within(PATIENCE, &format!("the resolver to ask while {name}"), || {
        (calls(system, outcome) > failed).then_some(())
    });
    let emitted = system.kafka.count(Consumer::Router.topic()) + 1;

    let addresses = system.submit(of_addresses(300));
    wait_until_completed(system, &addresses, 300, name);
    assert_eq!(system.completed(&ids), Some(0), "{name}: nobody is paid who was not found");

    wait_until_told(system, "id account mapper", told, name);
    let (status, failing) = readiness(system);
    let work = failing["work on gctb.resolve"].as_str().unwrap_or_default();
    assert!(work.contains("300 instructions wait for the ID account mapper"), "{name}: {failing}");
    assert!(failing["work on gctb.batches"].is_null(), "{name}: the router has nothing to wait for: {failing}");
    assert_eq!(status, 503, "{name}: gctb-mapper cannot do all of its work");
    assert_eq!(http::get(&system.url(Service::Mapper, "/healthz")).0, 200, "{name}: and its loops turn");
    eventually_within(PATIENCE, &format!("metrics to tell of the mapper while {name}"), || {
        let lag = system.metric(Service::Mapper, "gctb_consumer_lag", &["topic=\"gctb.resolve\""]);
        (system.metric(Service::Mapper, "gctb_mapper_breaker_state", &[]) == 2 && lag > 0).then_some(())
    });

    sweep_now(system);
    eventually_within(PATIENCE, &format!("more rounds than any time-out allows while {name}"), || {
        (Consumer::Resolver.retries(system) >= tried + ROUNDS).then_some(())
    });
    sweep_now(system);
    let emitted_now = system.kafka.count(Consumer::Router.topic());
    assert_eq!(emitted_now, emitted, "{name}: what waits in gctb.resolve is not sent again as if it were lost");

    line.mend();
    system.bank().mapper(&json!({ "mode": "normal", "delay_ms": 0 }));
    system.wait_until_finished();
    eventually_within(PATIENCE, &format!("gctb-mapper to be ready after {name}"), || {
        (readiness(system) == (200, json!({}))).then_some(())
    });
}

#[test]
fn i8_a_mapper_that_always_answers_just_in_time_slows_nobody_else() {
    let test = "i8_a_mapper_that_always_answers_just_in_time_slows_nobody_else";
    let settings = [
        ("mapper.call_timeout", "2s"),
        ("mapper.round_time_max", "1s"),
        ("mapper.ids_per_call_max", "20"),
        ("mapper.calls_at_once_max", "2"),
    ];
    let Some(mut system) = System::start(test, with_settings(&settings)) else { return };
    system.bank().mapper(&json!({ "delay_ms": 1500 }));
    let ids = system.submit(of_ids(160));
    wait_until_told(&system, "work on gctb.resolve", "too slow for one round", "every call takes 1.5 s");
    let addresses = system.submit(of_addresses(300));
    wait_until_completed(&system, &addresses, 300, "every call takes 1.5 s");
    assert!(system.completed(&ids) < Some(160), "ids are found slowly");
    system.wait_until_finished();
    let quick = system.metric(Service::Mapper, "gctb_mapper_call_duration_seconds_bucket", &["le=\"1\""]);
    assert!(calls(&system, "answered") > 0 && quick == 0, "the metrics show how long calls take");
    assert_all_ended(&system);
}

#[test]
fn i4_i8_ids_that_the_mapper_leaves_out_of_its_answers_hold_up_nobody_and_are_paid_when_it_answers_about_them() {
    let test =
        "i4_i8_ids_that_the_mapper_leaves_out_of_its_answers_hold_up_nobody_and_are_paid_when_it_answers_about_them";
    let settings = [("mapper.ids_per_call_max", "100"), ("mapper.undecided_asks_max", "8")];
    let Some(mut system) = System::start(test, with_settings(&settings)) else { return };
    system.bank().mapper(&json!({ "mode": "wrong_count" }));
    let ids = system.submit(of_ids(300));
    let during = "each answer lacks an id";
    wait_until_told(&system, "work on gctb.resolve", "has not decided about their ids", during);
    let addresses = system.submit(of_addresses(300));
    wait_until_completed(&system, &addresses, 300, during);
    wait_until_completed(&system, &ids, 299, during);
    assert!(calls(&system, "incomplete") > 0, "the metrics tell of answers that lack ids");
    eventually_within(PATIENCE, "the resolver to leave the last one to the sweeper", || {
        (Consumer::Resolver.entries(&system, "undecided") > 0).then_some(())
    });
    assert_eq!(system.completed(&ids), Some(299), "nobody is refused because of an answer that lacks him");

    system.bank().mapper(&json!({ "mode": "normal" }));
    system.execute("UPDATE batch_sweeps SET due_at = now()");
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i8_while_the_mapper_is_down_ids_wait_and_addresses_are_paid() {
    let test = "i8_while_the_mapper_is_down_ids_wait_and_addresses_are_paid";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.bank().mapper(&json!({ "mode": "down" }));
    let sent = system.submit(Batch::payable(600));
    let addresses = sent.batch.items.iter().filter(|item| item.payee_fa.starts_with("account:")).count();
    wait_until_completed(&system, &sent, addresses, "the mapper is down");
    assert_eq!(system.bank().book().len(), addresses);
    system.bank().mapper(&json!({ "mode": "normal" }));
    system.wait_until_finished();
    let account = assert_all_ended(&system);
    assert_eq!(account.paid.count, sent.batch.count(|fate| fate == Fate::Paid) as u64);
}

#[test]
fn i4_a_resolve_topic_deleted_before_the_resolver_was_done_with_it_strands_nothing() {
    let test = "i4_a_resolve_topic_deleted_before_the_resolver_was_done_with_it_strands_nothing";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.bank().mapper(&json!({ "mode": "down" }));
    system.submit(Batch::mixed(600));
    eventually_within(PATIENCE, "ids to wait for the mapper", || {
        (system.kafka.count(Consumer::Resolver.topic()) > 0).then_some(())
    });
    system.wait_for_an_empty_outbox();
    system.stop(Service::Mapper);
    system.kafka.delete(&[Topic::Resolve]);
    system.kafka.apply();
    system.bank().mapper(&json!({ "mode": "normal" }));
    system.start_service(Service::Mapper);
    // The first look at a batch is a minute after its intake; nobody wants to wait for that.
    system.execute("UPDATE batch_sweeps SET due_at = now()");
    system.wait_until_finished();
    assert_all_ended(&system);
}
