//! How far the work is: by the tables, which everybody else may only reach by a line that is cut.

use gctb_testkit::TestDatabase;

/// Counts of instructions over all batches that are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    stored: u64,
    decided: u64,
    ended: u64,
    folded: u64,
}

const COUNTS: &str = "SELECT (SELECT coalesce(sum(instruction_count), 0) FROM batches) || ' ' || count(*) || ' '
        || count(*) FILTER (WHERE state IN (1, 2, 7, 8, 9)) || ' '
        || (SELECT coalesce(sum(instruction_count - in_flight), 0) FROM batches) AS value
    FROM payment_ledger";

impl Progress {
    /// Now.
    pub(super) fn of(database: &TestDatabase) -> Self {
        let row = database.value(COUNTS);
        let mut counts = row.split(' ').map(|count| count.parse().expect("a count"));
        let mut next = || counts.next().expect("four counts");
        Self { stored: next(), decided: next(), ended: next(), folded: next() }
    }

    /// How much of the work that was accepted is done, in percent. An instruction is decided, ends, and is folded.
    pub(super) const fn percent(self) -> u64 {
        let done = (self.decided + self.ended + self.folded) * 100;
        match done.checked_div(self.stored * 3) {
            Some(percent) => percent,
            None => 0,
        }
    }
}
