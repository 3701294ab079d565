//! The bank: takes payment files, makes the payments, keeps the book, answers with response files.
//!
//! A delivery goes through four steps, each on the disk before the next begins:
//!
//! 1. **book** — the whole file is checked; every payment that is made goes into the [`book`], in one fsync;
//! 2. **archive** — the file moves to `outgoing/archive/`;
//! 3. **answer** — after the delay, response files appear in `incoming/`, each by a rename;
//! 4. **rest** — what a fault held back is answered when an operator asks for it.
//!
//! After a crash the journal tells where a delivery stood, and it goes on from there: nothing is paid again for the
//! bank's own crash, though a response that had just appeared may appear once more under another name. A file that
//! *arrives* again is another delivery and is paid again, whatever its name, bytes or references: a bank that forgave
//! it would hide the sender's mistake.

mod book;
mod clerk;
mod decision;
mod desk;
mod error;
pub(crate) mod money;
mod payment_file;
mod pickup;
mod response;
mod tally;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::faults::{BankChange, BankControls};
use book::Book;
pub(crate) use clerk::Clerk;
use desk::Desk;
pub(crate) use desk::RestAnswered;
pub use error::BankError;
use pickup::Places;
pub(crate) use tally::Summary;

/// How many files the bank takes before it looks at the answers that are due.
const FILES_PER_TURN: usize = 100;

/// The bank, shared by its clerk and by those who ask it over HTTP.
pub(crate) struct Bank {
    places: Places,
    reject_percent: u8,
    controls: Mutex<BankControls>,
    desk: Mutex<Desk>,
}

impl Bank {
    /// Opens the bank on its directories and its book, and brings to the archive what a crash left on the way there.
    pub(crate) fn open(
        root: &Path,
        book: &Path,
        controls: BankControls,
        reject_percent: u8,
    ) -> Result<Self, BankError> {
        let places = Places::under(root).map_err(BankError::io("could not make the bank's directories"))?;
        let (book, unfinished) = Book::open(book)?;
        let desk = Desk::open(book, unfinished, &places)?;
        Ok(Self { places, reject_percent, controls: Mutex::new(controls), desk: Mutex::new(desk) })
    }

    /// One round of work: takes what waits in `outgoing/`, answers what is due.
    pub(crate) fn turn(&self, now: DateTime<Utc>) -> Result<(), BankError> {
        let controls = self.controls();
        if controls.paused {
            return Ok(());
        }
        let waiting =
            self.places.waiting(FILES_PER_TURN).map_err(BankError::io("could not list the outgoing directory"))?;
        for name in waiting {
            self.desk().take(&self.places, &name, self.reject_percent, now)?;
        }
        let delay =
            TimeDelta::milliseconds(i64::try_from(controls.delay_ms).unwrap_or(i64::MAX).min(i64::from(u32::MAX)));
        self.desk().answer_due(&self.places, now - delay, controls.respond)
    }

    /// Answers truly all that earlier responses left out or spoilt.
    pub(crate) fn respond_rest(&self) -> Result<RestAnswered, BankError> {
        self.desk().respond_rest(&self.places)
    }

    pub(crate) fn summary(&self) -> Summary {
        self.desk().book().tally().summary()
    }

    /// A page of the book as a JSON array.
    pub(crate) fn page(&self, offset: u64, limit: usize) -> Result<String, BankError> {
        self.desk().book().page(offset, limit)
    }

    /// The payments made under one reference as a JSON array.
    pub(crate) fn payments_of(&self, payment_ref: &str, limit: usize) -> Result<String, BankError> {
        self.desk().book().payments_of(payment_ref, limit)
    }

    pub(crate) fn controls(&self) -> BankControls {
        self.lock_controls().clone()
    }

    pub(crate) fn change(&self, change: BankChange) {
        self.lock_controls().change(change);
    }

    fn lock_controls(&self) -> MutexGuard<'_, BankControls> {
        // Every change is a whole assignment, so what a panicking thread left is still consistent.
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Memory and book may differ after a panic half-way; a bank that went on could pay by the wrong one.
        self.desk.lock().expect("the bank stops for good once somebody panicked at its desk")
    }
}
