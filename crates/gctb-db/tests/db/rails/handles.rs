//! What a two-phase rail calls a payment: noted before it is paid, and known to whoever takes it up.

use gctb_db::{Db, Holder, Word};
use gctb_domain::Seq;
use gctb_domain::paying::{Dedupe, Learnt, RailKind};
use uuid::Uuid;

use super::{LONG, NONE, all_is_due, claim, process, take_up, tell, word};
use crate::world::{Item, stored};

const TWO_PHASE: RailKind = RailKind { dedupes: Dedupe::Never, can_be_asked: true, two_phase: true };

fn note(db: &Db, work: Option<Uuid>, handles: &[(i32, &str)]) -> bool {
    let handles: Vec<(Seq, String)> = handles.iter().map(|(seq, handle)| (Seq(*seq), (*handle).to_owned())).collect();
    db.note_handles(work.expect("a window"), &handles).expect("Postgres is there")
}

#[test]
fn i2_a_successor_asks_by_the_handles_that_were_noted_before_anything_was_paid() {
    let Some(database) = gctb_testkit::database("i2_a_successor_asks_by_the_handles") else { return };
    let db = database.db();
    let (gone, me) = (Holder { kind: TWO_PHASE, ..process(NONE) }, Holder { kind: TWO_PHASE, ..process(NONE) });
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let window = claim(db, &gone, &batch, 3).windows[0];
    assert!(note(db, window, &[(2, "transfer-2")]));
    assert!(note(db, window, &[(0, "transfer-0"), (2, "transfer-two")]), "the later one counts");
    assert!(!note(db, window, &[(1, "transfer-1"), (7, "transfer-7")]), "not of this window");
    let taken_up = take_up(db, &me).expect("its lease is over");
    let handles: Vec<Option<&str>> = taken_up.attempts.iter().map(|due| due.handle.as_deref()).collect();
    assert_eq!(handles, [Some("transfer-0"), None, Some("transfer-two")]);
    assert!(!note(db, window, &[(1, "transfer-1")]), "who was frozen in between pays nothing");
    assert_eq!(
        database.values("SELECT rail_handle AS value FROM payment_ledger WHERE rail_handle IS NOT NULL ORDER BY seq"),
        ["transfer-0", "transfer-two"]
    );
}

#[test]
fn i2_a_window_that_ends_leaves_its_handles_with_its_payments_and_the_rails_own_word_counts_more() {
    let Some(database) = gctb_testkit::database("i2_a_window_that_ends_leaves_its_handles") else { return };
    let db = database.db();
    let me = Holder { kind: TWO_PHASE, ..process(NONE) };
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let window = claim(db, &me, &batch, 3).windows[0];
    assert!(note(db, window, &[(0, "noted-0"), (1, "noted-1"), (2, "noted-2")]));
    let named = Word { handle: Some("said-1".to_owned()), ..word(1, Learnt::Accepted) };
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing), named], window);
    assert_eq!(
        database.values("SELECT rail_handle AS value FROM payment_ledger ORDER BY seq"),
        ["noted-0", "said-1", "noted-2"]
    );
    assert!(!note(db, window, &[(0, "late")]), "it was told");
    all_is_due(db);
    let asked = take_up(db, &me).expect("due");
    assert_eq!(asked.attempts[0].handle.as_deref(), Some("noted-0"));
}

#[test]
fn i2_what_is_prepared_anew_is_asked_about_by_its_new_handle_and_never_by_an_earlier_one() {
    let Some(database) = gctb_testkit::database("i2_what_is_prepared_anew") else { return };
    let db = database.db();
    let (gone, me) = (Holder { kind: TWO_PHASE, ..process(NONE) }, Holder { kind: TWO_PHASE, ..process(NONE) });
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &gone, &batch, 1).windows[0];
    assert!(note(db, window, &[(0, "first")]));
    // Its acceptance could not be sent: it is given back, and keeps the name that the rail gave it.
    let unsent = Word { handle: Some("first".to_owned()), ..word(0, Learnt::NotSent) };
    tell(db, &gone, &batch, vec![unsent], window);
    let again = take_up(db, &gone).expect("it is sent again");
    assert_eq!(again.attempts[0].handle, None, "it is prepared anew");
    assert!(note(db, Some(again.work), &[(0, "second")]));
    // It accepts the second one, which pays, and dies.
    let taken_up = take_up(db, &me).expect("its lease is over");
    assert_eq!(taken_up.attempts[0].handle.as_deref(), Some("second"));
}

#[test]
fn i2_the_handle_of_an_attempt_does_not_become_that_of_the_next() {
    let Some(database) = gctb_testkit::database("i2_the_handle_of_an_attempt") else { return };
    let db = database.db();
    let me = Holder { kind: TWO_PHASE, ..process(LONG) };
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    assert!(note(db, window, &[(0, "first")]));
    // A callback brings the refusal before the lane ends its window.
    tell(db, &me, &batch, vec![word(0, Learnt::Refused { again: true })], None);
    let next = take_up(db, &me).expect("another attempt");
    assert_eq!((next.attempts[0].attempt, next.attempts[0].handle.as_deref()), (2, None));
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    assert_eq!(database.value("SELECT coalesce(rail_handle, 'none') AS value FROM payment_ledger"), "none");
}
