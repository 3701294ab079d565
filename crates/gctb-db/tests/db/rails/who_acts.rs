//! Who may act for a payment, what is believed of whom, and what follows.

use gctb_db::{ControlState, Holder, Word};
use gctb_domain::Seq;
use gctb_domain::paying::Learnt;

use super::{ASKABLE, BLIND, LONG, NONE, about, claim, forgotten, process, quietly, take_up, taken, tell, word};
use crate::world::{Item, count, ledger, stored, told};

#[test]
fn a_window_is_claimed_paid_and_recorded_and_nothing_is_left_to_do() {
    let Some(database) = gctb_testkit::database("a_window_is_claimed_paid") else { return };
    let (db, me) = (database.db(), process(LONG));
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let claimed = claim(db, &me, &batch, 3);
    assert_eq!(claimed.claimed, [[Seq(0), Seq(1), Seq(2)]]);
    assert_eq!(ledger(&database, &batch), ["0:3:1:mpesa", "1:3:1:mpesa", "2:3:1:mpesa"]);
    let recorded = tell(db, &me, &batch, (0..3).map(|seq| word(seq, Learnt::Paid)).collect(), claimed.windows[0]);
    assert_eq!((recorded.recorded, told(&recorded.outbox).len()), (3, 3), "told in the commit that records it");
    assert_eq!(ledger(&database, &batch), ["0:7:2:mpesa", "1:7:2:mpesa", "2:7:2:mpesa"]);
    assert_eq!(count(&database, "ledger_work"), "0");
}

#[test]
fn i2_what_one_replica_claimed_no_other_may_send_however_often_the_message_comes() {
    let Some(database) = gctb_testkit::database("i2_what_one_replica_claimed") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    assert_eq!(claim(db, &process(LONG), &batch, 2).claimed, [[Seq(0), Seq(1)]]);
    let again = claim(db, &process(LONG), &batch, 2);
    assert_eq!((again.claimed, again.already_known), (vec![Vec::new()], 2));
    assert_eq!(told(&again.outbox).len(), 2, "the rows are told again as they stand");
}

#[test]
fn i2_a_successor_waits_for_the_end_of_the_lease_and_then_asks_and_never_sends() {
    let Some(database) = gctb_testkit::database("i2_a_successor_waits") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    let (gone, successor) = (process(LONG), process(LONG));
    claim(db, &gone, &batch, 1);
    db.execute_sql("UPDATE ledger_work SET due_at = now()").expect("somebody looks too early");
    assert_eq!(taken(&take_up(db, &successor).expect("it is due")), Vec::<String>::new(), "the lease runs");
    assert_eq!(forgotten(&database), Vec::<String>::new());
    db.execute_sql("UPDATE ledger_work SET due_at = now(); UPDATE payment_ledger SET quiet_at = now()").expect("time");
    assert_eq!(taken(&take_up(db, &successor).expect("it is due")), ["0:1:Ask:true"]);
    assert_eq!(ledger(&database, &batch), ["0:5:3:mpesa"], "its sender is gone, and nobody knows");
}

#[test]
fn i2_i3_a_former_owner_is_believed_that_it_paid_and_nothing_else() {
    let Some(database) = gctb_testkit::database("i2_i3_a_former_owner") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let (frozen, successor) = (process(NONE), process(LONG));
    let window = claim(db, &frozen, &batch, 2).windows[0];
    let taken_up = take_up(db, &successor).expect("its lease is over");
    assert_eq!(taken_up.attempts.len(), 2);
    let late = vec![word(0, Learnt::Refused { again: true }), word(1, Learnt::Paid)];
    tell(db, &frozen, &batch, late, window);
    assert_eq!(ledger(&database, &batch), ["0:5:3:mpesa", "1:7:3:mpesa"], "evidence; and money that moved");
    assert_eq!(
        database.value("SELECT concat_ws(' ', evidence_kind, evidence) AS value FROM payment_ledger WHERE seq = 0"),
        "6 in the rail's words"
    );
    assert_eq!(
        database.value(&format!("SELECT count(*)::text AS value FROM ledger_work WHERE work_id = '{}'", taken_up.work)),
        "1",
        "who was frozen cannot end the window of its successor"
    );
}

#[test]
fn i3_no_answer_is_unknown_and_asked_about_or_a_persons_where_the_rail_cannot_be_asked() {
    let Some(database) = gctb_testkit::database("i3_no_answer_is_unknown") else { return };
    let db = database.db();
    for (kind, left) in [(ASKABLE, "2"), (BLIND, "5")] {
        let me = Holder { kind, ..process(LONG) };
        let batch = stored(db, &[Item::Accepted(100)]);
        let windows = claim(db, &me, &batch, 1).windows[0];
        tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], windows);
        assert_eq!(ledger(&database, &batch), ["0:5:2:mpesa"]);
        let kinds = format!("SELECT kind::text AS value FROM ledger_work WHERE batch_id = '{}'", batch.id);
        assert_eq!(database.values(&kinds), [left]);
    }
}

