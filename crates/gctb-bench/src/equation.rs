//! After the payments: nothing is lost and nobody is paid twice, by the tables and by the simulated bank's own book.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::BenchError;
use crate::psql::Psql;

/// What the tables say: received, paid by the totals, by the projection and by the ledger, the paid sum, and what people
/// would have to look at.
const TABLES: &str = "SELECT (SELECT sum(instruction_count) FROM batches) || ' ' ||
       (SELECT sum(instructions) FROM batch_totals WHERE status = 5) || ' ' ||
       (SELECT count(*) FROM payment_instructions WHERE status = 5) || ' ' ||
       (SELECT count(*) FROM payment_ledger WHERE state = 7) || ' ' ||
       (SELECT sum(amount_minor) FROM batch_totals WHERE status = 5) || ' ' ||
       (SELECT count(*) FROM ledger_conflicts) || ' ' ||
       (SELECT count(*) FROM file_exceptions);";

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Instructions, every one of which the bank pays.
    pub(crate) instructions: u64,
    /// Their sum in minor units of KES.
    pub(crate) minor: u64,
}

#[derive(Debug, Deserialize)]
struct Book {
    payments: u64,
    paid_twice: u64,
    beneficiary_paid_twice: u64,
    sums: BTreeMap<String, String>,
}

/// Fails where anything was lost or paid twice; otherwise the equation in one line.
pub(crate) fn check(database: &Psql, simulator_url: &str, expected: Expected) -> Result<String, BenchError> {
    let tables = database.value("compare the tables", TABLES)?;
    let book = book(&format!("{simulator_url}/bank/summary"))?;
    judge(&tables, &book, expected).map_err(BenchError::Equation)
}

fn judge(tables: &str, book: &Book, expected: Expected) -> Result<String, String> {
    let Expected { instructions: all, minor } = expected;
    let wanted = format!("{all} {all} {all} {all} {minor} 0 0");
    if tables != wanted {
        return Err(format!(
            "received, paid by totals, projection and ledger, their sum, conflicts and exceptions are {tables}; they should be {wanted}"
        ));
    }
    if book.paid_twice > 0 || book.beneficiary_paid_twice > 0 {
        let twice = book.paid_twice.max(book.beneficiary_paid_twice);
        return Err(format!("{twice} payments stand twice in the bank's book"));
    }
    let sums = BTreeMap::from([("KES".to_owned(), format!("{}.{:02}", minor / 100, minor % 100))]);
    if book.payments != all || book.sums != sums {
        return Err(format!(
            "the bank's book has {} payments of {:?}; {all} of {sums:?} were sent",
            book.payments, book.sums
        ));
    }
    Ok(format!("{all} received = {all} paid + 0 failed + 0 in flight; 0 lost; 0 paid twice"))
}

fn book(url: &str) -> Result<Book, BenchError> {
    let answer = reqwest::blocking::get(url).and_then(reqwest::blocking::Response::json);
    answer.map_err(|source| BenchError::Http { doing: "read the bank's book".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(payments: u64, paid_twice: u64, same: u64, sum: &str) -> Book {
        let sums = BTreeMap::from([("KES".to_owned(), sum.to_owned())]);
        Book { payments, paid_twice, beneficiary_paid_twice: same, sums }
    }

    #[test]
    fn a_run_that_lost_or_doubled_a_payment_does_not_count() {
        let sent = Expected { instructions: 10, minor: 1_005 };
        let good = "10 10 10 10 1005 0 0";
        assert!(judge(good, &book(10, 0, 0, "10.05"), sent).is_ok());
        for (tables, book) in [
            ("10 9 10 10 1005 0 0", book(10, 0, 0, "10.05")),
            ("10 10 10 10 1004 0 0", book(10, 0, 0, "10.05")),
            ("10 10 10 10 1005 1 0", book(10, 0, 0, "10.05")),
            ("10 10 10 10 1005 0 1", book(10, 0, 0, "10.05")),
            (good, book(9, 0, 0, "10.05")),
            (good, book(10, 1, 0, "10.05")),
            (good, book(10, 0, 1, "10.05")),
            (good, book(10, 0, 0, "10.04")),
        ] {
            assert!(judge(tables, &book, sent).is_err(), "{tables} {book:?}");
        }
    }
}
