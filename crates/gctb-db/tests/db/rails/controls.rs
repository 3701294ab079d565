//! Whether a rail may be used: who may stop it, who may open it, and that a stop does not wait for ever.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use gctb_db::{RailGate, RailOrder, RailOrdered, RailState, Word};
use gctb_domain::Seq;
use gctb_domain::paying::Learnt;

use super::{LONG, NONE, by_hand, claim, claims_of, process, take_up, taken, tell, word};
use crate::world::{Item, claim_of, count, stored};

#[test]
fn i8_a_paused_rail_claims_nothing_and_still_records_and_asks() {
    let Some(database) = gctb_testkit::database("i8_a_paused_rail") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100); 3]);
    db.introduce_rail(&me.backend).expect("introduced");
    let windows = claim(db, &me, &batch, 2).windows[0];
    db.order_rail(&me.backend, RailOrder::Pause, &by_hand(false)).expect("paused");
    assert!(!db.hold_rail(&me.backend, "no funds", None).expect("Postgres is there"), "a hold is weaker");
    let control = db.rail_control(&me.backend).expect("Postgres is there").expect("a row");
    assert_eq!((control.state, control.reason.as_str()), (RailState::Paused, "ticket 4711"), "a person's pause stands");
    let refused = claim(db, &me, &batch, 3);
    assert!(refused.rail == RailGate::Stopped && refused.claimed == [Vec::new()]);
    let words = vec![word(0, Learnt::Paid), word(1, Learnt::NotSent)];
    assert_eq!(tell(db, &me, &batch, words, windows).recorded, 2);
    assert!(take_up(db, &me).is_none(), "nothing is sent");
    db.order_rail(&me.backend, RailOrder::Resume, &by_hand(false)).expect("open");
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["1:1:Send:false"]);
    assert_eq!(claim(db, &me, &batch, 3).claimed, [[Seq(2)]]);
}

#[test]
fn i8_a_process_weakens_neither_a_pause_nor_a_hold_that_lasts_longer() {
    let Some(database) = gctb_testkit::database("i8_a_process_weakens_neither") else { return };
    let (db, rail) = (database.db(), process(NONE).backend);
    db.introduce_rail(&rail).expect("introduced");
    let hold = |reason: &str, after: Option<Duration>| db.hold_rail(&rail, reason, after).expect("Postgres is there");
    let release = || db.release_rail(&rail).expect("Postgres is there");
    let gate = || db.rail_gate(&rail).expect("Postgres is there");
    assert!(!release(), "it is open");
    assert!(hold("busy", Some(LONG)));
    assert!(!hold("busy", Some(NONE)), "a shorter one");
    assert!(!release(), "its time is not over");
    assert!(hold("no funds", None), "without an end");
    assert!(!hold("busy", Some(LONG)) && !release(), "a person opens it");
    assert_eq!(gate(), RailGate::Stopped);
    db.order_rail(&rail, RailOrder::Resume, &by_hand(false)).expect("resumed");
    assert!(hold("busy", Some(NONE)));
    assert_eq!(gate(), RailGate::Probe);
    assert!(release());
    assert_eq!(gate(), RailGate::Open);
    assert!(hold("busy", Some(NONE)));
    db.order_rail(&rail, RailOrder::Pause, &by_hand(false)).expect("paused");
    assert!(!release() && gate() == RailGate::Stopped, "a good probe that comes late opens no pause");
}

#[test]
fn who_claims_from_a_hold_whose_time_is_over_knows_that_it_is_a_probe() {
    let Some(database) = gctb_testkit::database("who_claims_from_a_hold") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100); 2]);
    assert!(db.hold_rail(&me.backend, "no funds", Some(LONG)).expect("held"), "also a rail that nobody introduced");
    assert_eq!(claim(db, &me, &batch, 1).rail, RailGate::Stopped);
    db.execute_sql("UPDATE rail_controls SET resume_at = now()").expect("time passes");
    let probe = claim(db, &me, &batch, 1);
    assert_eq!((probe.rail, probe.claimed), (RailGate::Probe, vec![vec![Seq(0)]]));
    let later = Word { send_after: NONE, ..word(0, Learnt::NotSent) };
    tell(db, &me, &batch, vec![later], probe.windows[0]);
    assert_eq!(take_up(db, &me).expect("due").rail, RailGate::Probe);
    assert!(db.release_rail(&me.backend).expect("Postgres is there"));
    assert_eq!(claim(db, &me, &batch, 2).rail, RailGate::Open);
}

