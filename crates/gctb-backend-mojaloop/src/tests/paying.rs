//! Paying: accepting the quote. From here on only a definite word counts.

use std::time::Duration;

use gctb_backend::{Hold, PaymentBackend, Reply};
use gctb_domain::paying::{Bearer, Decision, Learnt, Next, Standing, decide};
use gctb_domain::{LedgerState, ReasonCode};
use serde_json::json;
use wiremock::ResponseTemplate;

use super::play::{ID, Play, completed, error, forgotten, html, in_state, ok, order, own_error, prepared, rail};

async fn pay(play: &Play, answer: ResponseTemplate) -> Reply {
    play.answers_only("PUT", answer).await;
    play.rail.pay(&prepared()).await
}

#[tokio::test]
async fn a_committed_transfer_is_paid_and_named() {
    let play = Play::new().await;
    play.answers("PUT", ok(completed("COMMITTED"))).await;
    let reply = play.rail.pay(&prepared()).await;
    assert_eq!((reply.learnt, reply.rail_reference.as_deref()), (Learnt::Paid, Some(ID)));
    assert_eq!(play.asked().await, [("PUT".to_owned(), json!({"acceptQuote": true}))], "one call, once");
}

#[tokio::test]
async fn i3_completed_is_judged_by_the_schemes_own_state() {
    let play = Play::new().await;
    let table = [
        ("RECEIVED", Learnt::Accepted),
        ("RESERVED", Learnt::Accepted),
        ("ABORTED", Learnt::Refused { again: true }),
        ("SETTLED?", Learnt::Nothing),
    ];
    for (state, learnt) in table {
        assert_eq!(pay(&play, ok(completed(state))).await.learnt, learnt, "{state}");
    }
    assert_eq!(pay(&play, ok(in_state("COMPLETED"))).await.learnt, Learnt::Nothing, "no state at all");
}

#[tokio::test]
async fn definite_errors_of_the_scheme_are_refusals_with_their_reason() {
    let play = Play::new().await;
    let refused = |again, reason| (Learnt::Refused { again }, Some(reason));
    let table = [
        ("4001", refused(true, ReasonCode::PaymentFailed), Some(Hold::NoFunds)),
        ("4200", refused(false, ReasonCode::AmountInvalid), None),
        ("5107", refused(false, ReasonCode::PayeeFaInvalid), None),
        ("5106", refused(false, ReasonCode::CurrencyCodeInvalid), None),
        ("5105", refused(false, ReasonCode::PaymentFailed), None),
        ("3302", refused(true, ReasonCode::PaymentFailed), None),
    ];
    for (code, expected, hold) in table {
        let reply = pay(&play, error(code)).await;
        assert_eq!(((reply.learnt, reply.reason), reply.hold), (expected, hold), "{code}");
    }
}

#[tokio::test]
async fn i3_whatever_is_not_definite_about_this_transfer_teaches_nothing_and_is_asked_about() {
    let mut other = completed("COMMITTED");
    other["transferId"] = json!("01J9ZQ6Y2M8K5T7V3N4R0W1XAC");
    let mut other_error = json!({"statusCode": "4001", "transferState": {"transferId": "another"}});
    other_error["message"] = json!("…");
    let table = [
        ("no fulfilment in time", own_error(504, "Timeout waiting for fulfil for transfer X")),
        ("a fulfilment that does not fit", own_error(500, "Invalid fulfilment received from peer DFSP.")),
        ("an error of its own", own_error(500, "redis is away")),
        ("an internal server error", error("2001")),
        ("no way to the payee", error("1001")),
        ("an expired transfer", error("3303")),
        ("the echo of somebody's question", error("3208")),
        ("a code that nobody knows", error("9999")),
        ("a web page", html(502)),
        ("a web page of success", html(200)),
        ("no body", ResponseTemplate::new(204)),
        ("still waiting", ok(in_state("WAITING_FOR_QUOTE_ACCEPTANCE"))),
        ("an error state", ok(in_state("ERROR_OCCURRED"))),
        ("another transfer", ok(other)),
        ("another transfer's error", ResponseTemplate::new(500).set_body_json(other_error)),
        ("a redirect", ResponseTemplate::new(307).insert_header("Location", "/elsewhere")),
    ];
    let play = Play::new().await;
    let standing = Standing { state: LedgerState::Claimed, sends: 1, not_found: 0, quiet: false, fenced: false };
    for (name, answer) in table {
        let reply = pay(&play, answer).await;
        assert_eq!(reply.learnt, Learnt::Nothing, "{name}: {}", reply.message);
        assert_eq!(reply.handle.as_deref(), Some(ID), "one asks by it");
        let decision = decide(play.rail.kind(), standing, reply.learnt, Bearer::Owner);
        assert_eq!(decision, Decision::Unknown(Next::Ask), "{name}");
    }
}

