//! The whole circle with the simulator's Daraja: paid over HTTP, told by its callbacks, believed by its book.

use std::sync::Arc;

use gctb_backend::{Affordable, Order, PaymentBackend};
use gctb_domain::paying::Learnt;
use gctb_domain::{FinancialAddress, LedgerState};
use gctb_runtime::Shutdown;
use gctb_simulator::testing::Played;
use gctb_testkit::eventually;
use serde_json::{Value, json};

use super::stage::{Stage, code, defaults, msisdn};
use crate::settings::MpesaSettings;
use crate::testing::played::introduce;
use crate::testing::{Certificate, kes};

/// Settings of a listener, and of a rail that the simulator knows.
async fn settings(played: &Played, change: impl FnOnce(&mut MpesaSettings)) -> (MpesaSettings, Certificate) {
    let (mut settings, _) = defaults(&played.url());
    let certificate = introduce(played, &mut settings).await;
    change(&mut settings);
    (settings, certificate)
}

fn order(stage: &Stage, seq: i32) -> Order {
    Order {
        key: stage.key(seq),
        handle: None,
        to: FinancialAddress::parse(&format!("tel:+{}", msisdn(seq))).expect("an address"),
        amount: kes("10"),
        payee_name: "Jane Doe".to_owned(),
        narrative: "relief".to_owned(),
        sends: 1,
        quiet: false,
    }
}

/// Waits until the ledger says so of every payment.
fn wait_for(stage: &Stage, expected: &[LedgerState]) {
    let expected: Vec<String> = expected.iter().map(|state| code(*state)).collect();
    eventually("the callbacks to be recorded", || (stage.states() == expected).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i5_payments_are_recorded_once_whatever_daraja_does_with_their_callbacks() {
    let played = Played::start();
    let (settings, certificate) = settings(&played, |_| {}).await;
    let Some(stage) = Stage::start_by("i2_i5_payments_are_recorded_once", 6, &settings, certificate, None) else {
        return;
    };
    let rule = |seq: i32, fault: Value| json!({"rail": "mpesa", "stage": "callback", "match": {"key": format!("gctb-{}", stage.key(seq))}, "fault": fault});
    let rules = json!([
        rule(1, json!("callback_duplicated")),
        rule(2, json!({"callback_delayed": {"ms": 300}})),
        rule(3, json!({"timeout_callback": {"paid": true, "result_after_ms": 100}})),
        rule(4, json!("wrong_types")),
        rule(5, json!("malformed_json")),
    ]);
    played.put("/control/faults", &json!({"rules": rules})).await;
    for seq in 0..6 {
        let reply = stage.rail.pay(&order(&stage, seq)).await;
        assert_eq!(reply.learnt, Learnt::Accepted, "{}", reply.message);
        // Often its callback was first.
        stage.lane_heard(seq, reply.learnt);
    }
    let mut expected = vec![LedgerState::Paid; 6];
    expected[5] = LedgerState::Accepted;
    wait_for(&stage, &expected);
    eventually("the broken callback to be kept", || (stage.kept() == ["malformed:-"]).then_some(()));
    // Its payment is asked about, and the answer comes by callback, too.
    played.put("/control/faults", &json!({})).await;
    let reply = stage.rail.inquire(&order(&stage, 5)).await;
    assert_eq!(reply.learnt, Learnt::Nothing);
    wait_for(&stage, &[LedgerState::Paid; 6]);
    let book = played.get("/rails/mpesa/summary").await;
    assert_eq!((&book["payments"], &book["paid_twice"]), (&json!(6), &json!(0)));
    let receipts = stage.database.values("SELECT rail_reference AS value FROM payment_ledger ORDER BY seq");
    for (seq, receipt) in (0..).zip(&receipts) {
        let paid = played.get(&format!("/rails/mpesa/book/gctb-{}", stage.key(seq))).await;
        assert_eq!(&paid[0]["reference"], receipt, "the ledger has the receipt of the book");
    }
    assert_eq!(stage.count("ledger_conflicts"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_allowed_until_the_balance_is_known_and_then_no_more_than_there_is() {
    let played = Played::start();
    let (settings, certificate) = settings(&played, |settings| settings.daraja.funds_check = true).await;
    played.put("/control/mpesa", &json!({"funds_minor": 5_000})).await;
    let Some(stage) = Stage::start_by("nothing_is_allowed_until", 1, &settings, certificate, None) else { return };
    assert!(!stage.funds.allows(1), "no balance is known");
    let (shutdown, rail) = (Shutdown::new(), Arc::clone(&stage.rail));
    let (funds, health, stop) = (Arc::clone(&stage.funds), stage.health.clone(), shutdown.clone());
    let watch = tokio::spawn(async move { funds.watch(&rail, &health, || true, &stop).await });
    eventually("the balance to be told", || stage.funds.allows(5_000).then_some(()));
    assert!(!stage.funds.allows(5_001));
    assert!((stage.funds.take(3_000), stage.funds.take(3_000)) == (Affordable::Yes, Affordable::No));
    shutdown.request();
    watch.await.expect("it ends with the shutdown");
}

#[tokio::test]
async fn where_funds_are_not_checked_nobody_asks_for_the_balance() {
    let Some(stage) = Stage::start("where_funds_are_not_checked", 1) else { return };
    stage.funds.watch(&stage.rail, &stage.health, || true, &Shutdown::new()).await;
    assert!(stage.funds.allows(i64::MAX));
    assert!(!stage.health.ready().failing.contains_key("funds"));
}
