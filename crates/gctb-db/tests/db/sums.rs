//! Invariant I6: sums are exact, however large the amounts are.

use gctb_domain::PaymentStatus;

use crate::world::{Item, claim, claim_of, file_backend, file_of, stored};

/// Three of these do not fit 64 bits, and none fits the 53 bits of a float.
const LARGE: [i64; 3] = [i64::MAX, i64::MAX - 1, i64::MAX - 7];

#[test]
fn i6_amounts_near_the_largest_number_sum_exactly_in_totals_and_files() {
    let Some(database) = gctb_testkit::database("i6_amounts_near_the_largest_number") else { return };
    let db = database.db();
    let exact: i128 = LARGE.iter().map(|minor| i128::from(*minor)).sum();
    let batch = stored(db, &LARGE.map(Item::Accepted));
    let totals = |status| {
        let rows = db.batch_totals(batch.id).expect("Postgres is there");
        rows.iter().find(|row| row.status == status).map(|row| (row.instructions, row.amount_minor))
    };
    assert_eq!(totals(PaymentStatus::New), Some((3, exact)));
    let claims = [0, 1, 2].map(|seq| claim_of(seq, LARGE[usize::try_from(seq).expect("small")]));
    let outcome = claim(db, &batch, &claims).expect("claimed");
    assert!(db.close_file(file_of(&outcome)).expect("Postgres is there"));
    let files = db.files_to_deliver(&file_backend()).expect("Postgres is there");
    assert_eq!(files[0].amount_minor, exact);
    let mut entries = crate::world::told(&outcome.outbox);
    let last = entries.split_off(2);
    db.fold_status(batch.id, &entries.iter().collect::<Vec<_>>(), &[]).expect("folded");
    let filed = i128::from(LARGE[0]) + i128::from(LARGE[1]);
    assert_eq!(
        (totals(PaymentStatus::New), totals(PaymentStatus::Filed)),
        (Some((1, exact - filed)), Some((2, filed)))
    );
    db.fold_status(batch.id, &last.iter().collect::<Vec<_>>(), &[]).expect("folded");
    assert_eq!((totals(PaymentStatus::New), totals(PaymentStatus::Filed)), (None, Some((3, exact))));
}
