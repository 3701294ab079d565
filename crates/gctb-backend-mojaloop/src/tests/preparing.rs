//! Preparing: asking for a quote, which moves no money.

use std::time::Duration;

use gctb_backend::{Hold, PaymentBackend, Reply};
use gctb_domain::paying::Learnt;
use gctb_domain::{FinancialAddress, ReasonCode};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::play::{ID, Play, completed, error, html, in_state, ok, order, own_error, quote, rail};

/// What preparing teaches when the adapter answers the POST like this, and a refusal of the quote with ABORTED.
async fn prepare(play: &Play, answer: ResponseTemplate) -> Reply {
    play.answers_only("POST", answer).await.answers("PUT", ok(in_state("ABORTED"))).await;
    play.rail.prepare(&order()).await
}

#[tokio::test]
async fn a_quote_for_what_was_asked_is_the_leave_to_pay() {
    let play = Play::new().await;
    play.answers("POST", ok(quote("1000.5", "2.5"))).await;
    let reply = play.rail.prepare(&order()).await;
    assert_eq!((reply.learnt, reply.handle.as_deref(), reply.hold), (Learnt::Accepted, Some(ID), None));
    let payer = json!({
        "type": "BUSINESS",
        "idType": "ACCOUNT_ID",
        "idValue": "1212121212",
        "displayName": "Government Treasury Bank",
    });
    let expected = json!({
        "homeTransactionId": order().key.to_string(),
        "from": payer,
        "to": {"idType": "MSISDN", "idValue": "254700000001", "displayName": "Jan Doe"},
        "amountType": "SEND",
        "currency": "KES",
        "amount": "1000.5",
        "transactionType": "TRANSFER",
        "note": "Farmer relief",
    });
    assert_eq!(play.asked().await, [("POST".to_owned(), expected)]);
}

#[tokio::test]
async fn a_quote_without_a_body_around_it_is_one_too() {
    let play = Play::new().await;
    let mut answer = quote("1000.5", "0");
    answer["quoteResponse"] = answer["quoteResponse"]["body"].take();
    assert_eq!(prepare(&play, ok(answer)).await.learnt, Learnt::Accepted);
}

#[tokio::test]
async fn a_quote_with_a_fee_over_the_limit_or_another_amount_is_refused_here_and_at_the_adapter() {
    let play = Play::new().await;
    for answer in
        [quote("1000.5", "2.51"), quote("1000", "0"), quote("1000.501", "0"), in_state("WAITING_FOR_QUOTE_ACCEPTANCE")]
    {
        play.answers_only("POST", ok(answer)).await.answers("PUT", ok(in_state("ABORTED"))).await;
        let reply = play.rail.prepare(&order()).await;
        assert_eq!((reply.learnt, reply.handle.as_deref()), (Learnt::Refused { again: false }, Some(ID)));
        assert_eq!(reply.reason, Some(ReasonCode::PaymentFailed));
        let asked = play.asked().await;
        assert_eq!(
            asked.last(),
            Some(&("PUT".to_owned(), json!({"acceptQuote": false}))),
            "the quote is refused there"
        );
    }
}

#[tokio::test]
async fn a_bad_quote_stays_refused_when_the_adapter_does_not_hear_of_it() {
    let play = Play::new().await;
    play.answers("POST", ok(quote("1000.5", "99"))).await.answers("PUT", html(502)).await;
    assert_eq!(play.rail.prepare(&order()).await.learnt, Learnt::Refused { again: false });
}

#[tokio::test]
async fn i3_an_adapter_that_pays_when_a_bad_quote_is_refused_has_paid_and_is_held() {
    let play = Play::new().await;
    for (state, learnt) in [("COMMITTED", Learnt::Paid), ("RESERVED", Learnt::Nothing)] {
        play.answers_only("POST", ok(quote("1000.5", "99"))).await.answers("PUT", ok(completed(state))).await;
        let reply = play.rail.prepare(&order()).await;
        assert_eq!((reply.learnt, reply.hold), (learnt, Some(Hold::NotPermitted)), "{state}");
    }
}

#[tokio::test]
async fn i2_an_adapter_that_accepts_quotes_by_itself_has_paid_and_is_held() {
    let play = Play::new().await;
    let table = [
        ("COMMITTED", Learnt::Paid),
        // Under way without leave: by no means the leave to pay.
        ("RESERVED", Learnt::Nothing),
        ("RECEIVED", Learnt::Nothing),
        ("ABORTED", Learnt::Refused { again: true }),
        ("SETTLED?", Learnt::Nothing),
    ];
    for (state, learnt) in table {
        let reply = prepare(&play, ok(completed(state))).await;
        assert_eq!((reply.learnt, reply.hold), (learnt, Some(Hold::NotPermitted)), "{state}");
        assert_eq!(reply.handle.as_deref(), Some(ID), "{state}");
        assert!(reply.message.contains("AUTO_ACCEPT_QUOTES=false"), "{}", reply.message);
    }
}

#[tokio::test]
async fn i3_an_error_that_came_after_the_quote_is_no_proof_that_nothing_was_paid() {
    let play = Play::new().await;
    for message in ["Timeout waiting for fulfil for transfer X", "Got an error response preparing transfer: …"] {
        for status in [500, 504] {
            let reply = prepare(&play, own_error(status, message)).await;
            assert_eq!((reply.learnt, reply.hold), (Learnt::Nothing, Some(Hold::NotPermitted)), "{status} {message}");
            assert_eq!(reply.handle.as_deref(), Some(ID), "one asks by it");
        }
    }
}

