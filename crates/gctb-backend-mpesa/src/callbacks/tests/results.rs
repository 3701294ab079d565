//! Callbacks that are believed: recorded before they are answered, in any order, any number of times.

use gctb_backend::Hold;
use gctb_domain::LedgerState;
use gctb_domain::paying::Learnt;

use super::stage::{Stage, code, counted};
use crate::daraja::Route;

#[tokio::test]
async fn the_end_of_a_payment_is_committed_before_it_is_answered_and_handed_over_to_be_published() {
    let Some(stage) = Stage::start("the_end_of_a_payment", 2) else { return };
    let before = counted("gctb_callbacks_total{outcome=\"recorded\"");
    let (status, body) = stage.post(Route::PaymentResult, stage.paid(0).to_string()).await;
    assert_eq!((status, body.as_str()), (200, r#"{"ResultCode":0,"ResultDesc":"Accepted"}"#));
    assert_eq!(
        stage.ledger(),
        [format!("{}:2:R0", code(LedgerState::Paid)), format!("{}:1:-", code(LedgerState::Claimed))]
    );
    assert_eq!(*stage.published.lock().expect("nobody panics"), 1, "one status chunk");
    assert!(counted("gctb_callbacks_total{outcome=\"recorded\"") > before);
    assert!(stage.kept().is_empty());
    assert_eq!(stage.result(&stage.failed(1, 2040)).await, 200);
    assert_eq!(stage.states(), [code(LedgerState::Paid), code(LedgerState::Failed)]);
}

#[tokio::test]
async fn i5_the_same_callback_again_is_answered_and_changes_nothing() {
    let Some(stage) = Stage::start("i5_the_same_callback_again", 2) else { return };
    for seq in [0, 1] {
        assert_eq!(stage.result(&if seq == 0 { stage.paid(0) } else { stage.failed(1, 2040) }).await, 200);
    }
    let (ledger, outbox) = (stage.ledger(), stage.count("outbox"));
    for _ in 0..3 {
        assert_eq!(stage.result(&stage.paid(0)).await, 200);
        assert_eq!(stage.result(&stage.failed(1, 2040)).await, 200);
        assert_eq!(stage.post(Route::PaymentTimeout, stage.failed(0, 1037).to_string()).await.0, 200);
    }
    assert_eq!((stage.ledger(), stage.count("outbox")), (ledger, outbox));
    assert_eq!((stage.count("ledger_conflicts").as_str(), stage.kept().len()), ("0", 0));
}

#[tokio::test]
async fn i5_a_callback_before_the_acknowledgement_of_its_own_payment_is_the_end_of_it() {
    let Some(stage) = Stage::start("i5_a_callback_before_the_acknowledgement", 1) else { return };
    assert_eq!(stage.result(&stage.paid(0)).await, 200);
    stage.lane_heard(0, Learnt::Accepted);
    stage.lane_heard(0, Learnt::Nothing);
    assert_eq!(stage.ledger(), [format!("{}:2:R0", code(LedgerState::Paid))]);
    assert_eq!(stage.count("ledger_conflicts"), "0");
}

#[tokio::test]
async fn i5_callbacks_about_a_payment_end_alike_in_any_order() {
    let Some(stage) = Stage::start("i5_callbacks_about_a_payment", 3) else { return };
    // The time-out in the queue and the result: either may come first, and the acknowledgement last.
    stage.lane_heard(0, Learnt::Accepted);
    stage.post(Route::PaymentTimeout, stage.failed(0, 1037).to_string()).await;
    stage.result(&stage.paid(0)).await;
    stage.result(&stage.paid(1)).await;
    stage.post(Route::PaymentTimeout, stage.failed(1, 1037).to_string()).await;
    stage.lane_heard(1, Learnt::Accepted);
    stage.post(Route::PaymentTimeout, stage.failed(2, 1037).to_string()).await;
    stage.lane_heard(2, Learnt::Accepted);
    stage.result(&stage.paid(2)).await;
    assert_eq!(stage.states(), vec![code(LedgerState::Paid); 3]);
}

#[tokio::test]
async fn i3_a_refusal_after_the_payment_is_a_conflict_and_the_payment_stands() {
    let Some(stage) = Stage::start("i3_a_refusal_after_the_payment", 1) else { return };
    assert_eq!(stage.result(&stage.paid(0)).await, 200);
    assert_eq!(stage.result(&stage.failed(0, 2040)).await, 200);
    assert_eq!(stage.states(), [code(LedgerState::Paid)]);
    assert_eq!(stage.count("ledger_conflicts"), "1");
}

#[tokio::test]
async fn i3_an_answer_decides_only_if_it_was_asked_for_in_quiet_after_the_last_send() {
    let Some(stage) = Stage::start("i3_an_answer_decides_only_if", 3) else { return };
    stage.sql(&format!(
        "UPDATE payment_ledger SET state = {}, sends = 2, quiet_at = now() - interval '1 second'",
        code(LedgerState::Unknown)
    ));
    for (seq, sends, quiet) in [(0, 2, true), (1, 1, true), (2, 2, false)] {
        let (route, body) = stage.declined(seq, sends, quiet);
        assert_eq!(stage.post(route, body.to_string()).await.0, 200);
    }
    let (not_paid, unknown) = (code(LedgerState::NotPaid), code(LedgerState::Unknown));
    assert_eq!(
        stage.states(),
        [not_paid, unknown.clone(), unknown],
        "asked before the last send, or not in quiet: evidence"
    );
}

#[tokio::test]
async fn a_result_that_would_meet_every_payment_is_told_of_after_its_commit() {
    let Some(stage) = Stage::start("a_result_that_would_meet_every_payment", 2) else { return };
    assert_eq!(stage.result(&stage.failed(0, 1)).await, 200);
    assert_eq!(stage.result(&stage.failed(1, 2001)).await, 200);
    assert_eq!(*stage.holds.lock().expect("nobody panics"), [Hold::NoFunds, Hold::CredentialsRefused]);
}
