//! The book of a called rail: a file of JSON lines that only grows, one line per payment really made.
//!
//! A line is written, with a plain write(2), before anything about it is answered. It is not synced to the disk: the book
//! survives the kill of the simulator, not the loss of the machine. Between the payments stand events of the rail (a request
//! taken, a refusal); their first field is `event`, which no payment has. At the start the whole file is read back.
//!
//! The book never asks whether a payment was made before: it would not be a judge if it did. It must not know protocols.

mod journal;
mod line;
mod shards;
mod tally;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use journal::Journal;
pub(crate) use line::Paid;
pub(crate) use shards::Shards;
pub(crate) use tally::Summary;
use tally::Tally;

/// The most lines of the book in one answer.
pub(crate) const PAGE_LIMIT: usize = 10_000;

/// What a rail cannot go on after. Files are named, their contents are not.
#[derive(Debug, Error)]
pub enum RailError {
    /// A file or directory did not do what it must.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Two simulators would write the same book.
    #[error("another process has the book {} open", .0.display())]
    BookInUse(PathBuf),
    /// A complete line of the book is not one that this rail writes.
    #[error("line {line} of the book {} is not a line of this rail's book", path.display())]
    BookCorrupt {
        /// The book.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
    },
    /// The M-Pesa key or certificate could not be made or read.
    #[error("could not make or read the M-Pesa certificate")]
    Certificate(#[source] openssl::error::ErrorStack),
    /// The faults that were asked for cannot be given.
    #[error("the file of faults is not usable: {0}")]
    Faults(String),
    /// The client for callbacks could not be made.
    #[error("could not make the client that sends callbacks")]
    Client(#[source] reqwest::Error),
}

impl RailError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

/// A line read back at the start.
pub(crate) enum Line<'a> {
    /// A payment that was made.
    Payment(Paid<'a>),
    /// An event of the rail, as the rail wrote it.
    Event(&'a [u8]),
}

/// The open book. One process holds it at a time; its threads share it.
pub(crate) struct RailBook {
    journal: Journal,
    tally: Tally,
}

impl RailBook {
    /// Opens or makes the book and reads it back, giving each line with its position to `replay`, which says whether the
    /// line is one that the rail writes.
    pub(crate) fn open(path: &Path, mut replay: impl FnMut(u64, Line<'_>) -> bool) -> Result<Self, RailError> {
        let tally = Tally::default();
        let journal = Journal::open(path, |position, bytes| {
            if journal::is_event(bytes) {
                return replay(position, Line::Event(bytes));
            }
            let Ok(paid) = serde_json::from_slice::<Paid<'_>>(bytes) else { return false };
            tally.pay(position, &paid);
            replay(position, Line::Payment(paid))
        })?;
        Ok(Self { journal, tally })
    }

    /// Books a payment: when this returns, it is made. Gives the position of its line.
    pub(crate) fn pay(&self, paid: &Paid<'_>) -> io::Result<u64> {
        let position = self.journal.append(&line_of(paid), true)?;
        self.tally.pay(position, paid);
        Ok(position)
    }

    /// Writes an event, whose first field is `event`. Gives the position of its line.
    pub(crate) fn note(&self, event: &impl Serialize) -> io::Result<u64> {
        self.journal.append(&line_of(event), false)
    }

    /// The line that starts at a position given by [`Self::pay`], [`Self::note`] or the replay.
    pub(crate) fn line_at(&self, position: u64) -> io::Result<Vec<u8>> {
        self.journal.line_at(position)
    }

    pub(crate) fn summary(&self) -> Summary {
        self.tally.summary()
    }

    /// What was paid in one currency, in minor units.
    pub(crate) fn sum(&self, currency: &str) -> i128 {
        self.tally.sum(currency)
    }

    /// The payments numbered from `offset` (from 0, in the order in which they were made), at most `limit`, as a JSON
    /// array.
    pub(crate) fn page(&self, offset: u64, limit: usize) -> io::Result<String> {
        self.journal.page(offset, limit.min(PAGE_LIMIT))
    }

    /// Every payment under one key or to one account, as a JSON array of [`PAGE_LIMIT`] at most.
    pub(crate) fn payments_of(&self, key_or_account: &str) -> io::Result<String> {
        let lines = self
            .tally
            .positions(key_or_account)
            .into_iter()
            .take(PAGE_LIMIT)
            .map(|position| self.journal.line_at(position))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(journal::array_of(&lines))
    }
}

fn line_of(value: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    // Plain structs of strings, whole numbers and times into memory: there is nothing here that can fail.
    serde_json::to_writer(&mut line, value).expect("a line of plain values is always JSON");
    line.push(b'\n');
    line
}
