//! Every fault at least once, over real HTTP, with what the book says about it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::mojaloop::{accept, prepare};
use crate::mpesa::{Payer, parameter};
use crate::world::{World, answer, try_answer};

/// Long enough for an answer on this machine, short enough to wait for none.
const SHORT: Duration = Duration::from_millis(400);

async fn one_fault(world: &World, rail: &str, stage: &str, fault: Value) {
    world.faults(&json!({"rules": [{"rail": rail, "stage": stage, "nth": 1, "fault": fault}]})).await;
}

/// Deposits to an account of its own under a fault: what came, and how often the account was paid.
async fn deposit_under(world: &World, token: &str, name: &str, fault: Value) -> (Option<(u16, Value)>, usize) {
    one_fault(world, "simple-mpesa", "submit", fault).await;
    let account = format!("{name}@b.example");
    let body = json!({"amount": 10, "accountNo": account, "customerType": "subscriber"});
    let request = world.request(Method::POST, "/api/transaction/deposit").bearer_auth(token).json(&body);
    let answered = match tokio::time::timeout(SHORT, try_answer(request)).await {
        Ok(Ok(answered)) => Some(answered),
        Ok(Err(_)) | Err(_) => None,
    };
    assert_eq!(world.given().await, 1, "{name}");
    (answered, world.times_paid("simple-mpesa", &account).await)
}

#[tokio::test]
async fn a_fault_before_pays_nothing_and_one_after_has_paid() {
    let world = World::start();
    let token = world.agent_token().await;
    for (name, fault, status, paid) in [
        ("hang_before", json!("hang_before"), None, 0),
        ("hang_after", json!("hang_after"), None, 1),
        ("close_before", json!("close_before"), None, 0),
        ("close_after", json!("close_after"), None, 1),
        ("error_before", json!({"error_before": {"status": 503}}), Some(503), 0),
        ("error_after", json!({"error_after": {"status": 500}}), Some(500), 1),
        ("html_before", json!("html_before"), Some(502), 0),
        ("html_after", json!("html_after"), Some(200), 1),
        ("malformed", json!("malformed_json"), Some(200), 1),
        ("wrong_types", json!("wrong_types"), Some(200), 1),
        ("limited", json!({"rate_limited": {"style": "http429"}}), Some(429), 0),
        ("expired", json!("expired_token"), Some(401), 0),
        ("drip", json!({"slow_drip": {"ms": 5}}), Some(200), 1),
        ("delay", json!({"delay": {"ms": 20}}), Some(200), 1),
    ] {
        let (answered, times_paid) = deposit_under(&world, &token, name, fault).await;
        assert_eq!((answered.as_ref().map(|answered| answered.0), times_paid), (status, paid), "{name}: {answered:?}");
        if name.starts_with("html") || name == "malformed" {
            assert!(answered.expect("answered").1.is_string(), "{name} is no JSON");
        }
    }
}

