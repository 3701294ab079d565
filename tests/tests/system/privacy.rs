//! What services tell about people, and about their own work.

use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::secrets::{Secrets, Told};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::traces::Traces;
use gctb_system_tests::{Batch, Consumer, Item, Options, Service, System, http};
use gctb_testkit::eventually_within;
use uuid::Uuid;

const BRIDGE: [Service; 4] = [Service::Api, Service::Mapper, Service::BackendFile, Service::Status];

/// All that belongs to people, as it was sent and as the mapper resolved it.
fn secrets(system: &System) -> Secrets {
    let mut secrets = Secrets::sent_by(system);
    secrets.add("4100200300");
    for payment in system.bank().book() {
        secrets.add(&payment.account);
    }
    secrets
}

#[test]
fn i9_no_name_address_or_id_appears_in_any_log_metric_page_or_trace() {
    let test = "i9_no_name_address_or_id_appears_in_any_log_metric_page_or_trace";
    let traces = Traces::receive();
    let options = Options { log_filter: "debug", ..System::trace_to(Options::default(), &traces) };
    let Some(mut system) = System::start(test, options) else { return };
    // Everything that people's data could leak through: refusals of each kind, answers that are wrong, dead letters, bodies
    // that cannot be read, questions.
    system.bank().respond("wrong_amount");
    system.submit(Batch::mixed(60));
    eventually_within(PATIENCE, "exceptions", || {
        (system.database.value("SELECT count(*)::text AS value FROM file_exceptions") != "0").then_some(())
    });
    system.bank().respond_rest();
    system.wait_until_finished();
    system.bank().respond("rejected_then_paid");
    system.submit(Batch::mixed(60));
    for topic in Consumer::ALL.map(Consumer::topic) {
        let message = system.kafka.messages(topic).swap_remove(0).payload;
        system.kafka.produce_bytes(topic, "poison", b"Nyambura Secret is no protobuf".to_vec());
        system.kafka.produce_bytes(topic, "torn", message[..message.len() - 1].to_vec());
    }
    let whole = Batch::of(vec![Item::to_id()]).json();
    for body in [&whole[..whole.len() - 10], &whole.replace("\"amount\":\"", "\"amount\":{\"")] {
        let (status, _) =
            http::post(&system.url(Service::Api, "/disburse/sync/disburse"), body, &[]).expect("an answer");
        assert_eq!(status, 400);
    }
    system.wait_until_finished();
    assert_all_ended(&system);
    let secrets = secrets(&system);
    assert!(secrets.count() > 300, "there is something to look for");

    let mut told = Told::default();
    told.pages(&system, &BRIDGE);
    told.logs(&system, &BRIDGE);
    told.traces(&traces, &BRIDGE);
    told.assert_keeps(&secrets);
}

#[test]
fn one_trace_leads_from_the_post_to_the_fold_of_the_banks_answer() {
    let test = "one_trace_leads_from_the_post_to_the_fold_of_the_banks_answer";
    let traces = Traces::receive();
    let Some(mut system) = System::start(test, System::trace_to(Options::default(), &traces)) else { return };
    let trace = Uuid::new_v4().as_u128();
    let traceparent = format!("00-{trace:032x}-b7ad6b7169203331-01");
    system.bank().pause(true);
    let sent = system.submit_traced(Batch::payable(60), &[("traceparent", &traceparent)]);
    for service in BRIDGE {
        eventually_within(PATIENCE, &format!("a span of {}", service.program()), || {
            (traces.spans_of(service.program(), trace) > 0).then_some(())
        });
    }
    system.wait_for_an_empty_outbox();
    // Each service has told what it did by now or tells it soon; what comes after the bank's answer comes on top.
    let settled = settled_spans(&traces, trace);
    system.bank().pause(false);
    system.wait_until_finished();
    assert_eq!(system.completed(&sent), Some(60));
    eventually_within(PATIENCE, "a span of the fold of PAID", || {
        (traces.spans_of(Service::Status.program(), trace) > settled).then_some(())
    });
    assert_all_ended(&system);
}

/// How many spans of the trace gctb-status has told of, when each fold so far is among them.
fn settled_spans(traces: &Traces, trace: u128) -> usize {
    let mut last = 0;
    let mut looks_without_news = 0;
    eventually_within(PATIENCE, "the spans of what was folded before", || {
        let now = traces.spans_of(Service::Status.program(), trace);
        looks_without_news = if now == last { looks_without_news + 1 } else { 0 };
        last = now;
        (now > 0 && looks_without_news > 40).then_some(now)
    })
}
