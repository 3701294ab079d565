//! Reading: pages of a batch in the sender's order, and references, the newest first and only the sender's own.

use chrono::{TimeDelta, Utc};
use gctb_domain::{PaymentStatus, Seq};

use crate::world::{Item, Message, stored};

#[test]
fn a_page_has_the_instructions_in_the_order_of_the_message() {
    let Some(database) = gctb_testkit::database("a_page_has_the_instructions") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100), Item::Refused, Item::Accepted(300), Item::Accepted(400)]);
    let page = db.instructions_page(batch.id, Seq(1), 2).expect("Postgres is there");
    let seen: Vec<_> =
        page.iter().map(|row| (row.seq.0, row.request_id.as_str(), row.amount_minor, row.status)).collect();
    assert_eq!(seen, [(1, "r-1", None, PaymentStatus::Failed), (2, "r-2", Some(300), PaymentStatus::New)]);
    assert_eq!(
        (page[0].amount_text.as_deref(), page[0].reason.map(|code| code.as_str())),
        (Some("ten"), Some("rjct.amount.invalid"))
    );
    assert!(db.instructions_page(batch.id, Seq(4), 2).expect("Postgres is there").is_empty());
}

#[test]
fn a_reference_is_found_in_the_newest_month_that_has_it() {
    let Some(database) = gctb_testkit::database("a_reference_is_found_in_the_newest_month") else { return };
    let db = database.db();
    db.execute_sql("SELECT gctb_make_partitions(now() - interval '40 days', 1)").expect("an older month");
    let long_ago = Utc::now() - TimeDelta::days(40);
    let old = Message::accepted_at(db, &[Item::Accepted(1), Item::Accepted(2), Item::Accepted(3)], long_ago);
    old.store(db).expect("stored");
    let new = stored(db, &[Item::Accepted(10), Item::Accepted(20)]);
    let newest = stored(db, &[Item::Accepted(100)]);
    let found =
        db.instructions_by_reference("sender", &["r-2", "r-0", "r-1", "unheard-of", "r-0"]).expect("Postgres is there");
    let found: Vec<_> = found.iter().map(|row| (row.request_id.as_str(), row.batch_id, row.amount_minor)).collect();
    let expected = [("r-2", old.id, Some(3)), ("r-0", newest.id, Some(100)), ("r-1", new.id, Some(20))];
    assert_eq!(found, expected, "in the order asked for, each once");
}

#[test]
fn i9_a_reference_of_another_sender_is_not_found() {
    let Some(database) = gctb_testkit::database("i9_a_reference_of_another_sender") else { return };
    let db = database.db();
    let mine = stored(db, &[Item::Accepted(2)]);
    let theirs = Message { sender: "another", ..Message::new(db, &[Item::Accepted(1), Item::Accepted(3)]) };
    theirs.store(db).expect("stored");
    let found = |sender: &str, reference: &str| {
        let rows = db.instructions_by_reference(sender, &[reference]).expect("Postgres is there");
        rows.first().and_then(|row| row.amount_minor)
    };
    assert_eq!((found("sender", "r-0"), found("another", "r-0")), (Some(2), Some(1)));
    assert_eq!(found("sender", "r-1"), None);
    // Equal hashes must not do either: the row's sender is compared, not its hash alone. Theirs is the newer one.
    db.execute_sql(&format!(
        "UPDATE payment_instructions SET ref_hash = (SELECT ref_hash FROM payment_instructions WHERE batch_id = '{}')",
        mine.id
    ))
    .expect("changed");
    assert_eq!(found("sender", "r-0"), Some(2));
}
