//! An adapter that was not seen to wait for an acceptance: it may accept quotes by itself, as it does by default.

use std::time::Duration;

use gctb_backend::{Hold, Order, PaymentBackend, Reply};
use gctb_domain::paying::{Bearer, Decision, Learnt, Next, Standing, decide};
use gctb_domain::{LedgerState, News};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::play::{ID, Play, completed, error, fresh_rail, html, in_state, ok, order, own_error, quote};
use crate::MojaloopRail;

const PATIENT: Duration = Duration::from_secs(20);

/// The order as the kit prepares it: called in doubt beforehand, if the rail wants that.
fn named(rail: &MojaloopRail) -> Order {
    Order { handle: rail.handle_in_doubt().map(str::to_owned), ..order() }
}

/// What preparing teaches a process that has just started, when the adapter answers the POST like this.
async fn prepare(play: &Play, answer: ResponseTemplate) -> Reply {
    play.answers_only("POST", answer).await.answers("PUT", ok(in_state("ABORTED"))).await;
    let rail = fresh_rail(&play.adapter.uri(), PATIENT);
    rail.prepare(&named(&rail)).await
}

/// An error that names no transfer.
fn nameless(status: u16, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"message": message, "statusCode": status.to_string()}))
}

#[tokio::test]
async fn i2_until_the_adapter_was_seen_to_wait_each_attempt_is_named_in_doubt_beforehand() {
    let play = Play::new().await;
    let rail = fresh_rail(&play.adapter.uri(), PATIENT);
    assert!(rail.handle_in_doubt().is_some());
    for answer in [error("3204"), ok(completed("COMMITTED")), html(502)] {
        play.answers_only("POST", answer).await;
        rail.prepare(&named(&rail)).await;
        assert!(rail.handle_in_doubt().is_some(), "that is no wait for an acceptance");
    }
    play.answers_only("POST", ok(quote("1000.5", "2.5"))).await;
    assert_eq!(rail.prepare(&named(&rail)).await.learnt, Learnt::Accepted);
    assert_eq!(rail.handle_in_doubt(), None);
    play.answers_only("POST", html(502)).await;
    assert_eq!(rail.prepare(&named(&rail)).await.learnt, Learnt::NotSent, "from now on preparing moves no money");
}

#[tokio::test]
async fn i2_i3_an_answer_that_is_lost_before_may_be_a_payment_and_goes_to_a_person() {
    let play = Play::new().await;
    let table = [
        ("a web page", html(502)),
        ("a gateway that gave up", html(504)),
        ("a web page of success", html(200)),
        ("no body", ResponseTemplate::new(200)),
        ("an error of its own", nameless(500, "redis is away")),
        ("an error on the way", nameless(504, "upstream timed out")),
    ];
    for (name, answer) in table {
        let reply = prepare(&play, answer).await;
        assert_eq!(reply.learnt, Learnt::Unanswerable, "{name}: {}", reply.message);
        assert!(reply.message.contains("homeTransactionId"), "{name}: {}", reply.message);
        let standing = Standing { state: LedgerState::Claimed, sends: 1, not_found: 0, quiet: false, fenced: false };
        let decision = decide(play.rail.kind(), standing, reply.learnt, Bearer::Owner);
        assert_eq!(decision, Decision::Unknown(Next::Operator), "{name}");
    }
}

#[tokio::test]
async fn i2_i3_no_answer_at_all_is_in_doubt_too() {
    let play = Play::new().await;
    play.answers("POST", ok(quote("1000.5", "0")).set_delay(Duration::from_secs(30))).await;
    let rail = fresh_rail(&play.adapter.uri(), Duration::from_millis(300));
    assert_eq!(rail.prepare(&named(&rail)).await.learnt, Learnt::Unanswerable);
}

#[tokio::test]
async fn i3_where_the_transfer_is_named_it_can_be_asked_about() {
    let play = Play::new().await;
    for answer in [own_error(500, "redis is away"), ok(in_state("ERROR_OCCURRED"))] {
        let reply = prepare(&play, answer).await;
        assert_eq!((reply.learnt, reply.handle.as_deref()), (Learnt::Nothing, Some(ID)), "{}", reply.message);
    }
}

#[tokio::test]
async fn what_shows_that_nobody_was_paid_is_read_as_ever() {
    let play = Play::new().await;
    let refused = |again| Learnt::Refused { again };
    let coded = |code: &str, message: &str| {
        ResponseTemplate::new(500).set_body_json(json!({"message": message, "statusCode": code}))
    };
    let table = [
        ("turned away", html(429), Learnt::NotSent),
        ("no entry", html(403), Learnt::NotSent),
        ("nobody there", error("3204"), refused(false)),
        ("busy while the payee was looked up", error("2005"), refused(true)),
        ("busy, nobody knows when", coded("2005", "Server busy"), Learnt::Unanswerable),
        ("no funds, whenever it was", coded("4001", "Payer FSP insufficient liquidity"), refused(true)),
        ("no party in time", own_error(504, "Timeout resolving payee for transfer X"), Learnt::NotSent),
        ("no quote in time", own_error(504, "Timeout requesting quote for transfer X"), Learnt::NotSent),
        ("an invalid request", nameless(400, ".body.to.idValue …"), refused(false)),
        ("aborted", ok(in_state("ABORTED")), refused(true)),
        ("it waits for the party", ok(in_state("WAITING_FOR_PARTY_ACCEPTANCE")), refused(true)),
    ];
    for (name, answer, learnt) in table {
        assert_eq!(prepare(&play, answer).await.learnt, learnt, "{name}");
    }
    let nowhere = fresh_rail("http://127.0.0.1:1", PATIENT);
    assert_eq!(nowhere.prepare(&named(&nowhere)).await.learnt, Learnt::NotSent, "nothing has left");
}

#[tokio::test]
async fn what_holds_the_rail_holds_it_also_in_doubt() {
    let play = Play::new().await;
    let mut answer = quote("1000.5", "0");
    answer["transferId"] = Value::Null;
    answer["currentState"] = Value::Null;
    let reply = prepare(&play, ok(answer)).await;
    assert_eq!((reply.learnt, reply.hold), (Learnt::Unanswerable, Some(Hold::NotPermitted)));
}

#[tokio::test]
async fn i2_i3_what_was_left_in_doubt_is_never_paid_refused_or_not_found() {
    let play = Play::new().await;
    let in_doubt = named(&fresh_rail(&play.adapter.uri(), PATIENT));
    // Also by a process that has seen the adapter wait: who knows what it did before.
    assert_eq!(play.rail.handle_in_doubt(), None);
    assert_eq!(play.rail.inquire(&in_doubt).await.learnt, Learnt::Unanswerable);
    assert_eq!(play.rail.fence(&in_doubt).await.learnt, Learnt::Unanswerable);
    assert_eq!(play.rail.pay(&in_doubt).await.learnt, Learnt::NotSent);
    assert!(play.asked().await.is_empty());
    let standing = Standing { state: LedgerState::Unknown, sends: 1, not_found: 0, quiet: true, fenced: false };
    let decision = decide(play.rail.kind(), standing, Learnt::Unanswerable, Bearer::Owner);
    assert_ne!(decision, Decision::Record(News::NotPaid));
    assert_eq!(decision, Decision::Unknown(Next::Operator));
}
