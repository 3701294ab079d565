//! Callbacks that are not believed: refused by name, counted, kept with what they said, and nothing moved.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gctb_domain::{BatchNo, LedgerState, RailKey, Seq};
use serde_json::json;

use super::stage::{Stage, answered, code, counted, paid};
use crate::daraja::Route;
use crate::settings::ListenerSettings;
use crate::testing::CALLBACK_TOKEN;

#[tokio::test]
async fn what_is_not_believed_is_refused_by_name_counted_and_kept_and_moves_nothing() {
    let Some(stage) = Stage::start("what_is_not_believed", 2) else { return };
    let (before, mut expected) = (stage.ledger(), Vec::new());
    let with = |name: &str, value: serde_json::Value| {
        let mut body = stage.paid(0);
        let parameters = body["Result"]["ResultParameters"]["ResultParameter"].as_array_mut().expect("a list");
        for parameter in parameters.iter_mut().filter(|parameter| parameter["Key"] == name) {
            parameter["Value"] = value.clone();
        }
        body.to_string()
    };
    let of = |number: i64, seq: i32| RailKey::new(BatchNo(number), Seq(seq), 1).expect("in range");
    let mut theirs = stage.paid(0);
    theirs["Result"]["OriginatorConversationID"] = json!("600997_Test_32et3241ed8yu");
    let (question, _) = stage.declined(1, 1, true);
    let (_, mut other_payer) = stage.declined(1, 1, true);
    other_payer["Result"]["ResultParameters"]["ResultParameter"][2]["Value"] = json!("600310 - Another ministry");
    let (_, about_another) = stage.declined(0, 1, true);
    for (route, body, status, kind, seq) in [
        (Route::PaymentResult, "<html>".to_owned(), 400, "malformed", "-"),
        (Route::PaymentResult, theirs.to_string(), 404, "not_ours", "-"),
        (Route::PaymentResult, paid(of(stage.number.0 + 1, 0), 0).to_string(), 404, "unknown_payment", "-"),
        (Route::PaymentResult, paid(of(stage.number.0, 2), 2).to_string(), 404, "unknown_payment", "2"),
        (Route::PaymentResult, with("TransactionAmount", json!(11)), 400, "amount_differs", "0"),
        (Route::PaymentResult, with("TransactionAmount", json!("10.005")), 400, "amount_unreadable", "-"),
        (Route::PaymentResult, with("ReceiverPartyPublicName", json!("254705999999 - X")), 400, "payee_differs", "0"),
        (question, other_payer.to_string(), 400, "other_account", "-"),
        (question, about_another.to_string(), 400, "other_payment", "-"),
        (Route::PaymentResult, "x".repeat(70_000), 413, "too_large", "-"),
    ] {
        let metric = format!("gctb_callbacks_total{{outcome=\"{kind}\"");
        let counted_before = counted(&metric);
        assert_eq!(stage.post(route, body).await.0, status, "{kind}");
        assert!(counted(&metric) > counted_before, "{kind}");
        expected.push(format!("{kind}:{seq}"));
        assert_eq!(stage.kept(), expected);
    }
    let unknown = stage.client.post(format!("{}/{CALLBACK_TOKEN}/status/KEY/result", stage.url)).body("{}");
    assert_eq!(answered(unknown).await.0, 404, "an unknown path, by somebody who knows the token");
    assert_eq!(stage.kept().last().map(String::as_str), Some("unknown_path:-"));
    assert_eq!(stage.ledger(), before, "no state moved");
    assert_eq!(stage.count("outbox"), "1", "of the claim");
    let bodies = stage.database.values(
        "SELECT length(body)::text || left(body, 6) AS value FROM rail_exceptions WHERE kind IN ('malformed', 'too_large') ORDER BY 1",
    );
    assert_eq!(bodies, ["4096xxxxxx", "6<html>"]);
    let keys = stage.database.values(
        "SELECT coalesce(rail_key, '-') AS value FROM rail_exceptions WHERE kind IN ('amount_differs', 'other_payment') ORDER BY exception_id",
    );
    assert_eq!(keys, [stage.key(0).to_string(), stage.key(1).to_string()]);
}

