//! The tables as they stand, to be compared before and after.

use std::collections::BTreeSet;

use gctb_testkit::TestDatabase;

/// The rows of every table that says what became of money, as text. Times and owners are left out: nobody is paid by them.
/// So are totals of nothing, and files without a line: a replay may open one, which is closed as VOID and never sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    tables: Vec<(&'static str, Vec<String>)>,
}

/// Table, columns that are left out, rows that count, order.
const TABLES: [(&str, &str, &str, &str); 7] = [
    ("batches", "{received_at}", "true", "batch_id"),
    ("batch_totals", "{}", "instructions <> 0", "batch_id, currency, status"),
    ("payment_instructions", "{updated_at,prev_status}", "true", "batch_id, seq"),
    ("payment_ledger", "{changed_at,owner}", "true", "batch_id, seq"),
    (
        "outgoing_files",
        "{delivering_at}",
        "EXISTS (SELECT FROM payment_ledger l WHERE l.file_id = t.file_id)",
        "file_id",
    ),
    ("file_exceptions", "{recorded_at}", "true", "incoming_id, line_no"),
    ("ledger_conflicts", "{recorded_at}", "true", "conflict_id"),
];

/// Table, and the order of its rows.
const WHOLE_TABLES: [(&str, &str); 10] = [
    ("batches", "batch_id"),
    ("batch_controls", "batch_id"),
    ("batch_totals", "batch_id, currency, status"),
    ("batch_sweeps", "batch_id"),
    ("payment_instructions", "batch_id, seq"),
    ("payment_ledger", "batch_id, seq"),
    ("outgoing_files", "file_id"),
    ("incoming_files", "incoming_id"),
    ("file_exceptions", "incoming_id, line_no"),
    ("ledger_conflicts", "conflict_id"),
];

impl Snapshot {
    /// The tables now.
    pub fn of(database: &TestDatabase) -> Self {
        let rows = |(table, without, which, order): &(&'static str, &str, &str, &str)| {
            let row = format!("(to_jsonb(t) - '{without}'::text[])::text");
            let sql = format!("SELECT {row} AS value FROM {table} t WHERE {which} ORDER BY {order}");
            (*table, database.values(&sql))
        };
        Self { tables: TABLES.iter().map(rows).collect() }
    }

    /// Every column of every row of every table that knows of a payment, times and owners included. What is left out: the
    /// outbox, which is empty when all is folded, and `operator_actions`, where a replay is recorded.
    pub fn to_the_last_column(database: &TestDatabase) -> Self {
        let rows = |(table, order): &(&'static str, &str)| {
            (*table, database.values(&format!("SELECT to_jsonb(t)::text AS value FROM {table} t ORDER BY {order}")))
        };
        Self { tables: WHOLE_TABLES.iter().map(rows).collect() }
    }

    /// Fails with the rows that differ.
    ///
    /// # Panics
    /// Where any does.
    pub fn assert_same(&self, after: &Self, what: &str) {
        for ((table, before), (_, after)) in self.tables.iter().zip(&after.tables) {
            let set = |rows: &[String]| rows.iter().cloned().collect::<BTreeSet<String>>();
            let (had, has) = (set(before), set(after));
            let gone: Vec<&String> = had.difference(&has).take(3).collect();
            let come: Vec<&String> = has.difference(&had).take(3).collect();
            assert!(gone.is_empty() && come.is_empty(), "{what} changed {table}:\nbefore {gone:#?}\nafter {come:#?}");
            assert_eq!(before.len(), after.len(), "{what} changed {table}");
        }
    }
}
