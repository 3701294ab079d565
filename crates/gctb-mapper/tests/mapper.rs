//! The router and the resolver against a mapper that speaks real HTTP (the simulator) and a real Postgres. No Kafka: the
//! handlers are called as the loops call them.

mod support;

use gctb_domain::BackendName;
use gctb_events::Event;
use gctb_mapper::{RouteError, Rules, RulesError, Settings};
use gctb_runtime::Handler;
use serde_json::json;
use support::{Bench, FragileMapper, OTHER, REJECTED, error_text, load};

const DIRECT: &str = "account:5494373447@indigo.dfsp2.bank_acc";

#[test]
fn i8_the_router_pays_addresses_and_passes_ids_on_without_a_call() {
    let Some(mut bench) = Bench::start("router", &[]) else { return };
    bench.set_mapper(&json!({ "mode": "down" }));
    let chunk = bench.batch(&["token:ANNA@nationalId", DIRECT, "cowrie-shells:1", "token:OTTO@nationalId"]);
    let handled = bench.router.handle(&[bench.incoming(&chunk, 0)]).expect("the router needs no mapper");
    let [payment, question] = handled.outgoing.as_slice() else { panic!("{:?}", handled.outgoing) };
    assert_eq!(payment.topic, "gctb.payments.file");
    assert_eq!(support::seqs(std::slice::from_ref(payment)), [1]);
    assert_eq!(question.topic, "gctb.resolve");
    assert_eq!(question.key, chunk.key(), "the ids keep the place of their chunk");
    assert_eq!(question.headers["traceparent"], support::TRACEPARENT, "the trace goes on");
    let ids = support::decoded(&question.payload);
    assert_eq!(ids.instructions, [chunk.instructions[0].clone(), chunk.instructions[3].clone()]);
    for counted in [("routed", 1), ("to_resolve", 2), ("rejected", 1)] {
        assert!(handled.outcomes.contains(&counted), "{:?}", handled.outcomes);
    }
    assert_eq!(bench.ledger(), [format!("2 {REJECTED} rjct.payee_fa.invalid")], "about ids nobody decides here");
    assert_eq!(bench.mapper()["calls"], json!(0));
}

#[test]
fn a_chunk_of_ids_alone_is_passed_on_as_it_came() {
    let Some(mut bench) = Bench::start("ids_alone", &[]) else { return };
    let chunk = bench.batch(&["token:ANNA@nationalId", "token:OTTO@nationalId"]);
    let handled = bench.router.handle(&[bench.incoming(&chunk, 0)]).expect("nothing is down");
    let [question] = handled.outgoing.as_slice() else { panic!("{:?}", handled.outgoing) };
    assert_eq!(question.payload, chunk.encode());
}

#[test]
fn an_answer_that_belongs_to_another_call_resolves_nobody() {
    let Some(mut bench) = Bench::start("stale_answer", &[]) else { return };
    let (first, second) = (bench.batch(&["token:ANNA@nationalId"]), bench.batch(&["token:OTTO@nationalId"]));
    bench.resolver.handle(&[bench.incoming(&first, 0)]).expect("the mapper answers");
    bench.set_mapper(&json!({ "mode": "stale" }));
    let polled = [bench.incoming(&second, 1)];
    let error = bench.resolver.handle(&polled).expect_err("nothing was said about the second one");
    assert!(error_text(&error).contains("belongs to another call"), "{}", error_text(&error));
    assert!(bench.sent().is_empty(), "nobody is paid to another's account");
    bench.set_mapper(&json!({ "mode": "normal" }));
    assert_eq!(support::seqs(&bench.until_handled(&polled).outgoing), [0]);
}