#[test]
fn a_person_pauses_resumes_and_probes_on_the_record_and_can_ask_what_would_become_of_it() {
    let Some(database) = gctb_testkit::database("a_person_pauses_resumes_and_probes") else { return };
    let (db, rail) = (database.db(), process(NONE).backend);
    let order =
        |what: RailOrder, dry_run: bool| db.order_rail(&rail, what, &by_hand(dry_run)).expect("Postgres is there");
    let state = || db.rail_control(&rail).expect("Postgres is there").map(|control| control.state);
    assert_eq!(order(RailOrder::Pause, false), RailOrdered::NeverIntroduced);
    db.introduce_rail(&rail).expect("introduced");
    assert!(
        matches!(order(RailOrder::Probe, false), RailOrdered::Refused(control) if control.state == RailState::Open)
    );
    assert!(matches!(order(RailOrder::Pause, true), RailOrdered::Done { before } if before.state == RailState::Open));
    assert_eq!((state(), count(&database, "operator_actions").as_str()), (Some(RailState::Open), "0"), "a dry run");
    assert!(matches!(order(RailOrder::Pause, false), RailOrdered::Done { .. }));
    assert!(
        matches!(order(RailOrder::Probe, false), RailOrdered::Refused(control) if control.state == RailState::Paused)
    );
    assert!(
        matches!(order(RailOrder::Resume, false), RailOrdered::Done { before } if before.state == RailState::Paused)
    );
    assert!(db.hold_rail(&rail, "no funds", None).expect("held"));
    assert!(matches!(order(RailOrder::Probe, false), RailOrdered::Done { before } if before.resume_at.is_none()));
    let held = db.rail_control(&rail).expect("Postgres is there").expect("a row");
    assert_eq!((held.state, held.reason.as_str()), (RailState::Held, "no funds"), "until the probe has gone well");
    assert_eq!(db.rail_gate(&rail).expect("Postgres is there"), RailGate::Probe);
    let actions = database
        .values("SELECT concat_ws(' ', actor, action, target, evidence) AS value FROM operator_actions ORDER BY 1");
    let recorded = |verb: &str| format!("clerk rail {verb} mpesa ticket 4711");
    assert_eq!(actions, [recorded("pause"), recorded("probe"), recorded("resume")]);
}

#[test]
fn a_person_who_pauses_a_rail_waits_for_a_claim_that_is_frozen_until_postgres_ends_it() {
    let Some(database) = gctb_testkit::database("a_person_who_pauses_a_rail_waits") else { return };
    let (db, rail) = (database.db(), process(NONE).backend);
    db.introduce_rail(&rail).expect("introduced");
    let mut frozen = PgConnection::establish(database.url()).expect("Postgres is there");
    // Longer than a stopper waits at a time.
    let claim = "SET idle_in_transaction_session_timeout = '5s'; BEGIN; SELECT 1 FROM rail_controls FOR SHARE;
                 SELECT pg_advisory_xact_lock_shared(x'7261696c'::int, hashtext('mpesa'))";
    frozen.batch_execute(claim).expect("it has claimed");
    let began = Instant::now();
    db.order_rail(&rail, RailOrder::Pause, &by_hand(false)).expect("paused");
    assert!(began.elapsed() > Duration::from_secs(3), "the claim may still have been committed");
    assert_eq!(db.rail_gate(&rail).expect("Postgres is there"), RailGate::Stopped);
    assert!(frozen.batch_execute("COMMIT").is_err(), "the frozen claim is none");
}

#[test]
fn i10_a_pause_is_done_within_a_second_while_claims_overlap_without_end() {
    let Some(database) = gctb_testkit::database("i10_a_pause_is_done_within_a_second") else { return };
    let db = database.db();
    let me = process(LONG);
    db.introduce_rail(&me.backend).expect("introduced");
    let (threads, each) = (6, 2_000_i32);
    let batches: Vec<_> = (0..threads).map(|_| stored(db, &vec![Item::Accepted(100); 2_000])).collect();
    let (stop, claimed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let waited = std::thread::scope(|scope| {
        for batch in &batches {
            let (me, stop, claimed) = (me.clone(), &stop, &claimed);
            scope.spawn(move || {
                for seq in (0..each).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let turned = db.turn(&me, &claims_of(batch, vec![claim_of(seq, 100)])).expect("no deadlock");
                    claimed.fetch_add(turned.claimed[0].len(), Ordering::Relaxed);
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while claimed.load(Ordering::Relaxed) < 100 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let began = Instant::now();
        let paused = db.order_rail(&me.backend, RailOrder::Pause, &by_hand(false));
        let waited = began.elapsed();
        let rows = count(&database, "payment_ledger");
        std::iter::repeat_with(|| count(&database, "payment_ledger"))
            .take(20)
            .for_each(|later| assert_eq!(later, rows, "who has paused a rail sees no claim after it"));
        stop.store(true, Ordering::Relaxed);
        paused.expect("paused");
        waited
    });
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}
