//! What a person finds out: when it is taken, against what, and that nothing waits for a person in vain.

use gctb_db::{Holder, PersonsWord, Resolved};
use gctb_domain::paying::Learnt;
use gctb_domain::{LedgerState, RailKey, Seq};

use super::{BLIND, LONG, NONE, all_is_quiet, by_hand, claim, forgotten, process, take_up, taken, tell, word};
use crate::world::{Item, count, ledger, stored, told};

#[test]
fn i3_a_persons_word_needs_an_unknown_end_a_quiet_attempt_and_nothing_heard_against_it() {
    let Some(database) = gctb_testkit::database("i3_a_persons_word_needs") else { return };
    let db = database.db();
    let me = Holder { kind: BLIND, ..process(LONG) };
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let windows = claim(db, &me, &batch, 3).windows[0];
    let key = |seq: i32, attempt: i16| RailKey::new(batch.no, Seq(seq), attempt).expect("fits");
    let paid = PersonsWord::Paid { rail_reference: Some("slip-7".to_owned()) };
    let resolve = |key: RailKey, word: &PersonsWord, dry_run: bool| {
        db.resolve_payment(key, word, &by_hand(dry_run), false).expect("Postgres is there")
    };
    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::NotUnknown(LedgerState::Claimed)));
    tell(db, &me, &batch, (0..3).map(|seq| word(seq, Learnt::Nothing)).collect(), windows);
    assert_eq!(db.waiting_payments(10).expect("Postgres is there").len(), 3);
    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::NotQuiet(rest) if rest > NONE));
    db.execute_sql(
        "UPDATE payment_ledger SET quiet_at = now(), evidence = 'it has it', evidence_at = now(), evidence_sends = 1,
             evidence_quiet = false, evidence_kind = CASE seq WHEN 2 THEN 5 END",
    )
    .expect("time passes, and something is heard");
    assert!(matches!(resolve(key(0, 2), &paid, false), Resolved::OtherAttempt(1)));
    assert!(matches!(resolve(key(2, 1), &PersonsWord::NotPaid, false), Resolved::Contradicted(_)));
    assert!(matches!(resolve(key(0, 1), &paid, true), Resolved::Taken(rows) if rows.is_empty()), "a dry run");
    assert_eq!(count(&database, "operator_actions"), "0");

    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::Taken(rows) if told(&rows).len() == 1));
    assert!(matches!(resolve(key(1, 1), &PersonsWord::NotPaid, false), Resolved::Taken(_)));
    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::NotUnknown(LedgerState::Paid)), "said once");
    assert_eq!(ledger(&database, &batch), ["0:7:3:mpesa", "1:6:3:mpesa", "2:5:2:mpesa"]);
    let actions = database
        .values("SELECT concat_ws(' ', actor, action, target, evidence) AS value FROM operator_actions ORDER BY 1");
    let recorded = |word: &str, seq| format!("clerk payments resolve --{word} {} ticket 4711", key(seq, 1));
    assert_eq!(actions, [recorded("not-paid", 1), recorded("paid", 0)]);
    let waiting: Vec<i32> =
        db.waiting_payments(10).expect("Postgres is there").iter().map(|row| row.payment.seq).collect();
    assert_eq!((waiting, forgotten(&database)), (vec![2], Vec::new()));
    assert_eq!(taken(&take_up(db, &me).expect("another attempt")), ["1:2:Send:false"]);
}

#[test]
fn i3_a_persons_word_against_what_was_heard_needs_to_overrule_it_and_never_before_it_is_quiet() {
    let Some(database) = gctb_testkit::database("i3_a_persons_word_against") else { return };
    let db = database.db();
    let (me, other) = (Holder { kind: BLIND, ..process(LONG) }, Holder { kind: BLIND, ..process(LONG) });
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    tell(db, &other, &batch, vec![word(0, Learnt::Refused { again: true })], None);
    db.execute_sql("UPDATE ledger_work SET kind = 5").expect("a person has it");
    let key = RailKey::new(batch.no, Seq(0), 1).expect("fits");
    let paid = PersonsWord::Paid { rail_reference: None };
    let resolve = |overrule| db.resolve_payment(key, &paid, &by_hand(false), overrule).expect("Postgres is there");
    assert!(matches!(resolve(true), Resolved::NotQuiet(_)), "never before it is quiet");
    all_is_quiet(db);
    let Resolved::Contradicted(heard) = resolve(false) else { panic!("it was refused") };
    assert_eq!((heard.learnt, heard.sends, heard.quiet), (Learnt::Refused { again: true }, 1, false));
    assert!(matches!(resolve(true), Resolved::Taken(_)));
    assert!(ledger(&database, &batch)[0].starts_with("0:7:"));
    let action = database.value("SELECT concat_ws(' ', action, evidence) AS value FROM operator_actions");
    assert!(action.starts_with("payments resolve --paid --overrule ticket 4711 (against: refused, heard "), "{action}");
}

#[test]
fn i4_what_is_paid_after_all_waits_for_a_person_no_more() {
    let Some(database) = gctb_testkit::database("i4_what_is_paid_after_all_waits") else { return };
    let db = database.db();
    let me = Holder { kind: BLIND, ..process(NONE) };
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let window = claim(db, &me, &batch, 2).windows[0];
    tell(db, &me, &batch, (0..2).map(|seq| word(seq, Learnt::Nothing)).collect(), window);
    let waiting = || -> Vec<i32> {
        db.waiting_payments(10).expect("Postgres is there").iter().map(|row| row.payment.seq).collect()
    };
    assert_eq!(waiting(), [0, 1]);
    tell(db, &me, &batch, vec![word(0, Learnt::Paid)], None);
    assert_eq!((waiting(), database.value("SELECT seqs::text AS value FROM ledger_work")), (vec![1], "{1}".to_owned()));
    let key = RailKey::new(batch.no, Seq(1), 1).expect("fits");
    let paid = PersonsWord::Paid { rail_reference: None };
    assert!(matches!(db.resolve_payment(key, &paid, &by_hand(false), false), Ok(Resolved::Taken(_))));
    assert_eq!((waiting(), count(&database, "ledger_work").as_str()), (Vec::new(), "0"));
}