#[tokio::test]
async fn a_wrong_token_is_an_unknown_path_like_any_other_and_leaves_no_trace_but_a_count() {
    let Some(stage) = Stage::start("a_wrong_token", 1) else { return };
    let before = counted("gctb_callbacks_total{outcome=\"unknown_path\"");
    let wrong = CALLBACK_TOKEN.replace('f', "e");
    let body = stage.paid(0).to_string();
    let mut answers = Vec::new();
    for path in [format!("/mpesa/{wrong}/payment/result"), "/".to_owned(), "/payment/result".to_owned()] {
        answers.push(answered(stage.client.post(format!("{}{path}", stage.url)).body(body.clone())).await);
    }
    answers.push(answered(stage.client.get(format!("{}/mpesa/{CALLBACK_TOKEN}/payment/result", stage.url))).await);
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 404), "{answers:?}");
    assert!(counted("gctb_callbacks_total{outcome=\"unknown_path\"") >= before + 4);
    assert_eq!((stage.states(), stage.kept().len()), (vec![code(LedgerState::Claimed)], 0));
}

#[tokio::test]
async fn a_callback_from_elsewhere_is_refused_and_kept_whoever_it_says_it_is() {
    let Some(stage) = Stage::start_with("a_callback_from_elsewhere", 2, |settings| {
        settings.daraja.listener.allowed_networks = Some("198.51.100.0/24".to_owned());
        settings.daraja.listener.trusted_proxies = "127.0.0.1".to_owned();
    }) else {
        return;
    };
    let by = |seq, forwarded: Option<&str>| {
        let request = stage.request(Route::PaymentResult, stage.paid(seq).to_string());
        answered(
            forwarded.map_or(request.try_clone().expect("plain"), |value| request.header("x-forwarded-for", value)),
        )
    };
    assert_eq!(by(0, None).await.0, 403, "the proxy itself");
    assert_eq!(by(0, Some("203.0.113.9")).await.0, 403);
    assert_eq!(by(0, Some("198.51.100.7, 203.0.113.9")).await.0, 403, "what a stranger wrote before the proxy did");
    assert_eq!(by(0, Some("garbage")).await.0, 403);
    assert_eq!(stage.states(), vec![code(LedgerState::Claimed); 2]);
    assert_eq!(stage.kept(), vec!["elsewhere:-"; 4]);
    assert_eq!(by(0, Some("198.51.100.7")).await.0, 200);
    assert_eq!(by(1, Some("203.0.113.9, 198.51.100.8")).await.0, 200, "the proxy's own word counts");
    assert_eq!(stage.states(), vec![code(LedgerState::Paid); 2]);
}

#[tokio::test]
async fn a_stranger_who_names_an_allowed_address_is_still_a_stranger() {
    let Some(stage) = Stage::start_with("a_stranger", 1, |settings| {
        settings.daraja.listener.allowed_networks = Some("198.51.100.0/24".to_owned());
    }) else {
        return;
    };
    let request = stage.request(Route::PaymentResult, stage.paid(0).to_string());
    assert_eq!(answered(request.header("x-forwarded-for", "198.51.100.7")).await.0, 403);
    assert_eq!(stage.states(), [code(LedgerState::Claimed)]);
}

#[tokio::test]
async fn i10_of_a_flood_of_refused_callbacks_only_some_are_kept_and_the_rest_is_counted() {
    let Some(stage) = Stage::start_with("i10_of_a_flood", 1, |settings| {
        settings.daraja.listener.exceptions_per_minute_max = 3;
    }) else {
        return;
    };
    let before = counted("gctb_callbacks_not_kept_total");
    for _ in 0..10 {
        assert_eq!(stage.post(Route::PaymentResult, "not JSON").await.0, 400);
    }
    assert_eq!(stage.kept().len(), 3);
    assert!(counted("gctb_callbacks_not_kept_total") >= before + 7);
    assert_eq!(stage.result(&stage.paid(0)).await, 200, "and what is believed is recorded all the same");
}

#[test]
fn i10_a_request_that_does_not_come_to_its_end_is_given_up() {
    let short = Duration::from_millis(100);
    let half_a_body =
        format!("POST /{CALLBACK_TOKEN}/payment/result HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{");
    let Some(answer) = answer_to(&half_a_body, |listener| listener.body_timeout = short) else { return };
    assert_eq!(answer, "HTTP/1.1 400");
    let Some(answer) = answer_to("POST /x HTTP/1.1\r\nHost", |listener| listener.head_timeout = short) else { return };
    assert_eq!(answer, "HTTP/1.1 408");
}

/// How the answer to a request begins after which nothing more is sent.
fn answer_to(request: &str, change: impl FnOnce(&mut ListenerSettings)) -> Option<String> {
    let stage = Stage::start_with("i10_a_request", 1, |settings| change(&mut settings.daraja.listener))?;
    let mut stream = TcpStream::connect(stage.url.trim_start_matches("http://")).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it does not hang");
    assert_eq!(stage.states(), [code(LedgerState::Claimed)]);
    Some(String::from_utf8_lossy(&answer).into_owned())
}
