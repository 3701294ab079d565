//! What people look at: whom each list names, and that what has gone on since is no longer in it.

use gctb_db::{Db, InstructionName, RailOrder, Step, Word};
use gctb_domain::paying::Learnt;
use gctb_domain::{LedgerState, RailKey, Seq};

use super::{LONG, NONE, by_hand, claim, process, tell, word};
use crate::world::{Item, Message, stored};

/// Positions of the payments that are tried again, with what comes next.
fn postponed(db: &Db) -> Vec<(i32, LedgerState, Step)> {
    let rows = db.postponed_payments(10).expect("Postgres is there");
    rows.iter().map(|row| (row.payment.seq, row.state, row.next.what)).collect()
}

/// What comes next for the first attempt at this position.
fn next(db: &Db, batch: &Message, seq: i32) -> Option<Step> {
    let key = RailKey::new(batch.no, Seq(seq), 1).expect("fits");
    let found = db.instruction_attempts(&InstructionName::Key(key)).expect("Postgres is there").expect("it is there");
    found.next.map(|next| next.what)
}

/// How many payments each stopped backend would send again.
fn would_send(db: &Db) -> Vec<i64> {
    db.stopped_rails().expect("Postgres is there").iter().map(|rail| rail.waiting).collect()
}

#[test]
fn i4_what_is_tried_again_is_listed_by_its_name_and_what_has_gone_on_since_is_not() {
    let Some(database) = gctb_testkit::database("i4_what_is_tried_again_is_listed") else { return };
    let (db, me, other) = (database.db(), process(LONG), process(LONG));
    db.introduce_rail(&me.backend).expect("introduced");
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let window = claim(db, &me, &batch, 3).windows[0];
    assert_eq!((postponed(db), next(db, &batch, 0)), (Vec::new(), Some(Step::InHand)));
    let words = (0..2).map(|seq| Word { send_after: LONG, ..word(seq, Learnt::NotSent) });
    let refused = Word { send_after: NONE, ..word(2, Learnt::Refused { again: true }) };
    tell(db, &me, &batch, words.chain([refused]).collect(), window);
    db.order_rail(&me.backend, RailOrder::Pause, &by_hand(false)).expect("paused");
    let given_back = |seq| (seq, LedgerState::Claimed, Step::Send);
    let retried = (2, LedgerState::NotPaid, Step::Retry);
    assert_eq!(postponed(db), [retried, given_back(0), given_back(1)], "the next one first");
    assert_eq!(would_send(db), [3]);
    let first = db.postponed_payments(1).expect("Postgres is there").remove(0);
    let named = database.value(
        "SELECT concat_ws(' ', b.sender_id, b.transaction_id, p.request_id) AS value
                                FROM batches b JOIN payment_instructions p USING (batch_id) WHERE p.seq = 2",
    );
    let payment = first.payment;
    assert_eq!(format!("{} {} {}", payment.sender_id, payment.transaction_id, payment.request_id), named);
    assert_eq!((payment.amount, payment.currency.as_str(), payment.attempt), (100, "KES", 1));

    // Somebody heard that the rail has one of them after all: that is asked about, and the row that would have sent it names it
    // in vain.
    tell(db, &other, &batch, vec![word(0, Learnt::Accepted)], None);
    let still_named = database.value("SELECT seqs::text AS value FROM ledger_work WHERE kind = 3");
    assert_eq!((still_named.as_str(), next(db, &batch, 0)), ("{0,1}", Some(Step::Ask)));
    assert_eq!(postponed(db), [retried, given_back(1)]);
    assert_eq!(would_send(db), [2]);
    tell(db, &other, &batch, vec![word(1, Learnt::Paid)], None);
    assert_eq!((postponed(db), would_send(db), next(db, &batch, 1)), (vec![retried], vec![1], None));
}
