//! Two folds of one instruction at the same moment (invariant I5). At READ COMMITTED a statement that waited for a lock goes on
//! with what it had read before: without the batch's lock first, the later fold would undo what the earlier one counted.

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use gctb_domain::{LedgerState, Seq};
use gctb_events::LedgerEntry;
use gctb_testkit::{TestDatabase, eventually};

use crate::world::{Item, Message, file_backend, stored};

fn news(seq: i32, version: i32, state: LedgerState) -> LedgerEntry {
    LedgerEntry {
        seq: Seq(seq),
        version,
        state,
        attempt: 1,
        backend: Some(file_backend()),
        resolved_fa: format!("account:{version}@c.d.bank_acc"),
        file: Some("a file".to_owned()),
        rail_reference: (state == LedgerState::Paid).then(|| "the bank's".to_owned()),
        reason: None,
        message: String::new(),
        changed_at: chrono::Utc::now(),
    }
}

/// How the first instruction of a batch is shown: `status version in_flight`, and the totals as `status:instructions:sum`.
fn shown(database: &TestDatabase, batch: &Message) -> String {
    database.value(&format!(
        "SELECT concat_ws(' ', p.status, p.version, b.in_flight,
                (SELECT string_agg(concat_ws(':', status, instructions, amount_minor), ',') FROM batch_totals t
                 WHERE t.batch_id = b.batch_id AND instructions <> 0)) AS value
         FROM payment_instructions p JOIN batches b USING (batch_id) WHERE p.seq = 0 AND b.batch_id = '{}'",
        batch.id
    ))
}

/// How many sessions of this database wait for a lock.
pub(crate) fn waiters(database: &TestDatabase) -> usize {
    let waiting = "SELECT count(*)::text AS value FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.value(waiting).parse().expect("a number")
}

/// Returns when so many sessions of this database wait for a lock.
fn wait_for_waiters(database: &TestDatabase, count: usize) {
    eventually("folds that wait for a lock", || (waiters(database) == count).then_some(()));
}

/// Lets two folds begin in this order and meet before the first instruction's row, which a third connection holds. The second one
/// brings the end of another instruction as well, so that both of them count what is in flight.
fn fold_both_at_once(database: &TestDatabase, first: &LedgerEntry, second: &LedgerEntry) -> String {
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let another = news(1, 2, LedgerState::Paid);
    let mut holder = PgConnection::establish(database.url()).expect("a connection");
    let hold =
        format!("BEGIN; SELECT 1 FROM payment_instructions WHERE batch_id = '{}' AND seq = 0 FOR UPDATE", batch.id);
    holder.batch_execute(&hold).expect("the row's lock");
    std::thread::scope(|scope| {
        for (waiting, entries) in [(1, vec![first]), (2, vec![second, &another])] {
            scope.spawn(move || db.fold_status(batch.id, &entries, &[]).expect("folded"));
            wait_for_waiters(database, waiting);
        }
        holder.batch_execute("COMMIT").expect("the row is free");
    });
    shown(database, &batch)
}

#[test]
fn i5_two_folds_of_one_instruction_at_once_end_at_the_higher_rank_and_count_it_once() {
    let Some(database) = gctb_testkit::database("i5_two_folds_of_one_instruction_at_once") else { return };
    let (claimed, paid) = (news(0, 1, LedgerState::Claimed), news(0, 2, LedgerState::Paid));
    assert_eq!(fold_both_at_once(&database, &claimed, &paid), "5 2 0 5:2:200");
    assert_eq!(fold_both_at_once(&database, &paid, &claimed), "5 2 0 5:2:200");
}

#[test]
fn i5_the_same_news_folded_twice_at_once_are_counted_once() {
    let Some(database) = gctb_testkit::database("i5_the_same_news_folded_twice_at_once") else { return };
    let paid = news(0, 2, LedgerState::Paid);
    assert_eq!(fold_both_at_once(&database, &paid, &paid), "5 2 0 5:2:200");
}
