//! Work: each open payment has one row of it, which looks after it, and no payment is ever without.

use gctb_db::{Holder, Todo, Word};
use gctb_domain::BackendName;
use gctb_domain::paying::{Learnt, RailKind};

use super::{
    ASKABLE, BLIND, LONG, NONE, about, all_is_due, claim, forgotten, looked_after, process, quietly, take_up, taken,
    tell, word,
};
use crate::world::{Item, count, kes, stored};

#[test]
fn i2_a_payment_is_handed_out_once_however_many_rows_of_work_name_it() {
    let Some(database) = gctb_testkit::database("i2_a_payment_is_handed_out_once") else { return };
    let (db, me, other) = (database.db(), process(NONE), process(LONG));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    // A callback elsewhere says more than is known, so that it is asked about sooner.
    tell(db, &other, &batch, vec![word(0, Learnt::Accepted)], None);
    assert_eq!(count(&database, "ledger_work"), "2", "the second row means it, the first one no more");
    all_is_due(db);
    let taken_up: Vec<String> = std::iter::from_fn(|| take_up(db, &other)).flat_map(|work| taken(&work)).collect();
    assert_eq!(taken_up, ["0:1:Ask:true"]);
    assert_eq!(
        (looked_after(&database, &batch), count(&database, "ledger_work")),
        (vec!["0:1".to_owned()], "1".to_owned())
    );
}

#[test]
fn i2_a_callback_takes_no_payment_from_a_window_that_somebody_has_in_hand() {
    let Some(database) = gctb_testkit::database("i2_a_callback_takes_no_payment") else { return };
    let (db, me, other) = (database.db(), process(LONG), process(LONG));
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let window = claim(db, &me, &batch, 2).windows[0];
    let refused = vec![word(0, Learnt::Refused { again: true }), word(1, Learnt::Duplicate)];
    tell(db, &other, &batch, refused, None);
    assert_eq!(looked_after(&database, &batch), ["0:1", "1:1"], "its owner's turn looks after it, or its lease's end");
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    assert_eq!(
        (looked_after(&database, &batch), forgotten(&database)),
        (vec!["0:2".to_owned(), "1:2".to_owned()], Vec::new())
    );
}

#[test]
fn i4_who_speaks_last_does_not_undo_what_somebody_else_planned_meanwhile() {
    let Some(database) = gctb_testkit::database("i4_who_speaks_last") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    let asked = take_up(db, &me).expect("asked");
    // The answer comes as a callback, and only then the lane ends the window from which it asked.
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], None);
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], Some(asked.work));
    assert_eq!(looked_after(&database, &batch), ["0:3"], "it is sent again");
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Send:false"]);
}

#[test]
fn i2_a_turn_whose_commit_nobody_heard_of_gives_a_send_back_once() {
    let Some(database) = gctb_testkit::database("i2_a_turn_whose_commit_nobody_heard_of") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], window);
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Send:false"], "another lane of the same process sends it");
    // The first lane did not hear that its commit was done, and tells the same again.
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], window);
    assert_eq!(
        database.value("SELECT concat_ws(',', state, sends) AS value FROM payment_ledger"),
        "3,1",
        "it stays counted"
    );
    assert_eq!(
        database.value("SELECT count(*)::text AS value FROM ledger_work WHERE kind = 3"),
        "0",
        "and goes out once"
    );
    assert_eq!(forgotten(&database), Vec::<String>::new());
}

#[test]
fn i2_work_that_was_decided_long_ago_is_looked_at_again_before_anything_is_sent() {
    let Some(database) = gctb_testkit::database("i2_work_that_was_decided_long_ago") else { return };
    let db = database.db();
    let me = Holder { kind: BLIND, ..process(NONE) };
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    db.execute_sql("UPDATE ledger_work SET kind = 3, due_at = now()").expect("an order to send that is out of date");
    assert_eq!(taken(&take_up(db, &me).expect("due")), Vec::<String>::new());
    assert_eq!(database.values("SELECT kind::text AS value FROM ledger_work"), ["5"], "a person's");
}

#[test]
fn i4_a_window_that_ends_without_a_word_about_a_payment_leaves_it_to_be_asked_about() {
    let Some(database) = gctb_testkit::database("i4_a_window_that_ends_without_a_word") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let window = claim(db, &me, &batch, 3).windows[0];
    let wrong = Word { amount: Some(kes(7)), ..word(1, Learnt::Paid) };
    tell(db, &me, &batch, vec![word(0, Learnt::Paid), wrong], window);
    assert_eq!(forgotten(&database), Vec::<String>::new());
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["1:1:Ask:true", "2:1:Ask:true"]);
}

/// Whatever is learnt, by whomever, in whatever order: an open row always has somebody who will look at it.
#[test]
fn i4_an_open_payment_is_never_forgotten_whatever_is_learnt_about_it() {
    let Some(database) = gctb_testkit::database("i4_an_open_payment_is_never_forgotten") else { return };
    let db = database.db();
    let all = [
        Learnt::Accepted,
        Learnt::Refused { again: true },
        Learnt::Refused { again: false },
        Learnt::NotSent,
        Learnt::NotFound,
        Learnt::Duplicate,
        Learnt::Nothing,
    ];
    let mut dice = 7_u64;
    let mut draw = |many: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap_or(0) % many
    };
    let rails = [("askable", ASKABLE), ("blind", BLIND), ("two-phase", RailKind { two_phase: true, ..ASKABLE })];
    for (name, kind) in rails {
        let backend = BackendName::parse(name).expect("a name");
        let holders = [process(NONE), process(NONE)].map(|holder| Holder { kind, backend: backend.clone(), ..holder });
        let batch = stored(db, &[Item::Accepted(100); 20]);
        let mut windows = claim(db, &holders[0], &batch, 20).windows[0];
        let mut hands: Vec<(i32, i16)> = (0..20).map(|seq| (seq, 1)).collect();
        let mut owner = 0;
        for _ in 0..60 {
            let words: Vec<Word> = hands
                .iter()
                .map(|(seq, attempt)| Word { quiet: draw(2) == 0, ..about(*attempt, word(*seq, all[draw(all.len())])) })
                .collect();
            // Some are told by the one who does not own them.
            let (foreign, own) = words.split_at(draw(words.len() + 1));
            tell(db, &holders[1 - owner], &batch, foreign.to_vec(), None);
            tell(db, &holders[owner], &batch, own.to_vec(), windows.take());
            assert_eq!(forgotten(&database), Vec::<String>::new(), "{kind:?}");
            owner = draw(2);
            hands.clear();
            if let Some(work) = take_up(db, &holders[owner]) {
                hands = work.attempts.iter().map(|due| (due.seq.0, due.attempt)).collect();
                windows = Some(work.work);
                if work.attempts.iter().any(|due| due.todo == Todo::Send) {
                    assert!(kind != BLIND || work.attempts.iter().all(|due| !due.quiet), "a send begins a lease");
                }
            }
        }
    }
}
