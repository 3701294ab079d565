//! What somebody hears who may not decide: it is kept, adds up, and is decided by the owner.

use gctb_db::{DueWork, Word};
use gctb_domain::ReasonCode;
use gctb_domain::paying::Learnt;

use super::{
    LONG, NONE, all_is_due, all_is_quiet, claim, forgotten, looked_after, process, quietly, take_up, taken, tell, word,
};
use crate::world::{Item, ledger, stored, told};

const REFUSED: Learnt = Learnt::Refused { again: false };

#[test]
fn i2_i3_a_refusal_that_another_replica_heard_is_decided_by_the_owner_without_another_call() {
    let Some(database) = gctb_testkit::database("i2_i3_a_refusal_that_another_replica_heard") else { return };
    let (db, me, other) = (database.db(), process(NONE), process(LONG));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Accepted)], window);
    let refused = Word { reason: Some(ReasonCode::PayeeFaInvalid), ..quietly(word(0, REFUSED)) };
    tell(db, &other, &batch, vec![refused], None);
    assert_eq!(ledger(&database, &batch), ["0:4:3:mpesa"], "who is not the owner decides nothing");
    let works: Vec<DueWork> = std::iter::from_fn(|| take_up(db, &other)).collect();
    assert!(works.iter().all(|work| work.attempts.is_empty()), "nobody is asked again");
    assert_eq!(ledger(&database, &batch), ["0:8:4:mpesa"]);
    let [entry] = works.iter().flat_map(|work| told(&work.outbox)).collect::<Vec<_>>().try_into().expect("one is told");
    assert_eq!((entry.reason, entry.message.as_str()), (Some(ReasonCode::PayeeFaInvalid), "in the rail's words"));
    assert_eq!(looked_after(&database, &batch), Vec::<String>::new());
}

#[test]
fn i2_i3_a_refusal_of_an_earlier_send_is_asked_for_again_in_quiet() {
    let Some(database) = gctb_testkit::database("i2_i3_a_refusal_of_an_earlier_send") else { return };
    let (db, me, other) = (database.db(), process(NONE), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    let asked = take_up(db, &me).expect("asked");
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], Some(asked.work));
    let sent = take_up(db, &me).expect("sent again");
    tell(db, &me, &batch, vec![Word { sends: 2, ..word(0, Learnt::Nothing) }], Some(sent.work));
    tell(db, &other, &batch, vec![quietly(word(0, REFUSED))], None);
    all_is_due(db);
    let taken_up: Vec<String> =
        std::iter::from_fn(|| take_up(db, &other)).flat_map(|work| taken(&work)).take(1).collect();
    assert_eq!(taken_up, ["0:1:Ask:true"]);
    tell(db, &me, &batch, vec![quietly(Word { sends: 2, ..word(0, REFUSED) })], None);
    all_is_due(db);
    while take_up(db, &me).is_some_and(|work| work.attempts.is_empty()) {}
    assert!(ledger(&database, &batch)[0].starts_with("0:8:"), "asked in quiet about both sends, it decides");
}

#[test]
fn i3_weaker_words_never_replace_stronger_ones_and_of_equal_ones_the_later_stand() {
    let Some(database) = gctb_testkit::database("i3_weaker_words_never_replace") else { return };
    let (db, me, other) = (database.db(), process(LONG), process(LONG));
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &me, &batch, 1);
    let said = |learnt: Learnt, message: &str| Word { message: message.to_owned(), ..word(0, learnt) };
    let heard = |word: Word| {
        tell(db, &other, &batch, vec![word], None);
        database.value("SELECT concat_ws(' ', evidence_kind, evidence_quiet, evidence) AS value FROM payment_ledger")
    };
    assert_eq!(heard(said(Learnt::NotFound, "none")), "3 f none");
    assert_eq!(heard(said(Learnt::Nothing, "silence")), "3 f none");
    assert_eq!(heard(said(Learnt::Duplicate, "had it")), "4 f had it");
    assert_eq!(heard(said(REFUSED, "no")), "7 f no");
    assert_eq!(heard(said(Learnt::Accepted, "yes")), "7 f no");
    all_is_quiet(db);
    assert_eq!(heard(quietly(said(REFUSED, "no indeed"))), "7 t no indeed");
    assert_eq!(heard(said(REFUSED, "while something is under way")), "7 t no indeed");
    assert_eq!(heard(quietly(said(Learnt::Refused { again: true }, "not now"))), "6 t not now");
}

#[test]
fn i2_what_the_rail_refused_is_not_taken_for_unsent() {
    let Some(database) = gctb_testkit::database("i2_what_the_rail_refused_is_not_taken") else { return };
    let (db, me, other) = (database.db(), process(LONG), process(LONG));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &other, &batch, vec![word(0, REFUSED)], None);
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], window);
    assert_eq!(
        database.value("SELECT concat_ws(',', state, sends) AS value FROM payment_ledger"),
        "5,1",
        "it stays counted"
    );
    assert_eq!((looked_after(&database, &batch), forgotten(&database)), (vec!["0:2".to_owned()], Vec::new()));
    all_is_due(db);
    assert_eq!(taken(&take_up(db, &me).expect("due")), Vec::<String>::new());
    assert!(ledger(&database, &batch)[0].starts_with("0:8:"), "the one request that there may have been was refused");
}
