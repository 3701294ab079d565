//! What does not count against a payment: a refusal that everybody gets, and a question that there was no time for.

use std::time::Duration;

use gctb_db::{Holder, Word};
use gctb_domain::paying::Learnt;
use gctb_domain::{MAX_ATTEMPT, Seq};

use super::{LONG, NONE, about, all_is_due, claim, process, quietly, take_up, taken, tell, word};
use crate::world::{Item, ledger, stored};

const AGAIN: Learnt = Learnt::Refused { again: true };

/// The rail refuses everybody: no funds, for one.
fn with_everybody(word: Word) -> Word {
    Word { refuses_everybody: true, ..word }
}

#[test]
fn a_refusal_that_everybody_gets_uses_up_no_attempt() {
    let Some(database) = gctb_testkit::database("a_refusal_that_everybody_gets") else { return };
    let (db, me) = (database.db(), Holder { attempts_max: 2, ..process(NONE) });
    let batch = stored(db, &[Item::Accepted(100)]);
    let mut window = claim(db, &me, &batch, 1).windows[0];
    for attempt in 1..=4 {
        tell(db, &me, &batch, vec![about(attempt, with_everybody(word(0, AGAIN)))], window);
        assert!(ledger(&database, &batch)[0].starts_with("0:6:"), "attempt {attempt}: not paid, and not over");
        let sent = take_up(db, &me).expect("due");
        assert_eq!(taken(&sent), [format!("0:{}:Send:false", attempt + 1)]);
        window = Some(sent.work);
    }
    // By its own fault it fails after as many attempts as ever.
    tell(db, &me, &batch, vec![about(5, word(0, AGAIN))], window);
    let sent = take_up(db, &me).expect("due");
    assert_eq!(taken(&sent), ["0:6:Send:false"]);
    tell(db, &me, &batch, vec![about(6, word(0, AGAIN))], Some(sent.work));
    assert!(ledger(&database, &batch)[0].starts_with("0:8:"), "{:?}", ledger(&database, &batch));
}

#[test]
fn i10_attempts_that_do_not_count_end_with_the_last_key_that_there_is() {
    let Some(database) = gctb_testkit::database("i10_attempts_that_do_not_count_end") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let mut window = claim(db, &me, &batch, 1).windows[0];
    for attempt in 1..MAX_ATTEMPT {
        tell(db, &me, &batch, vec![about(attempt, with_everybody(word(0, AGAIN)))], window);
        window = take_up(db, &me).map(|sent| sent.work);
    }
    tell(db, &me, &batch, vec![about(MAX_ATTEMPT, with_everybody(word(0, AGAIN)))], window);
    assert!(ledger(&database, &batch)[0].starts_with("0:8:"), "{:?}", ledger(&database, &batch));
}

#[test]
fn a_refusal_that_everybody_gets_is_waited_for_no_longer_the_more_often_it_comes() {
    let Some(database) = gctb_testkit::database("a_refusal_that_everybody_gets_is_waited_for") else { return };
    let (db, me) = (database.db(), Holder { retry_after: Duration::from_secs(60), ..process(NONE) });
    let batch = stored(db, &[Item::Accepted(100)]);
    let mut window = claim(db, &me, &batch, 1).windows[0];
    for attempt in 1..=3 {
        tell(db, &me, &batch, vec![about(attempt, with_everybody(word(0, AGAIN)))], window);
        let wait = "SELECT extract(epoch FROM due_at - made_at)::int::text AS value FROM ledger_work";
        assert_eq!(database.value(wait), "60", "after attempt {attempt}");
        all_is_due(db);
        window = take_up(db, &me).map(|sent| sent.work);
    }
}

#[test]
fn a_callback_that_says_so_uses_up_none_either() {
    let Some(database) = gctb_testkit::database("a_callback_that_says_so_uses_up_none") else { return };
    let (db, other) = (database.db(), process(LONG));
    let me = Holder { attempts_max: 1, ..process(NONE) };
    let batch = stored(db, &[Item::Accepted(100), Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 2).windows[0];
    tell(db, &me, &batch, (0..2).map(|seq| word(seq, Learnt::Accepted)).collect(), window);
    tell(db, &other, &batch, vec![with_everybody(word(0, AGAIN)), word(1, AGAIN)], None);
    let kinds = "SELECT evidence_kind::text AS value FROM payment_ledger ORDER BY seq";
    assert_eq!(database.values(kinds), ["8", "6"]);
    all_is_due(db);
    // What was heard decides; the one that counts was the only attempt that there may be.
    while take_up(db, &me).is_some_and(|work| work.attempts.is_empty()) {}
    let states: Vec<String> = ledger(&database, &batch).iter().map(|row| row[..3].to_owned()).collect();
    assert_eq!(states, ["0:3", "1:8"], "the first is sent again, and the second has failed");
}

#[test]
fn i4_a_question_that_there_was_no_time_for_does_not_bring_a_payment_nearer_to_a_person() {
    let Some(database) = gctb_testkit::database("i4_a_question_that_there_was_no_time_for") else { return };
    let (db, me) = (database.db(), Holder { asks_max: 2, ..process(NONE) });
    let batch = stored(db, &[Item::Accepted(100), Item::Accepted(100)]);
    let mut window = claim(db, &me, &batch, 2).windows[0];
    tell(db, &me, &batch, (0..2).map(|seq| word(seq, Learnt::Nothing)).collect(), window);
    let mut asked = Vec::new();
    for _ in 0..4 {
        all_is_due(db);
        while let Some(due) = take_up(db, &me) {
            asked.extend(due.attempts.iter().map(|attempt| attempt.seq));
            // The first is asked about each time, and about the second no word comes: the rail fell silent before.
            let words = due.attempts.iter().filter(|attempt| attempt.seq == Seq(0));
            let words = words.map(|_| quietly(word(0, Learnt::Nothing))).collect();
            window = Some(due.work);
            tell(db, &me, &batch, words, window);
            if due.attempts.iter().any(|attempt| attempt.seq == Seq(1)) {
                break;
            }
        }
    }
    let often = |seq| asked.iter().filter(|asked| **asked == Seq(seq)).count();
    assert_eq!(often(0), 2, "then it is a person's");
    assert_eq!(often(1), 4, "nobody was asked yet");
}
