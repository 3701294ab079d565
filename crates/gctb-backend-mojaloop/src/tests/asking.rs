//! Asking what became of a transfer.

use gctb_backend::{Order, PaymentBackend, Reply};
use gctb_domain::paying::Learnt;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::play::{ID, Play, completed, error, html, in_state, ok, order, own_error, prepared};

async fn inquire(play: &Play, answer: ResponseTemplate) -> Reply {
    play.answers_only("GET", answer).await;
    play.rail.inquire(&prepared()).await
}

#[tokio::test]
async fn the_schemes_state_says_what_became_of_it() {
    let play = Play::new().await;
    let table = [
        ("COMMITTED", Learnt::Paid),
        ("RESERVED", Learnt::Accepted),
        ("RECEIVED", Learnt::Accepted),
        ("ABORTED", Learnt::Refused { again: true }),
    ];
    for (state, learnt) in table {
        let reply = inquire(&play, ok(completed(state))).await;
        assert_eq!((reply.learnt, reply.handle.as_deref()), (learnt, Some(ID)), "{state}");
    }
    let without_body = json!({"transferId": ID, "currentState": "COMPLETED", "fulfil": {"transferState": "COMMITTED"}});
    assert_eq!(inquire(&play, ok(without_body)).await.rail_reference.as_deref(), Some(ID));
}

#[tokio::test]
async fn a_transfer_that_the_scheme_does_not_know_is_not_found_and_no_more() {
    let play = Play::new().await;
    for answer in [error("3208"), ok(in_state("WAITING_FOR_QUOTE_ACCEPTANCE")), ok(in_state("ABORTED"))] {
        assert_eq!(inquire(&play, answer).await.learnt, Learnt::NotFound);
    }
}

#[tokio::test]
async fn i3_every_other_answer_teaches_nothing_and_never_that_nothing_was_sent() {
    let play = Play::new().await;
    let mut other = completed("COMMITTED");
    other["transferId"] = json!("01J9ZQ6Y2M8K5T7V3N4R0W1XAC");
    let table = [
        ("no answer of the scheme", own_error(504, "Timeout getting transfer X")),
        ("a web page", html(502)),
        ("not found by something in between", html(404)),
        ("a busy gateway", html(429)),
        ("another code", error("4001")),
        ("another transfer", ok(other)),
        ("no body", ResponseTemplate::new(200)),
        ("completed without a state", ok(in_state("COMPLETED"))),
    ];
    for (name, answer) in table {
        assert_eq!(inquire(&play, answer).await.learnt, Learnt::Nothing, "{name}");
    }
    let nobody_listens = super::play::rail("http://127.0.0.1:9", std::time::Duration::from_secs(2));
    assert_eq!(nobody_listens.inquire(&prepared()).await.learnt, Learnt::Nothing);
}

#[tokio::test]
async fn an_order_that_was_never_prepared_is_not_found_without_a_call() {
    let play = Play::new().await;
    assert_eq!(play.rail.inquire(&order()).await.learnt, Learnt::NotFound);
    assert!(play.asked().await.is_empty());
}

#[tokio::test]
async fn i3_a_handle_that_is_no_transfer_id_proves_nothing() {
    let play = Play::new().await;
    let order = Order { handle: Some("../health".to_owned()), ..order() };
    for reply in [play.rail.pay(&order).await, play.rail.inquire(&order).await, play.rail.fence(&order).await] {
        assert_eq!(reply.learnt, Learnt::Nothing);
    }
    assert!(play.asked().await.is_empty());
}
