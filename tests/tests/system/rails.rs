//! Rails that are called: paid by the book, at most once, whatever happens.

use gctb_events::Outgoing;
use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::rails::trial::Trial;
use gctb_system_tests::rails::{Book, Payee, Rail, Verdict, judge};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Item, Options, Service, System, http};
use gctb_testkit::eventually_within;
use serde_json::{Value, json};

/// Payments of one trial, and disturbances beside the two replays.
const SIZE: (u64, usize) = (1_000, 3);

fn is_tried(test: &str, rail: Rail, seed: u64) {
    let trial = Trial::of(rail, seed, SIZE.0, SIZE.1);
    // Shown where it fails.
    eprintln!("{trial}");
    if let Some(outcome) = trial.run(test) {
        eprintln!("{outcome:?}");
        assert!(outcome.after.paid > outcome.received * 8 / 10, "most are paid in the end: {outcome:?}");
    }
}

#[test]
fn i2_i3_simple_mpesa_under_faults_kills_and_replays_pays_by_the_book() {
    is_tried("i2_i3_simple_mpesa_under_faults_kills_and_replays_pays_by_the_book", Rail::Simple, 1);
}

#[test]
fn i2_i3_daraja_under_faults_kills_and_replays_pays_by_the_book() {
    is_tried("i2_i3_daraja_under_faults_kills_and_replays_pays_by_the_book", Rail::Daraja, 2);
}

#[test]
fn i2_i3_mojaloop_under_faults_kills_and_replays_pays_by_the_book() {
    is_tried("i2_i3_mojaloop_under_faults_kills_and_replays_pays_by_the_book", Rail::Mojaloop, 3);
}

#[test]
fn i2_a_message_that_comes_twice_in_one_poll_is_paid_once() {
    let test = "i2_a_message_that_comes_twice_in_one_poll_is_paid_once";
    // Without a key that the rail would know again.
    let rail = Rail::Simple;
    let options = Options { rail: Some(rail), route_to: rail.backend(), ..Options::default() };
    let Some(mut system) = System::start(test, options) else { return };
    let payees = |from: u64, count: u64| -> Vec<Item> {
        (from..from + count).map(|number| Item::to_address(rail.address(number), "250.00")).collect()
    };
    // Windows are as large as they get.
    system.submit(Batch::of(payees(1, 300)));
    system.wait_until_finished();
    let (backend, topic) = (rail.service(), "gctb.payments.mpesa");
    system.pause(backend);
    let before = system.kafka.messages(topic).len();
    system.submit(Batch::of(payees(1000, 20)));
    let message = eventually_within(PATIENCE, "the order to pay", || {
        let messages = system.kafka.messages(topic);
        (messages.len() > before).then(|| messages.into_iter().max_by_key(|message| message.timestamp_ms)).flatten()
    });
    let key = String::from_utf8(message.key).expect("a key of text");
    let again = Outgoing { topic: topic.to_owned(), key, payload: message.payload, headers: message.headers };
    system.kafka.produce(&[again]);
    system.resume(backend);
    system.wait_until_finished();
    assert_all_ended(&system);
    assert!(system.entries(backend, "already_known") >= 20, "both messages were handled");
}

/// The adapter's default, which nobody has corrected: it pays when it is asked for a quote. Its first answer gets lost, and so does the
/// process that waits for it; whoever comes next finds an adapter that waits as it should.
#[test]
fn i2_i3_what_an_adapter_may_have_paid_before_it_was_seen_to_wait_is_a_persons_and_never_sent_again() {
    let test = "i2_i3_what_an_adapter_may_have_paid_before_it_was_seen_to_wait_is_a_persons_and_never_sent_again";
    let rail = Rail::Mojaloop;
    let options = Options { rail: Some(rail), route_to: rail.backend(), ..Options::default() };
    let Some(mut system) = System::start(test, options) else { return };
    let lost = json!({ "rail": rail.book(), "stage": "prepare", "fault": "hang_after" });
    set_faults(&system, &json!({ "mojaloop": { "auto_accept_quotes": true }, "rules": [lost] }));
    let payees = rail.payees(1, 20);
    system.submit(Batch::of(payees.iter().map(|payee: &Payee| payee.item.clone()).collect()));
    eventually_within(PATIENCE, "the first payment", || (Book::of(&system).sum().0 > 0).then_some(()));
    system.kill_9(rail.service());
    set_faults(&system, &json!({}));
    system.launch(rail.service());
    system.wait_for_ledger("7", payees.len() - 1);
    let waiting = eventually_within(PATIENCE, "a payment that waits for a person", || {
        let listed = system.gctb(&["payments", "unknown", "--json"]);
        let waiting: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        waiting.into_iter().next()
    });
    assert!(waiting["message"].as_str().expect("words").contains("homeTransactionId"), "{waiting}");
    assert_eq!(judge(&system, rail, &payees), Verdict { paid: payees.len() as u64 - 1, not_paid: 0, unknown: 1 });
}

fn set_faults(system: &System, faults: &Value) {
    http::put(&system.url(Service::Simulator, "/control/faults"), faults);
}
