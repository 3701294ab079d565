//! What nobody believes: it moves nothing, and is kept for a person.

use gctb_db::{Holder, NewException, Word};
use gctb_domain::paying::Learnt;
use gctb_domain::{BackendName, BatchNo, Seq};

use super::{LONG, about, claim, process, tell, word};
use crate::world::{Item, kes, ledger, stored};

#[test]
fn a_word_about_another_amount_or_another_backends_payment_moves_nothing_and_is_kept() {
    let Some(database) = gctb_testkit::database("a_word_about_another_amount") else { return };
    let (db, me) = (database.db(), process(LONG));
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &me, &batch, 1);
    let other = Holder { backend: BackendName::parse("mojaloop").expect("a name"), ..process(LONG) };
    let wrong = Word { amount: Some(kes(101)), ..word(0, Learnt::Paid) };
    assert_eq!(tell(db, &me, &batch, vec![wrong], None).exceptions, 1);
    assert_eq!(tell(db, &other, &batch, vec![word(0, Learnt::Paid)], None).exceptions, 1);
    assert_eq!(tell(db, &me, &batch, vec![about(2, word(0, Learnt::Paid)), word(7, Learnt::Paid)], None).exceptions, 2);
    assert_eq!(ledger(&database, &batch), ["0:3:1:mpesa"]);
    let kinds = database.values("SELECT kind AS value FROM rail_exceptions ORDER BY exception_id");
    assert_eq!(kinds, ["amount_differs", "not_ours", "other_attempt", "unknown_instruction"]);
}

#[test]
fn i10_what_came_is_kept_beside_the_exception_and_cut() {
    let Some(database) = gctb_testkit::database("i10_what_came_is_kept") else { return };
    let (db, rail) = (database.db(), process(LONG).backend);
    let batch = stored(db, &[Item::Accepted(100)]);
    let unknown = NewException {
        kind: "unreadable",
        detail: "the body is no JSON".to_owned(),
        rail_key: None,
        instruction: None,
        body: Some(format!("<html>\0{}", "ä".repeat(5_000))),
    };
    let known = NewException {
        rail_key: Some("k".repeat(70)),
        instruction: Some((batch.id, Seq(0))),
        body: None,
        ..unknown.clone()
    };
    db.keep_exceptions(&rail, &[unknown, known]).expect("kept");
    db.keep_exceptions(&rail, &[]).expect("nothing is nothing");
    let kept = database.values(
        "SELECT concat_ws(' ', kind, seq, length(rail_key), length(body), left(body, 7)) AS value
         FROM rail_exceptions ORDER BY exception_id",
    );
    assert_eq!(kept, ["unreadable 4096 <html>ä", "unreadable 0 64"]);
}

#[test]
fn what_nobody_believed_is_listed_newest_first_with_whose_payment_it_names_and_its_body_only_on_demand() {
    let Some(database) = gctb_testkit::database("what_nobody_believed_is_listed") else { return };
    let (db, mpesa) = (database.db(), process(LONG).backend);
    let mojaloop = BackendName::parse("mojaloop").expect("a name");
    let batch = stored(db, &[Item::Accepted(100)]);
    let nobodys = NewException {
        kind: "malformed",
        detail: "the body is no JSON".to_owned(),
        rail_key: None,
        instruction: None,
        body: Some("<html>".to_owned()),
    };
    let of = |seq: i32, kind| NewException { kind, instruction: Some((batch.id, Seq(seq))), ..nobodys.clone() };
    let known = NewException { rail_key: Some("KEY".to_owned()), body: None, ..of(0, "amount_differs") };
    db.keep_exceptions(&mpesa, &[nobodys.clone(), known]).expect("kept");
    db.keep_exceptions(&mojaloop, &[of(7, "unknown_instruction")]).expect("kept");

    let listed = |backend, limit, with_bodies| {
        let rows = db.rail_exceptions(backend, limit, with_bodies).expect("Postgres is there");
        let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        rows.iter()
            .map(|row| {
                let named = [&row.rail_key, &row.sender_id, &row.transaction_id, &row.request_id, &row.body].map(cell);
                format!("{} {} {}", row.backend, row.kind, named.join(" "))
            })
            .collect::<Vec<_>>()
    };
    let names = database.value("SELECT concat_ws(' ', sender_id, transaction_id) AS value FROM batches");
    let reference = database.value("SELECT request_id AS value FROM payment_instructions");
    let (no_position, all_of_it) = (
        format!("mojaloop unknown_instruction - {names} -"),
        format!("mpesa amount_differs KEY {names} {reference} -"),
    );
    let without = [format!("{no_position} -"), all_of_it.clone(), "mpesa malformed - - - - -".to_owned()];
    assert_eq!(listed(None, 10, false), without);
    let with_bodies = [format!("{no_position} <html>"), all_of_it, "mpesa malformed - - - - <html>".to_owned()];
    assert_eq!(listed(None, 10, true), with_bodies);
    assert_eq!(listed(Some(&mpesa), 10, false), without[1..]);
    assert_eq!(listed(None, 2, false), without[..2]);
    assert_eq!(listed(Some(&mojaloop), 10, true), with_bodies[..1]);
}

#[test]
fn a_callback_finds_its_batches_by_their_numbers() {
    let Some(database) = gctb_testkit::database("a_callback_finds_its_batches") else { return };
    let db = database.db();
    let (one, other) = (stored(db, &[Item::Accepted(100)]), stored(db, &[Item::Accepted(100)]));
    let found = db.batches_by_no(&[one.no, other.no, BatchNo(987_654)]).expect("Postgres is there");
    assert_eq!((found.len(), found.get(&one.no), found.get(&other.no)), (2, Some(&one.id), Some(&other.id)));
    assert!(db.batches_by_no(&[]).expect("nothing is asked").is_empty());
}

#[test]
fn a_letter_that_postgres_does_not_take_keeps_no_window_from_being_recorded() {
    let Some(database) = gctb_testkit::database("a_letter_that_postgres_does_not_take") else { return };
    let (db, me) = (database.db(), process(LONG));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    let odd = Word { message: "pa\0id".to_owned(), rail_reference: Some("S\0G".to_owned()), ..word(0, Learnt::Paid) };
    tell(db, &me, &batch, vec![odd], window);
    assert_eq!(
        database.value("SELECT concat_ws(' ', message, rail_reference) AS value FROM payment_ledger"),
        "paid SG"
    );
}
