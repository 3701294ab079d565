//! What comes together is committed together; one that Postgres never takes stops only itself; queues have an end.

use std::time::Duration;

use futures_util::future::join_all;
use gctb_domain::LedgerState;
use gctb_testkit::eventually;

use super::stage::{Stage, code, counted};
use crate::daraja::Route;

#[tokio::test]
async fn callbacks_that_come_together_are_one_commit() {
    let Some(stage) = Stage::start_with("callbacks_that_come_together", 20, |settings| {
        settings.daraja.listener.group_max = 20;
        settings.daraja.listener.group_wait = Duration::from_secs(20);
    }) else {
        return;
    };
    let bodies: Vec<_> = (0..20).map(|seq| stage.paid(seq)).collect();
    let statuses = join_all(bodies.iter().map(|body| stage.result(body))).await;
    assert!(statuses.iter().all(|status| *status == 200));
    let commits = stage.database.value("SELECT count(DISTINCT xmin::text)::text AS value FROM payment_ledger");
    assert_eq!(commits, "1", "and it did not wait any longer once the group was full");
    assert_eq!(*stage.published.lock().expect("nobody panics"), 1, "one status chunk for all");
}

#[tokio::test]
async fn i5_a_callback_that_comes_twice_in_one_commit_is_recorded_once() {
    let Some(stage) = Stage::start_with("i5_a_callback_that_comes_twice_in_one_commit", 1, |settings| {
        settings.daraja.listener.group_max = 3;
        settings.daraja.listener.group_wait = Duration::from_secs(20);
    }) else {
        return;
    };
    let body = stage.paid(0);
    assert_eq!(join_all([0; 3].map(|_| stage.result(&body))).await, [200; 3]);
    assert_eq!(stage.ledger(), [format!("{}:2:R0", code(LedgerState::Paid))]);
    assert_eq!((stage.count("ledger_conflicts").as_str(), stage.kept().len()), ("0", 0));
}

#[tokio::test]
async fn i7_one_that_postgres_never_takes_is_kept_and_stops_only_itself() {
    let Some(stage) = Stage::start_with("i7_one_that_postgres_never_takes", 9, |settings| {
        settings.daraja.listener.group_max = 9;
        settings.daraja.listener.group_wait = Duration::from_secs(20);
    }) else {
        return;
    };
    stage.sql("ALTER TABLE payment_ledger ADD CONSTRAINT of_this_story CHECK (rail_reference <> 'R5')");
    let bodies: Vec<_> = (0..9).map(|seq| stage.paid(seq)).collect();
    let statuses = join_all(bodies.iter().map(|body| stage.result(body))).await;
    let expected = |seq| if seq == 5 { 400 } else { 200 };
    assert_eq!(statuses, (0..9).map(expected).collect::<Vec<_>>());
    let state = |seq| code(if seq == 5 { LedgerState::Claimed } else { LedgerState::Paid });
    assert_eq!(stage.states(), (0..9).map(state).collect::<Vec<_>>());
    assert_eq!(stage.kept(), ["refused_by_postgres:5"]);
    assert!(stage.health.ready().ok, "nothing is wrong with the others");
}

#[tokio::test]
async fn i10_more_callbacks_than_the_queue_holds_are_turned_away() {
    let Some(stage) = Stage::start_with("i10_more_callbacks_than_the_queue_holds", 4, |settings| {
        settings.daraja.listener.queue_max = 1;
        settings.daraja.listener.group_max = 1;
    }) else {
        return;
    };
    stage.sql("CREATE TABLE go_on (go_on int)");
    let db = stage.database.db().clone();
    // Holds every commit back until this story lets it go on.
    let blocker = std::thread::spawn(move || {
        db.execute_sql(
            "DO $$ BEGIN LOCK TABLE payment_ledger; LOOP EXIT WHEN EXISTS (SELECT FROM go_on); PERFORM pg_sleep(0.01);
             END LOOP; END $$",
        )
    });
    eventually("the lock", || {
        let held = "SELECT count(*)::text AS value FROM pg_locks WHERE relation = 'payment_ledger'::regclass AND mode = 'AccessExclusiveLock' AND granted";
        (stage.database.value(held) == "1").then_some(())
    });
    // One is being committed, one waits for it; whoever comes then is turned away, and told so at once.
    let (before, bodies) = (counted("gctb_callbacks_total{outcome=\"busy\""), [0, 1, 2, 3].map(|seq| stage.paid(seq)));
    let waits_for_the_lock = || {
        let waits =
            "SELECT count(*)::text AS value FROM pg_locks WHERE relation = 'payment_ledger'::regclass AND NOT granted";
        stage.database.value(waits) != "0"
    };
    let [first, later @ ..] = bodies.each_ref().map(|body| stage.result(body));
    let later = async {
        while !waits_for_the_lock() {
            tokio::task::yield_now().await;
        }
        join_all(later).await
    };
    let let_go = async {
        while counted("gctb_callbacks_total{outcome=\"busy\"") < before + 2 {
            tokio::task::yield_now().await;
        }
        stage.sql("INSERT INTO go_on VALUES (1)");
    };
    let (first, mut statuses, ()) = tokio::join!(first, later, let_go);
    statuses.push(first);
    blocker.join().expect("it ends").expect("it let go");
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503]);
    let paid = stage.states().iter().filter(|state| **state == code(LedgerState::Paid)).count();
    assert_eq!(paid, 2, "those that were told so, and no others");
    for body in &bodies {
        assert_eq!(stage.result(body).await, 200, "they may come again");
    }
    assert_eq!(stage.states(), vec![code(LedgerState::Paid); 4]);
}

#[tokio::test]
async fn i10_a_callback_whose_commit_takes_too_long_is_not_acknowledged() {
    let Some(stage) = Stage::start_with("i10_a_callback_whose_commit_takes_too_long", 1, |settings| {
        settings.daraja.listener.answer_timeout = Duration::from_millis(50);
        settings.daraja.listener.group_wait = Duration::from_millis(500);
    }) else {
        return;
    };
    assert_eq!(stage.post(Route::PaymentResult, stage.paid(0).to_string()).await.0, 503);
    eventually("its commit", || (stage.states() == [code(LedgerState::Paid)]).then_some(()));
}
