//! Questions: the wait between them doubles, and they end with a person.

use std::time::Duration;

use gctb_db::Holder;
use gctb_domain::paying::Learnt;

use super::{NONE, all_is_due, claim, looked_after, process, quietly, take_up, taken, tell, word};
use crate::world::{Item, ledger, stored};

#[test]
fn i4_i10_a_rail_that_decides_nothing_is_asked_so_often_and_then_a_person_is_whatever_it_says() {
    let Some(database) = gctb_testkit::database("i4_i10_a_rail_that_decides_nothing") else { return };
    let db = database.db();
    for learnt in [Learnt::Nothing, Learnt::Accepted, Learnt::Duplicate] {
        let me = Holder { asks_max: 3, ..process(NONE) };
        let batch = stored(db, &[Item::Accepted(100)]);
        let mut window = claim(db, &me, &batch, 1).windows[0];
        tell(db, &me, &batch, vec![word(0, learnt)], window);
        for _ in 0..3 {
            let asked = take_up(db, &me).expect("due");
            assert_eq!(taken(&asked), ["0:1:Ask:true"]);
            window = Some(asked.work);
            tell(db, &me, &batch, vec![word(0, learnt)], window);
        }
        assert_eq!(taken(&take_up(db, &me).expect("due")), Vec::<String>::new());
        assert!(ledger(&database, &batch)[0].starts_with("0:5:"), "nobody knows, and it did not fail");
        assert_eq!(looked_after(&database, &batch), ["0:5"], "{learnt:?}");
        assert!(take_up(db, &me).is_none());
    }
}

#[test]
fn i10_the_wait_between_two_questions_doubles_up_to_its_limit() {
    let Some(database) = gctb_testkit::database("i10_the_wait_between_two_questions") else { return };
    let db = database.db();
    let seconds = Duration::from_secs;
    let me = Holder { ask_after: seconds(10), ask_after_max: seconds(35), ..process(NONE) };
    let batch = stored(db, &[Item::Accepted(100)]);
    let mut window = claim(db, &me, &batch, 1).windows[0];
    let mut waits = Vec::new();
    for _ in 0..5 {
        tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
        waits.push(database.value("SELECT extract(epoch FROM due_at - made_at)::int::text AS value FROM ledger_work"));
        all_is_due(db);
        window = take_up(db, &me).map(|asked| asked.work);
    }
    assert_eq!(waits, ["10", "20", "35", "35", "35"]);
}

#[test]
fn what_is_sent_again_is_asked_about_as_often_again() {
    let Some(database) = gctb_testkit::database("what_is_sent_again_is_asked_about") else { return };
    let db = database.db();
    let me = Holder { asks_max: 1, ..process(NONE) };
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    let asked = take_up(db, &me).expect("due");
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], Some(asked.work));
    let sent = take_up(db, &me).expect("due");
    assert_eq!(taken(&sent), ["0:1:Send:false"]);
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], Some(sent.work));
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Ask:true"]);
}