#[tokio::test]
async fn what_is_not_a_quote_moves_no_money_and_is_read_by_its_kind() {
    let play = Play::new().await;
    let not_sent = (Learnt::NotSent, None, None);
    let table = [
        ("party time-out", own_error(504, "Timeout resolving payee for transfer X"), not_sent),
        ("quote time-out", own_error(504, "Timeout requesting quote for transfer X"), not_sent),
        ("an error of its own", own_error(500, "redis is away"), not_sent),
        ("a web page", html(502), not_sent),
        ("a web page of success", html(200), not_sent),
        ("no body", ResponseTemplate::new(200), not_sent),
        ("busy", error("2005"), (Learnt::Refused { again: true }, Some(ReasonCode::PaymentFailed), None)),
        ("an error state", ok(in_state("ERROR_OCCURRED")), not_sent),
        ("nobody there", error("3204"), (Learnt::Refused { again: false }, Some(ReasonCode::PayeeFaInvalid), None)),
        ("a refused quote", error("5103"), (Learnt::Refused { again: false }, Some(ReasonCode::PaymentFailed), None)),
        (
            "no funds",
            error("4001"),
            (Learnt::Refused { again: true }, Some(ReasonCode::PaymentFailed), Some(Hold::NoFunds)),
        ),
        (
            "an invalid request",
            ResponseTemplate::new(400).set_body_json(json!({"message": ".body.to.idValue …", "statusCode": 400})),
            (Learnt::Refused { again: false }, Some(ReasonCode::PaymentFailed), None),
        ),
        ("no entry", html(403), (Learnt::NotSent, None, Some(Hold::CredentialsRefused))),
        ("another place", html(404), (Learnt::NotSent, None, Some(Hold::NotPermitted))),
        (
            "another currency",
            ok(in_state("WAITING_FOR_CONVERSION_ACCEPTANCE")),
            (Learnt::Refused { again: false }, Some(ReasonCode::CurrencyCodeInvalid), None),
        ),
    ];
    for (name, answer, expected) in table {
        let reply = prepare(&play, answer).await;
        assert_eq!((reply.learnt, reply.reason, reply.hold), expected, "{name}: {}", reply.message);
    }
}

#[tokio::test]
async fn an_adapter_that_waits_for_the_party_is_set_up_wrongly() {
    let play = Play::new().await;
    let reply = prepare(&play, ok(in_state("WAITING_FOR_PARTY_ACCEPTANCE"))).await;
    assert_eq!((reply.learnt, reply.hold), (Learnt::Refused { again: true }, Some(Hold::NotPermitted)));
}

#[tokio::test]
async fn the_transfer_is_known_also_from_an_answer_that_it_took_too_long() {
    let play = Play::new().await;
    assert_eq!(
        prepare(&play, own_error(504, "Timeout requesting quote for transfer X")).await.handle.as_deref(),
        Some(ID)
    );
}

#[tokio::test]
async fn i2_the_quote_of_another_order_is_no_leave_to_pay() {
    let play = Play::new().await;
    let mut answer = quote("1000.5", "0");
    answer["homeTransactionId"] = json!("00000040001P");
    let reply = prepare(&play, ok(answer)).await;
    assert_eq!((reply.learnt, reply.handle), (Learnt::NotSent, None));
}

#[tokio::test]
async fn a_quote_that_cannot_be_named_later_is_no_leave_to_pay() {
    let play = Play::new().await;
    for id in [Value::Null, json!("../../admin")] {
        let mut answer = quote("1000.5", "0");
        answer["transferId"] = id;
        let reply = prepare(&play, ok(answer)).await;
        assert_eq!((reply.learnt, reply.handle), (Learnt::Refused { again: true }, None));
    }
}

#[tokio::test]
async fn an_address_that_no_rule_knows_is_refused_before_any_call() {
    let play = Play::new().await;
    let mut order = order();
    order.to = FinancialAddress::parse("cowrie-shells:12").expect("an address");
    assert_eq!(play.rail.check(&order.to, order.amount).expect_err("unknown").reason, ReasonCode::PayeeFaInvalid);
    let reply = play.rail.prepare(&order).await;
    assert_eq!((reply.learnt, reply.reason), (Learnt::Refused { again: false }, Some(ReasonCode::PayeeFaInvalid)));
    assert!(play.asked().await.is_empty());
}

#[tokio::test]
async fn a_busy_gateway_is_left_alone_for_as_long_as_it_says_and_no_longer_than_the_limit() {
    let play = Play::new().await;
    let table = [(429, Some("7"), Some(7)), (429, None, Some(1)), (503, Some("86400"), Some(60)), (503, None, None)];
    for (status, header, seconds) in table {
        let answer = header.map_or(html(status), |value| html(status).insert_header("Retry-After", value));
        let reply = prepare(&play, answer).await;
        assert_eq!((reply.learnt, reply.slow_down), (Learnt::NotSent, seconds.map(Duration::from_secs)), "{status}");
    }
}

#[tokio::test]
async fn a_quote_that_takes_longer_than_the_deadline_is_given_up() {
    let play = Play::new().await;
    play.answers("POST", ok(quote("1000.5", "0")).set_delay(Duration::from_secs(30))).await;
    let reply = rail(&play.adapter.uri(), Duration::from_millis(300)).prepare(&order()).await;
    assert_eq!(reply.learnt, Learnt::NotSent);
}