#[tokio::test]
async fn a_closed_connection_is_closed_at_once_and_without_a_byte() {
    let world = World::start();
    let token = world.agent_token().await;
    let started = Instant::now();
    one_fault(&world, "simple-mpesa", "balance", json!("close_before")).await;
    let request = world.request(Method::GET, "/api/account/balance").bearer_auth(&token);
    let error = try_answer(request).await.expect_err("no answer");
    assert!(error.is_request() && !error.is_timeout() && !error.is_body(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_late_request_is_worked_on_though_its_caller_has_gone() {
    let world = World::start();
    let token = world.agent_token().await;
    for plan in [
        json!({"rules": [{"rail": "simple-mpesa", "stage": "submit", "fault": {"delay": {"ms": 500}}}]}),
        json!({"simple-mpesa": {"answer_delay_ms": 500}}),
    ] {
        world.faults(&plan).await;
        let body = json!({"amount": 10, "accountNo": "late@b.example", "customerType": "subscriber"});
        let request = world.request(Method::POST, "/api/transaction/deposit").bearer_auth(&token).json(&body);
        let patience = Duration::from_millis(100);
        assert!(tokio::time::timeout(patience, try_answer(request)).await.is_err(), "no answer yet");
    }
    world.wait_for_payments("simple-mpesa", 2).await;
}

#[tokio::test]
async fn daraja_limits_in_three_ways_and_forgets_its_tokens() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    for (n, (style, status, code)) in
        [("spike_arrest_code", 500, "500.003.02"), ("quota", 500, "500.003.03")].into_iter().enumerate()
    {
        one_fault(&world, "mpesa", "submit", json!({"rate_limited": {"style": style}})).await;
        let (got, body) = payer.pay(&format!("k{n}"), "254700001234", 10).await;
        assert_eq!((got, &body["errorCode"]), (status, &json!(code)));
    }
    one_fault(&world, "mpesa", "submit", json!({"rate_limited": {"style": "spike_arrest"}})).await;
    let (status, body) = payer.pay("k", "254700001234", 10).await;
    assert_eq!(status, 429);
    assert_eq!(body["fault"]["detail"]["errorcode"], "policies.ratelimit.SpikeArrestViolation");

    one_fault(&world, "mpesa", "submit", json!("expired_token")).await;
    for _ in 0..2 {
        let (status, body) = payer.pay("k", "254700001234", 10).await;
        assert_eq!((status, &body["errorCode"]), (401, &json!("401.003.01")), "the token is gone for good");
    }
    one_fault(&world, "mpesa", "token", json!("wrong_types")).await;
    let (_, token) = world.oauth("demo-consumer-key:demo-consumer-secret").await;
    assert_eq!(token["expires_in"], 3599);
}

#[tokio::test]
async fn callbacks_are_lost_doubled_late_spoilt_or_time_outs() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    let rule =
        |key: &str, fault: Value| json!({"rail": "mpesa", "stage": "callback", "match": {"key": key}, "fault": fault});
    let timed_out = |paid: bool, later: Value| json!({"timeout_callback": {"paid": paid, "result_after_ms": later}});
    world
        .faults(&json!({"rules": [
            rule("lost", json!("callback_lost")),
            rule("twice", json!("callback_duplicated")),
            rule("late", json!({"callback_delayed": {"ms": 300}})),
            rule("broken", json!("malformed_json")),
            rule("types", json!("wrong_types")),
            rule("timeout-paid", timed_out(true, json!(50))),
            rule("timeout-unpaid", timed_out(false, Value::Null)),
            {"rail": "mpesa", "stage": "query_callback", "match": {"key": "lost"}, "nth": 1, "fault": "callback_duplicated"}]}))
        .await;

    payer.pay("lost", "254700001234", 10).await;
    world.wait_for_payments("mpesa", 1).await;
    assert!(payer.listener.is_quiet());
    assert_eq!(parameter(&payer.status("lost").await, "TransactionStatus"), "Completed");
    assert_eq!(
        parameter(&payer.listener.next().result(), "TransactionStatus"),
        "Completed",
        "the query's result, doubled"
    );

    payer.pay("twice", "254700001234", 10).await;
    let (first, second) = (payer.listener.next(), payer.listener.next());
    assert_eq!((first.result(), &first.text), (second.result(), &second.text));

    payer.pay("late", "254700001234", 10).await;
    payer.pay("after", "254700001234", 10).await;
    let order =
        [payer.listener.next(), payer.listener.next()].map(|told| told.result()["OriginatorConversationID"].clone());
    assert_eq!(order, [json!("after"), json!("late")]);

    payer.pay("broken", "254700001234", 10).await;
    assert!(serde_json::from_str::<Value>(&payer.listener.next().text).is_err());
    payer.pay("types", "254700001234", 10).await;
    assert_eq!(payer.listener.next().result()["ResultCode"], "0");

    payer.pay("timeout-paid", "254700001234", 10).await;
    let told = [payer.listener.next(), payer.listener.next()];
    assert_eq!([&told[0].path, &told[1].path], ["/timeout", "/result"]);
    assert_eq!((told[0].result()["ResultType"].clone(), told[1].result()["ResultCode"].clone()), (json!(1), json!(0)));
    payer.pay("timeout-unpaid", "254700001234", 10).await;
    assert_eq!(payer.listener.next().path, "/timeout");
    assert_eq!(parameter(&payer.status("timeout-unpaid").await, "TransactionStatus"), "Expired");
    assert_eq!(world.times_paid("mpesa", "timeout-paid").await, 1);
    assert_eq!(world.times_paid("mpesa", "timeout-unpaid").await, 0);
    assert_eq!(world.summary("mpesa").await["payments"], 7);
}

#[tokio::test]
async fn an_acknowledgement_that_is_lost_leaves_a_payment_that_is_a_duplicate() {
    let world = World::start();
    let payer = Payer::of(&world).await;
    one_fault(&world, "mpesa", "submit", json!("close_after")).await;
    let request = payer.request("/mpesa/b2c/v3/paymentrequest", &payer.body("k", "254700001234", 10));
    assert!(try_answer(request).await.is_err());
    assert_eq!(payer.listener.next().result()["ResultCode"], 0);
    assert_eq!(payer.pay("k", "254700001234", 10).await.0, 500);
    assert_eq!(world.times_paid("mpesa", "k").await, 1);
}

#[tokio::test]
async fn a_transfer_completes_with_a_state_that_is_not_committed() {
    let world = World::start();
    for (home, state, said, later, paid) in
        [("r", "reserved", "RESERVED", "COMMITTED", 1), ("a", "aborted", "ABORTED", "ABORTED", 0)]
    {
        let id = prepare(&world, home, "254700001234").await;
        one_fault(&world, "mojaloop", "commit", json!({"transfer_state": {"state": state}})).await;
        let (status, model) = accept(&world, &id).await;
        assert_eq!((status, &model["currentState"]), (200, &json!("COMPLETED")));
        assert_eq!(model["fulfil"]["body"]["transferState"], said);
        let asked = world.get(&format!("/transfers/{id}")).await.1;
        assert_eq!(asked["fulfil"]["body"]["transferState"], later);
        assert_eq!(world.times_paid("mojaloop", home).await, paid);
    }
    let id = prepare(&world, "w", "254700000401").await;
    one_fault(&world, "mojaloop", "commit", json!("wrong_types")).await;
    assert_eq!(accept(&world, &id).await.1["statusCode"], 4001);
    world
        .faults(&json!({"rules": [{"rail": "mojaloop", "stage": "commit", "match": {"key": "e"}, "fault": {"error_after": {"status": 502}}}]}))
        .await;
    let id = prepare(&world, "e", "254700001234").await;
    assert_eq!(accept(&world, &id).await, (502, json!({"message": "Internal server error", "statusCode": "502"})));
    assert_eq!(world.times_paid("mojaloop", "e").await, 1, "the fault found the transfer by its home id");
}

#[tokio::test]
async fn faults_come_from_a_file_too_and_a_bad_document_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let plan = r#"{"chances": [{"rail": "mojaloop", "stage": "party", "per_million": 1000000, "fault": {"error_before": {"status": 503}}}]}"#;
    std::fs::write(folder.path().join("faults.json"), plan).expect("written");
    let world = World::start_in(folder, &["--faults", "faults.json", "--rail-books", "elsewhere"]);
    assert_eq!(world.get("/parties/MSISDN/254700001234").await.0, 503);
    assert_eq!(world.put("/control/faults", &json!({"chances": [{}]})).await.0, 400);
    assert_eq!(world.get("/parties/MSISDN/254700001234").await.0, 503);
    world.faults(&json!({})).await;
    assert_eq!(answer(world.request(Method::GET, "/parties/MSISDN/254700001234")).await.0, 200);
    let folder = world.kill();
    assert!(folder.path().join("elsewhere/mojaloop.jsonl").exists());
}
