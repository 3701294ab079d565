//! After the payments: nothing is lost and nobody is paid twice, by the tables and by the rail's own book.

use std::collections::BTreeMap;

use super::scenario::Scenario;
use super::simulator::Book;
use crate::equation::Expected;
use crate::error::BenchError;
use crate::psql::Psql;

/// What the tables say: received, paid by the totals, by the projection and by the ledger, the paid sum, and what should not
/// be there: contradictions, what nobody believed, what still needs attention, messages on their way.
const TABLES: &str = "SELECT (SELECT sum(instruction_count) FROM batches) || ' ' ||
       (SELECT coalesce(sum(instructions), 0) FROM batch_totals WHERE status = 5) || ' ' ||
       (SELECT count(*) FROM payment_instructions WHERE status = 5) || ' ' ||
       (SELECT count(*) FROM payment_ledger WHERE state = 7) || ' ' ||
       (SELECT coalesce(sum(amount_minor), 0) FROM batch_totals WHERE status = 5) || ' ' ||
       (SELECT count(*) FROM ledger_conflicts) || ' ' ||
       (SELECT count(*) FROM rail_exceptions) || ' ' ||
       (SELECT count(*) FROM payment_ledger WHERE work_id IS NOT NULL) || ' ' ||
       (SELECT count(*) FROM outbox);";

/// Fails where anything was lost or paid twice; otherwise the equation in one line.
pub(super) fn check(
    database: &Psql,
    scenario: Scenario,
    book: &Book,
    expected: Expected,
) -> Result<String, BenchError> {
    let tables = database.value("compare the tables", TABLES)?;
    let held = judge(&tables, book, expected);
    held.map_err(|why| BenchError::Equation(format!("{scenario}: {why}")))
}

fn judge(tables: &str, book: &Book, expected: Expected) -> Result<String, String> {
    let Expected { instructions: all, minor } = expected;
    let wanted = format!("{all} {all} {all} {all} {minor} 0 0 0 0");
    if tables != wanted {
        return Err(format!(
            "received, paid by totals, projection and ledger, their sum, conflicts, exceptions, work left and messages are \
             {tables}; they should be {wanted}"
        ));
    }
    let amount_minor = BTreeMap::from([("KES".to_owned(), u128::from(minor))]);
    let once = Book { payments: all, amount_minor, accounts: all, paid_twice: 0, accounts_paid_twice: 0 };
    if *book != once {
        return Err(format!("the rail's book has {book:?}; it should have {once:?}"));
    }
    Ok(format!(
        "{all} received = {all} paid + 0 failed + 0 in flight; 0 lost; 0 paid twice; the rail's book has each once"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(payments: u64, accounts: u64, twice: u64, minor: u128) -> Book {
        let amount_minor = BTreeMap::from([("KES".to_owned(), minor)]);
        Book { payments, amount_minor, accounts, paid_twice: twice, accounts_paid_twice: twice }
    }

    #[test]
    fn a_run_that_lost_doubled_or_left_a_payment_does_not_count() {
        let sent = Expected { instructions: 10, minor: 1_000 };
        let good = "10 10 10 10 1000 0 0 0 0";
        assert!(judge(good, &book(10, 10, 0, 1_000), sent).is_ok());
        for (tables, book) in [
            ("10 9 10 10 1000 0 0 0 0", book(10, 10, 0, 1_000)),
            ("10 10 10 10 999 0 0 0 0", book(10, 10, 0, 1_000)),
            ("10 10 10 10 1000 1 0 0 0", book(10, 10, 0, 1_000)),
            ("10 10 10 10 1000 0 1 0 0", book(10, 10, 0, 1_000)),
            ("10 10 10 10 1000 0 0 1 0", book(10, 10, 0, 1_000)),
            ("10 10 10 10 1000 0 0 0 1", book(10, 10, 0, 1_000)),
            (good, book(9, 9, 0, 1_000)),
            (good, book(11, 10, 1, 1_100)),
            (good, book(10, 10, 0, 900)),
        ] {
            assert!(judge(tables, &book, sent).is_err(), "{tables} {book:?}");
        }
    }
}
