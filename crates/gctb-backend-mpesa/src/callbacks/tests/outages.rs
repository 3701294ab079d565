//! While nothing can be committed nothing is acknowledged, and everybody can see it.

use std::time::Duration;

use gctb_db::{Db, DbOptions};
use gctb_domain::LedgerState;
use gctb_testkit::eventually;

use super::stage::{Stage, code, defaults};
use crate::daraja::Route;

#[tokio::test]
async fn i8_while_postgres_refuses_commits_nothing_is_acknowledged_and_afterwards_it_is() {
    let Some(stage) = Stage::start_with("i8_while_postgres_refuses_commits", 1, |settings| {
        settings.daraja.listener.retry_pause = Duration::from_millis(20);
    }) else {
        return;
    };
    eventually("the first look at Postgres", || stage.health.ready().ok.then_some(()));
    stage.sql(
        "ALTER TABLE payment_ledger RENAME TO elsewhere; ALTER TABLE rail_exceptions RENAME TO lost;
               ALTER TABLE rail_controls RENAME TO away",
    );
    assert_eq!(stage.result(&stage.paid(0)).await, 503);
    assert_eq!(
        stage.health.ready().failing["callbacks"],
        "callbacks cannot be committed; 503 is answered, and payments are asked about later"
    );
    assert_eq!(stage.post(Route::PaymentResult, "not JSON").await.0, 503, "nor is what could not be kept");
    stage.sql(
        "ALTER TABLE elsewhere RENAME TO payment_ledger; ALTER TABLE lost RENAME TO rail_exceptions;
               ALTER TABLE away RENAME TO rail_controls",
    );
    eventually("the listener to see it by itself", || stage.health.ready().ok.then_some(()));
    assert_eq!(stage.result(&stage.paid(0)).await, 200);
    assert_eq!(stage.states(), [code(LedgerState::Paid)]);
    assert!(stage.kept().is_empty());
}

#[tokio::test]
async fn i8_without_postgres_503_is_answered_and_the_listener_is_not_ready() {
    let nowhere = Db::new(&DbOptions {
        url: "postgres://nobody@127.0.0.1:1/nothing".to_owned().into(),
        pool_size: 1,
        connect_timeout: Duration::from_millis(50),
        statement_timeout: Duration::from_secs(1),
        silence_timeout: Duration::from_secs(1),
        transaction_idle_timeout: Duration::from_secs(1),
        application_name: "gctb-test".to_owned(),
    });
    let (settings, certificate) = defaults("http://127.0.0.1:9");
    let Some(stage) = Stage::start_by("i8_without_postgres", 1, &settings, certificate, Some(nowhere)) else { return };
    assert_eq!(stage.result(&stage.paid(0)).await, 503);
    assert!(!stage.health.ready().ok);
    assert_eq!(stage.states(), [code(LedgerState::Claimed)]);
}

#[tokio::test]
async fn i8_a_connection_that_broke_costs_no_callback() {
    let Some(stage) = Stage::start("i8_a_connection_that_broke", 2) else { return };
    assert_eq!(stage.result(&stage.paid(0)).await, 200);
    let others = "SELECT count(pg_terminate_backend(pid))::text AS value FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    stage.database.value(others);
    assert_eq!(stage.result(&stage.paid(1)).await, 200);
    assert_eq!(stage.states(), vec![code(LedgerState::Paid); 2]);
}
