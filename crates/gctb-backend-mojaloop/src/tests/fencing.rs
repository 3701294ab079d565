//! Making impossible what was prepared: the quote is refused, seen to be given up, and the scheme asked once more.

use gctb_backend::{PaymentBackend, Reply};
use gctb_domain::paying::Learnt;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::play::{ID, Play, completed, error, forgotten, html, in_state, ok, order, own_error, prepared};

const REFUSED: Learnt = Learnt::Refused { again: true };

async fn fence(play: &Play, put: ResponseTemplate, get: ResponseTemplate) -> Reply {
    play.answers_only("PUT", put).await.answers("GET", get).await;
    play.rail.fence(&prepared()).await
}

/// "Not found" from an adapter that does not say where it has the transfer.
fn not_found() -> ResponseTemplate {
    ResponseTemplate::new(500).set_body_json(json!({"message": "…", "statusCode": "3208"}))
}

#[tokio::test]
async fn a_refused_quote_that_is_seen_aborted_and_unknown_to_the_scheme_was_not_paid() {
    let play = Play::new().await;
    play.answers("PUT", ok(in_state("ABORTED"))).await.answers("GET", not_found()).await;
    assert_eq!(play.rail.fence(&prepared()).await.learnt, REFUSED);
    let expected = [("PUT".to_owned(), json!({"acceptQuote": false})), ("GET".to_owned(), json!(null))];
    assert_eq!(play.asked().await, expected);
}

#[tokio::test]
async fn an_adapter_that_ended_the_transfer_when_it_was_asked_about_it_has_given_it_up() {
    let play = Play::new().await;
    for put in [ResponseTemplate::new(204), ResponseTemplate::new(200), ok(in_state("ERROR_OCCURRED")), forgotten()] {
        assert_eq!(fence(&play, put, error("3208")).await.learnt, REFUSED);
    }
}

#[tokio::test]
async fn i3_without_a_sign_that_the_adapter_gave_it_up_not_found_proves_nothing() {
    let play = Play::new().await;
    for put in [ResponseTemplate::new(204), forgotten()] {
        assert_eq!(fence(&play, put, not_found()).await.learnt, Learnt::Nothing);
    }
    let unclear = [
        html(502),
        html(200),
        own_error(500, "redis is away"),
        own_error(504, "…"),
        ok(in_state("WAITING_FOR_QUOTE_ACCEPTANCE")),
    ];
    for put in unclear {
        assert_eq!(fence(&play, put, error("3208")).await.learnt, Learnt::Nothing);
    }
}

#[tokio::test]
async fn i2_a_fence_that_finds_a_payment_says_so() {
    let play = Play::new().await;
    assert_eq!(
        fence(&play, ok(completed("COMMITTED")), not_found()).await.learnt,
        Learnt::Paid,
        "known to the adapter"
    );
    let known_to_the_scheme = fence(&play, ok(in_state("ABORTED")), ok(completed("COMMITTED"))).await;
    assert_eq!((known_to_the_scheme.learnt, known_to_the_scheme.rail_reference.as_deref()), (Learnt::Paid, Some(ID)));
}

#[tokio::test]
async fn i3_a_fence_that_the_scheme_does_not_confirm_is_none() {
    let play = Play::new().await;
    let aborted = || ok(in_state("ABORTED"));
    let table = [
        (ok(completed("RESERVED")), Learnt::Accepted),
        (ok(completed("ABORTED")), REFUSED),
        (own_error(504, "Timeout getting transfer X"), Learnt::Nothing),
        (html(502), Learnt::Nothing),
        (error("2001"), Learnt::Nothing),
    ];
    for (get, learnt) in table {
        assert_eq!(fence(&play, aborted(), get).await.learnt, learnt);
    }
}

#[tokio::test]
async fn an_adapter_that_answers_from_its_memory_confirms_with_aborted() {
    let play = Play::new().await;
    assert_eq!(fence(&play, ok(in_state("ABORTED")), ok(in_state("ABORTED"))).await.learnt, REFUSED);
}

#[tokio::test]
async fn what_was_never_prepared_needs_no_fence() {
    let play = Play::new().await;
    assert_eq!(play.rail.fence(&order()).await.learnt, REFUSED);
    assert!(play.asked().await.is_empty());
}
