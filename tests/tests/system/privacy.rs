//! What services tell about people, and about their own work.

use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::traces::{Traces, contains};
use gctb_system_tests::{Batch, Consumer, Item, Options, Service, System, http};
use gctb_testkit::eventually_within;
use uuid::Uuid;

const BRIDGE: [Service; 4] = [Service::Api, Service::Mapper, Service::BackendFile, Service::Status];

/// All that belongs to people, as it was sent and as the mapper resolved it.
fn secrets(system: &System) -> Vec<String> {
    let mut secrets: Vec<String> = vec!["Nyambura".to_owned(), "4100200300".to_owned()];
    for item in system.sent.iter().flat_map(|sent| &sent.batch.items) {
        secrets.extend([item.payee_name.clone(), item.payee_fa.clone(), item.reference_id.clone()]);
        // The number within an id or address, which might be shown without the rest.
        let digits = item.payee_fa.split(|c: char| !c.is_ascii_digit()).max_by_key(|part| part.len());
        secrets.extend(digits.filter(|digits| digits.len() >= 8).map(str::to_owned));
    }
    secrets.extend(system.bank().book().into_iter().map(|payment| payment.account));
    secrets.sort();
    secrets.dedup();
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
    assert!(secrets.len() > 300, "there is something to look for");

    let mut pages: Vec<(String, Vec<u8>)> = Vec::new();
    for service in BRIDGE {
        for path in ["/metrics", "/readyz", "/healthz"] {
            let page = http::page(&system.url(service, path)).unwrap_or_else(|says| says);
            assert!(!page.is_empty(), "{path} of {} says something", service.name());
            pages.push((format!("{path} of {}", service.name()), page.into_bytes()));
        }
        let log = system.log(service);
        assert!(!log.is_empty(), "{} has logged", service.name());
        pages.push((format!("the log of {}", service.name()), log.into_bytes()));
    }
    for service in BRIDGE {
        eventually_within(PATIENCE, "spans of each service", || {
            let name = service.program().as_bytes();
            traces.bodies().iter().any(|body| contains(body, name)).then_some(())
        });
    }
    pages.extend(traces.bodies().into_iter().map(|body| ("a trace".to_owned(), body)));
    let mut found = Vec::new();
    for (place, bytes) in &pages {
        let text = String::from_utf8_lossy(bytes);
        for secret in secrets.iter().filter(|secret| text.contains(secret.as_str())) {
            let line = text.lines().find(|line| line.contains(secret.as_str())).unwrap_or_default();
            found.push(format!("{place}: {line}"));
        }
    }
    found.dedup();
    assert!(found.is_empty(), "people's data, in {} places:\n{}", found.len(), found[..found.len().min(10)].join("\n"));
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