#[test]
fn i2_i3_what_the_rail_does_not_know_is_sent_again_only_when_quiet_under_its_key_and_counted_first() {
    let Some(database) = gctb_testkit::database("i2_i3_what_the_rail_does_not_know") else { return };
    let db = database.db();
    let (gone, me) = (process(NONE), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &gone, &batch, 1);
    let asked = take_up(db, &me).expect("due");
    tell(db, &me, &batch, vec![word(0, Learnt::NotFound)], Some(asked.work));
    let asked = take_up(db, &me).expect("asked again");
    assert_eq!(taken(&asked), ["0:1:Ask:true"], "not found, not in quiet: no proof");
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], Some(asked.work));
    let sent = take_up(db, &me).expect("sent again");
    assert_eq!(taken(&sent), ["0:1:Send:false"], "the same attempt, the same key");
    assert_eq!(database.value("SELECT concat_ws(',', sends, not_found) AS value FROM payment_ledger"), "2,1");
}

#[test]
fn a_refusal_leads_to_further_attempts_under_keys_of_their_own_until_there_are_enough() {
    let Some(database) = gctb_testkit::database("a_refusal_leads_to_further_attempts") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let mut windows = claim(db, &me, &batch, 1).windows[0];
    for attempt in 1..=3 {
        let refused = about(attempt, word(0, Learnt::Refused { again: true }));
        tell(db, &me, &batch, vec![refused], windows);
        let Some(next) = take_up(db, &me) else { break };
        assert_eq!(taken(&next), [format!("0:{}:Send:false", attempt + 1)]);
        windows = Some(next.work);
    }
    assert_eq!(ledger(&database, &batch), ["0:8:6:mpesa"], "closed");
    assert_eq!(count(&database, "ledger_work"), "0");
    let past = database.value("SELECT past_attempts AS value FROM payment_ledger");
    assert_eq!(past, "1\t-\t-\tin the rail's words\n2\t-\t-\tin the rail's words");
}

#[test]
fn i2_news_that_an_earlier_attempt_was_paid_are_believed_and_a_conflict() {
    let Some(database) = gctb_testkit::database("i2_news_that_an_earlier_attempt") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let windows = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Refused { again: true })], windows);
    take_up(db, &me).expect("a second attempt");
    let late = tell(db, &me, &batch, vec![word(0, Learnt::Paid)], None);
    assert_eq!((late.conflicts, ledger(&database, &batch)), (1, vec!["0:7:4:mpesa".to_owned()]));
    let twice = tell(
        db,
        &me,
        &batch,
        vec![about(2, Word { rail_reference: Some("other".to_owned()), ..word(0, Learnt::Paid) })],
        None,
    );
    assert_eq!(twice.conflicts, 1, "and so is the payment of the attempt that followed");
}

#[test]
fn what_never_left_is_sent_later_under_its_key_and_cancelled_with_its_batch() {
    let Some(database) = gctb_testkit::database("what_never_left_is_sent_later") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let windows = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], windows);
    let sent = take_up(db, &me).expect("due");
    assert_eq!(taken(&sent), ["0:1:Send:false"]);
    assert_eq!(database.value("SELECT sends::text AS value FROM payment_ledger"), "1", "uncounted, then counted");
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], Some(sent.work));
    db.set_control(batch.id, ControlState::Held).expect("held");
    assert_eq!(taken(&take_up(db, &me).expect("due")), Vec::<String>::new());
    assert_eq!(forgotten(&database), Vec::<String>::new(), "it waits for the release");
    db.set_control(batch.id, ControlState::Cancelled).expect("cancelled");
    let outcome = take_up(db, &me).expect("due");
    assert_eq!((outcome.attempts.len(), told(&outcome.outbox).len()), (0, 1));
    assert!(ledger(&database, &batch)[0].starts_with("0:2:"), "{:?}", ledger(&database, &batch));
}

#[test]
fn i2_what_may_have_been_paid_is_not_sent_again_after_a_cancel() {
    let Some(database) = gctb_testkit::database("i2_what_may_have_been_paid") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let windows = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], windows);
    db.set_control(batch.id, ControlState::Cancelled).expect("cancelled");
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Ask:true"]);
}

#[test]
fn i2_i3_what_was_learnt_before_a_later_send_does_not_decide_about_that_one() {
    let Some(database) = gctb_testkit::database("i2_i3_what_was_learnt_before_a_later_send") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    let asked = take_up(db, &me).expect("asked");
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], Some(asked.work));
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Send:false"]);
    // A callback that answers a question from before the second send.
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::Refused { again: true }))], None);
    assert_eq!(
        database.value("SELECT concat_ws(',', state, sends) AS value FROM payment_ledger"),
        "5,2",
        "evidence alone"
    );
}