#[test]
fn two_payments_to_one_id_both_survive_and_the_id_is_asked_once() {
    let Some(mut bench) = Bench::start("two_payments_to_one_id", &[]) else { return };
    let chunk = bench.batch(&["token:ANNA@nationalId", DIRECT, "token:ANNA@nationalId", "token:OTTO@nationalId"]);
    let handled = bench.resolver.handle(&[bench.incoming(&chunk, 0)]).expect("the mapper answers");
    let payments = support::payments(&handled.outgoing);
    assert_eq!(payments.iter().map(|payment| payment.instruction.seq.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(payments[0].resolved_fa, payments[2].resolved_fa);
    assert_eq!(payments[1].resolved_fa.as_str(), DIRECT, "an address is paid as it stands");
    let mapper = bench.mapper();
    assert_eq!((&mapper["calls"], &mapper["last_call_items"]), (&json!(1), &json!(2)));
    let headers = &handled.outgoing[0].headers;
    assert_eq!(headers["traceparent"], support::TRACEPARENT, "the trace goes on");
    assert_eq!(handled.outgoing[0].topic, "gctb.payments.file");
}

#[test]
fn what_the_mapper_does_not_find_is_rejected_although_it_says_succ() {
    let Some(mut bench) = Bench::start("not_found_is_rejected", &[]) else { return };
    let payees = ["NOTFOUND1", "INACTIVE1", "NOLINK1", "RJCT1", "BADFA1", "GOOD1"].map(support::token);
    let chunk = bench.batch(&payees.each_ref().map(String::as_str));
    let handled = bench.resolver.handle(&[bench.incoming(&chunk, 0)]).expect("the mapper answers");
    assert_eq!(support::seqs(&handled.outgoing), [5], "only the one with an active address is paid");
    assert_eq!(bench.ledger(), [0, 1, 2, 3, 4].map(|seq| format!("{seq} {REJECTED} rjct.payee_fa.invalid")));
    let message = bench.database.value("SELECT message AS value FROM payment_ledger WHERE seq = 0");
    assert!(message.contains("succ.id.not_found"), "{message}");
    assert_eq!(bench.database.value("SELECT count(*)::text AS value FROM outbox WHERE kind = 2"), "1");
    assert_eq!(bench.published.lock().expect("not poisoned").len(), 1, "the committed row is published from memory");
}

#[test]
fn a_payee_of_an_unknown_form_is_rejected_without_a_call() {
    let Some(mut bench) = Bench::start("unknown_form", &[]) else { return };
    let chunk = bench.batch(&["voucher:12345@food.coupon-network", "token:ABC@voterId", DIRECT]);
    let handled = bench.router.handle(&[bench.incoming(&chunk, 0)]).expect("nothing is down");
    assert_eq!(support::seqs(&handled.outgoing), [2]);
    assert_eq!(bench.ledger().len(), 2);
    assert_eq!(bench.mapper()["calls"], json!(0));
}

#[test]
fn i8_while_the_mapper_fails_ids_wait_and_the_rest_goes_out_once() {
    for mode in ["down", "html", "garbage"] {
        let Some(mut bench) = Bench::start("mapper_fails", &[]) else { return };
        let (mixed, direct) = (bench.batch(&["token:ANNA@nationalId", DIRECT]), bench.batch(&[DIRECT, DIRECT]));
        let polled = [bench.incoming(&mixed, 0), bench.incoming(&direct, 1)];
        bench.set_mapper(&json!({ "mode": mode }));
        for _ in 0..3 {
            let error = bench.resolver.handle(&polled).expect_err(mode);
            assert_eq!(error.class(), gctb_runtime::Fate::Retry, "{mode}");
            assert!(error_text(&error).contains("1 instructions wait"), "{mode}: {}", error_text(&error));
        }
        assert_eq!(bench.sent(), [0, 1, 1], "{mode}: what needs no call went out, once");
        bench.set_mapper(&json!({ "mode": "normal" }));
        let handled = bench.until_handled(&polled);
        assert_eq!(support::seqs(&handled.outgoing), [0], "{mode}: only what was left");
        assert!(handled.outcomes.contains(&("routed", 4)), "{mode}: {:?}", handled.outcomes);
        assert!(bench.ledger().is_empty(), "{mode}: nobody is rejected because a mapper is down");
    }
}

#[test]
fn a_mapper_that_is_too_slow_is_asked_again() {
    let Some(mut bench) = Bench::start("mapper_slow", &[("MAPPER__CALL_TIMEOUT", "150ms")]) else { return };
    let chunk = bench.batch(&["token:ANNA@nationalId"]);
    let polled = [bench.incoming(&chunk, 0)];
    bench.set_mapper(&json!({ "delay_ms": 2_000 }));
    let error = bench.resolver.handle(&polled).expect_err("too slow");
    assert!(error_text(&error).contains("did not answer in time"), "{}", error_text(&error));
    bench.set_mapper(&json!({ "delay_ms": 0 }));
    assert_eq!(support::seqs(&bench.until_handled(&polled).outgoing), [0]);
}

#[test]
fn a_mapper_that_is_not_there_makes_ids_wait_and_its_address_stays_out_of_the_error() {
    let Some(mut bench) = Bench::start_at("mapper_not_there", "http://127.0.0.1:9/secret-path") else { return };
    let chunk = bench.batch(&["token:ANNA@nationalId"]);
    let text = error_text(&bench.resolver.handle(&[bench.incoming(&chunk, 0)]).expect_err("nobody listens there"));
    assert!(text.contains("could not be reached") && !text.contains("secret-path") && !text.contains("ANNA"), "{text}");
    assert!(bench.ledger().is_empty());
}

#[test]
fn an_open_breaker_spares_the_mapper() {
    let Some(mut bench) = Bench::start("breaker", &[("MAPPER__BREAKER__OPEN_TIME", "1h")]) else { return };
    let chunk = bench.batch(&["token:ANNA@nationalId"]);
    let polled = [bench.incoming(&chunk, 0)];
    bench.set_mapper(&json!({ "mode": "down" }));
    for _ in 0..20 {
        bench.resolver.handle(&polled).expect_err("down");
    }
    assert_eq!(bench.mapper()["calls"], json!(5), "as many as mapper.breaker.failures_max");
    assert!(bench.health.ready().failing["id account mapper"].contains("503"));
}

#[test]
fn i7_an_id_that_stays_pending_is_left_to_the_sweeper_and_stops_nobody() {
    let Some(mut bench) = Bench::start("pending", &[]) else { return };
    let chunk = bench.batch(&["token:PDNG1@nationalId", "token:ANNA@nationalId"]);
    let polled = [bench.incoming(&chunk, 0)];
    for _ in 0..2 {
        let error = bench.resolver.handle(&polled).expect_err("not decided yet");
        assert!(error_text(&error).contains("has not decided"), "{}", error_text(&error));
    }
    assert_eq!(bench.sent(), [1], "the other one went out in the first round");
    let handled = bench.resolver.handle(&polled).expect("the third round gives up");
    assert!(handled.outgoing.is_empty() && handled.dead.is_empty());
    assert!(handled.outcomes.contains(&("undecided", 1)), "{:?}", handled.outcomes);
    assert!(bench.ledger().is_empty(), "no ledger row: the sweeper finds it");
}

#[test]
fn i7_an_id_on_which_the_mapper_fails_is_found_and_stops_nobody() {
    let fragile = FragileMapper::start("token:S13@nationalId");
    let Some(mut bench) = Bench::start_at("fragile_mapper", &fragile.url) else { return };
    let payees: Vec<String> = (0..100).map(|n| support::token(&format!("S{n}"))).collect();
    let chunk = bench.batch(&payees.iter().map(String::as_str).collect::<Vec<_>>());
    let handled = bench.resolver.handle(&[bench.incoming(&chunk, 0)]).expect("one round finds it");
    let expected: Vec<i32> = (0..100).filter(|seq| *seq != 13).collect();
    assert_eq!(support::seqs(&handled.outgoing), expected);
    assert!(handled.outcomes.contains(&("undecided", 1)), "{:?}", handled.outcomes);
    let calls = fragile.calls.load(std::sync::atomic::Ordering::Relaxed);
    assert!(calls <= 15, "by halving, not one by one: {calls}");
}

#[test]
fn an_answer_that_leaves_an_id_out_is_asked_for_again() {
    let Some(mut bench) = Bench::start("wrong_count", &[]) else { return };
    let chunk = bench.batch(&["token:ANNA@nationalId", "token:OTTO@nationalId"]);
    let polled = [bench.incoming(&chunk, 0)];
    bench.set_mapper(&json!({ "mode": "wrong_count" }));
    bench.resolver.handle(&polled).expect_err("one is missing");
    bench.set_mapper(&json!({ "mode": "normal" }));
    let handled = bench.resolver.handle(&polled).expect("now all are answered");
    let mut paid = bench.sent();
    paid.extend(support::seqs(&handled.outgoing));
    paid.sort_unstable();
    assert_eq!(paid, [0, 1], "each once");
    assert_eq!(bench.mapper()["last_call_items"], json!(1), "only the missing one was asked again");
}

#[test]
fn calls_are_of_limited_size() {
    let Some(mut bench) = Bench::start("call_size", &[("MAPPER__IDS_PER_CALL_MAX", "10")]) else { return };
    let payees: Vec<String> = (0..95).map(|n| support::token(&format!("S{n}"))).collect();
    let chunk = bench.batch(&payees.iter().map(String::as_str).collect::<Vec<_>>());
    let handled = bench.resolver.handle(&[bench.incoming(&chunk, 0)]).expect("the mapper answers");
    assert_eq!(support::seqs(&handled.outgoing), (0..95).collect::<Vec<_>>());
    assert_eq!((&bench.mapper()["calls"], &bench.mapper()["items"]), (&json!(10), &json!(95)));
}

#[test]
fn a_resolved_id_is_remembered_and_forgotten_when_its_time_is_over() {
    let Some(mut bench) = Bench::start("cache", &[("MAPPER__CACHE_EXPIRY", "0s")]) else { return };
    let Some(mut keeping) = Bench::start("cache", &[]) else { return };
    for (bench, calls) in [(&mut bench, 2), (&mut keeping, 1)] {
        let chunk = bench.batch(&["token:ANNA@nationalId"]);
        for offset in 0..2 {
            bench.resolver.handle(&[bench.incoming(&chunk, offset)]).expect("the mapper answers");
        }
        assert_eq!(bench.mapper()["calls"], json!(calls));
    }
}

#[test]
fn i2_a_replay_of_a_chunk_changes_nothing() {
    let Some(mut bench) = Bench::start("replay", &[]) else { return };
    let chunk = bench.batch(&["token:NOTFOUND1@nationalId", "cowrie-shells:1", "token:ANNA@nationalId"]);
    let polled = [bench.incoming(&chunk, 0)];
    let first = bench.resolver.handle(&polled).expect("the mapper answers");
    let rows = "SELECT string_agg(l::text, ';' ORDER BY seq) AS value FROM payment_ledger l";
    let before = bench.database.value(rows);
    let again = bench.resolver.handle(&polled).expect("the mapper answers");
    assert_eq!(bench.database.value(rows), before, "the ledger stands as it stood");
    assert!(again.outcomes.contains(&("already_known", 2)), "{:?}", again.outcomes);
    let payloads = |outgoing: &[gctb_events::Outgoing]| outgoing.iter().map(|m| m.payload.clone()).collect::<Vec<_>>();
    assert_eq!(payloads(&again.outgoing), payloads(&first.outgoing), "and the payment is the same");
}

#[test]
fn a_batch_that_the_database_does_not_know_goes_to_the_dead_letters() {
    let Some(mut bench) = Bench::start("unknown_batch", &[]) else { return };
    let chunk = support::chunk(&["cowrie-shells:1", DIRECT, "cowrie-shells:2"]);
    let handled = bench.router.handle(&[bench.incoming(&chunk, 7)]).expect("nothing is down");
    assert_eq!(handled.dead.len(), 2, "entry by entry");
    assert_eq!(handled.dead[0].origin.offset, 7);
    assert!(handled.dead[0].reason.contains("does not know the batch"));
    assert_eq!(support::decoded(&handled.dead[1].payload).instructions[0].seq.0, 2);
    assert_eq!(support::seqs(&handled.outgoing), [1], "the claim decides about the other one");
}

#[test]
fn refusals_wait_for_postgres_while_payments_go_out() {
    let Some(mut bench) = Bench::start("postgres_away", &[]) else { return };
    let chunk = bench.batch(&["cowrie-shells:1", DIRECT]);
    let polled = [bench.incoming(&chunk, 0)];
    bench.database.db().execute_sql("ALTER TABLE payment_ledger RENAME TO away").expect("renamed");
    let error = bench.router.handle(&polled).expect_err("nobody can refuse");
    assert!(error_text(&error).starts_with("a dependency is down: 1 instructions wait to be refused"));
    assert_eq!(bench.sent(), [1]);
    bench.database.db().execute_sql("ALTER TABLE away RENAME TO payment_ledger").expect("renamed");
    let handled = bench.router.handle(&polled).expect("it is back");
    assert!(handled.outgoing.is_empty());
    assert_eq!(bench.ledger(), [format!("0 {REJECTED} rjct.payee_fa.invalid")]);
}

#[test]
fn a_route_to_a_backend_that_is_not_enabled_refuses_to_start() {
    let mut settings: Settings = load("http://127.0.0.1:9/resolve", &[]);
    settings.route[0].backend = BackendName::parse(OTHER).expect("a name");
    let error = Rules::compile(&settings).expect_err("nobody would read there");
    assert!(matches!(&error, RulesError::Routes(RouteError::NotEnabled { backend, .. }) if backend.as_str() == OTHER));
    let ended = gctb_mapper::run(&settings, &gctb_runtime::Shutdown::new()).expect_err("it does not start");
    assert!(format!("{ended:#}").contains("mpesa"), "{ended:#}");
}
