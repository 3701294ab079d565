//! Work that cannot be taken up for its content: it stops only itself, and ends with a person.

use gctb_domain::paying::Learnt;

use super::{NONE, all_is_due, claim, forgotten, looked_after, process, take_up, taken, tell, word};
use crate::world::{Item, ledger, stored};

#[test]
fn i7_a_payment_that_cannot_be_read_is_set_aside_alone_and_is_a_persons_in_the_end() {
    let Some(database) = gctb_testkit::database("i7_a_payment_that_cannot_be_read") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100); 3]);
    claim(db, &me, &batch, 3);
    db.execute_sql("UPDATE payment_ledger SET currency = '?' WHERE seq = 1").expect("somebody wrote nonsense");
    let others = take_up(db, &me).expect("due");
    assert_eq!(taken(&others), ["0:1:Ask:true", "2:1:Ask:true"]);
    tell(db, &me, &batch, vec![word(0, Learnt::Paid), word(2, Learnt::Paid)], Some(others.work));
    let waits =
        "SELECT concat_ws(' ', failures, round(extract(epoch FROM due_at - made_at) / 60)) AS value FROM ledger_work";
    for wait in ["1 1", "2 2", "3 4", "4 8", "5 16", "6 32", "7 60"] {
        assert_eq!(database.values(waits), [wait], "failures and minutes");
        assert!(take_up(db, &me).is_none(), "put off");
        all_is_due(db);
        assert_eq!(taken(&take_up(db, &me).expect("due")), Vec::<String>::new());
    }
    assert_eq!((looked_after(&database, &batch), forgotten(&database)), (vec!["1:5".to_owned()], Vec::new()));
    assert!(ledger(&database, &batch)[1].starts_with("1:5:"));
    assert_eq!(db.waiting_payments(10).expect("Postgres is there").len(), 1);
}

#[test]
fn i7_work_that_cannot_be_taken_up_at_all_stops_nobody_behind_it() {
    let Some(database) = gctb_testkit::database("i7_work_that_cannot_be_taken_up_at_all") else { return };
    let (db, me) = (database.db(), process(NONE));
    let (lost, good) = (stored(db, &[Item::Accepted(100)]), stored(db, &[Item::Accepted(100)]));
    claim(db, &me, &lost, 1);
    claim(db, &me, &good, 1);
    let gone = format!("DELETE FROM batch_controls WHERE batch_id = '{}'", lost.id);
    db.execute_sql(&gone).expect("a database that lost something");
    assert_eq!(take_up(db, &me).expect("due").batch, good.id);
    let failures =
        format!("SELECT concat_ws(' ', kind, failures) AS value FROM ledger_work WHERE batch_id = '{}'", lost.id);
    assert_eq!(database.value(&failures), "1 1");
    for _ in 1..8 {
        all_is_due(db);
        while take_up(db, &me).is_some() {}
    }
    assert_eq!(database.value(&failures), "5 8", "a person's");
    assert_eq!(forgotten(&database), Vec::<String>::new());
}