#[tokio::test]
async fn i2_a_redirect_is_not_followed() {
    let play = Play::new().await;
    let elsewhere = ResponseTemplate::new(307).insert_header("Location", "/elsewhere");
    assert_eq!(pay(&play, elsewhere).await.learnt, Learnt::Nothing);
    assert_eq!(play.asked().await.len(), 1);
}

#[tokio::test]
async fn i3_a_known_id_with_other_content_is_a_duplicate_and_no_refusal() {
    let play = Play::new().await;
    assert_eq!(pay(&play, error("3106")).await.learnt, Learnt::Duplicate);
}

#[tokio::test]
async fn i3_a_time_out_with_a_code_is_a_time_out() {
    let play = Play::new().await;
    let mut answer = json!({"message": "…", "statusCode": "5105", "transferState": {"transferId": ID}});
    answer["transferState"]["currentState"] = json!("ERROR_OCCURRED");
    assert_eq!(pay(&play, ResponseTemplate::new(504).set_body_json(answer)).await.learnt, Learnt::Nothing);
}

#[tokio::test]
async fn a_quote_that_the_adapter_has_forgotten_or_aborted_paid_nobody() {
    let play = Play::new().await;
    for answer in [forgotten(), ok(in_state("ABORTED"))] {
        let reply = pay(&play, answer).await;
        assert_eq!((reply.learnt, reply.reason), (Learnt::Refused { again: true }, Some(ReasonCode::PaymentFailed)));
    }
}

#[tokio::test]
async fn an_acceptance_that_was_turned_away_unread_was_not_sent() {
    let play = Play::new().await;
    let reply = pay(&play, html(429).insert_header("Retry-After", "2")).await;
    assert_eq!((reply.learnt, reply.slow_down), (Learnt::NotSent, Some(Duration::from_secs(2))));
}

#[tokio::test]
async fn a_gateway_that_refuses_us_holds_the_rail_and_proves_nothing() {
    let play = Play::new().await;
    for (status, hold) in [(401, Hold::CredentialsRefused), (403, Hold::CredentialsRefused), (404, Hold::NotPermitted)]
    {
        let reply = pay(&play, html(status)).await;
        assert_eq!((reply.learnt, reply.hold), (Learnt::Nothing, Some(hold)), "{status}");
    }
}

#[tokio::test]
async fn i3_an_answer_beyond_the_limit_is_not_read_and_teaches_nothing() {
    let play = Play::new().await;
    let mut answer = completed("COMMITTED");
    answer["ilpPacket"] = json!("A".repeat(20_000));
    assert_eq!(pay(&play, ok(answer)).await.learnt, Learnt::Nothing);
}

#[tokio::test]
async fn i3_an_acceptance_that_takes_longer_than_the_deadline_is_unknown() {
    let play = Play::new().await;
    play.answers("PUT", ok(completed("COMMITTED")).set_delay(Duration::from_secs(30))).await;
    let reply = rail(&play.adapter.uri(), Duration::from_millis(300)).pay(&prepared()).await;
    assert_eq!(reply.learnt, Learnt::Nothing);
}

#[tokio::test]
async fn what_was_not_prepared_is_not_paid() {
    let play = Play::new().await;
    assert_eq!(play.rail.pay(&order()).await.learnt, Learnt::NotSent);
    assert!(play.asked().await.is_empty());
}
