//! The bank's desk: the steps of a delivery, each written to the journal when it is done, and the way on after a crash.
//!
//! Only one works at it at a time. It must not know the switches: what it is to do, it is told.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::BankError;
use super::book::{Book, Delivery, Event, Payment, Taken};
use super::decision::{self, Decision};
use super::money;
use super::payment_file::{self, PaymentFile, Refusal};
use super::pickup::{Filed, Places};
use super::response;
use crate::faults::Respond;

/// The largest payment file that the bank reads, in bytes.
pub(super) const FILE_LIMIT: u64 = 256 * 1024 * 1024;

/// What only one may touch at a time: the book and the deliveries in hand.
pub(super) struct Desk {
    book: Book,
    unfinished: BTreeMap<u64, Delivery>,
}

/// What `POST /bank/respond-rest` did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RestAnswered {
    pub(super) files: usize,
    pub(super) lines: usize,
}

impl Desk {
    /// Sits down with an open book and what it says is unfinished, and brings to the archive what a crash left on the
    /// way there.
    pub(super) fn open(book: Book, unfinished: BTreeMap<u64, Delivery>, places: &Places) -> Result<Self, BankError> {
        let mut desk = Self { book, unfinished };
        desk.recover(places)?;
        Ok(desk)
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// Finishes the move to the archive that a crash interrupted. The archive name was free when it was written down,
    /// so a file under it is this delivery; whatever lies in `outgoing/` beside it has arrived since.
    fn recover(&mut self, places: &Places) -> Result<(), BankError> {
        let interrupted: Vec<Taken> = self
            .unfinished
            .values()
            .filter(|delivery| !delivery.archived)
            .map(|delivery| delivery.taken.clone())
            .collect();
        for taken in interrupted {
            if places.is_archived(&taken.archived_as).map_err(BankError::io("could not look into the archive"))? {
                self.note_archived(taken.delivery)?;
            } else if is_waiting(places, &taken) {
                self.archive(places, &taken)?;
            } else {
                self.note_vanished(&taken)?;
            }
        }
        Ok(())
    }

    /// Takes one waiting file through booking and archiving, or refuses it whole. A file that cannot be read stays.
    pub(super) fn take(
        &mut self,
        places: &Places,
        name: &str,
        reject_percent: u8,
        now: DateTime<Utc>,
    ) -> Result<(), BankError> {
        let bytes = match places.read(name, FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(file = name, error = %error, "a waiting file could not be read; it is tried again");
                return Ok(());
            }
        };
        let parsed = match &bytes {
            Some(bytes) => payment_file::parse(name, bytes),
            None => Err(Refusal::TooLarge { limit: FILE_LIMIT }),
        };
        let sha256 = sha256(bytes.as_deref().unwrap_or_default());
        match parsed {
            Ok(file) => {
                let taken = Taken {
                    delivery: self.book.next_delivery(),
                    file: name.to_owned(),
                    sha256,
                    archived_as: places.archive_name(name).map_err(BankError::io("could not look into the archive"))?,
                    reject_percent,
                    at: now,
                };
                self.pay(&taken, &file)?;
                self.archive(places, &taken)
            }
            Err(refusal) => self.refuse(places, name, sha256, &refusal),
        }
    }

    /// Makes the payments of a delivery: from here on the money has moved.
    pub(super) fn pay(&mut self, taken: &Taken, file: &PaymentFile) -> Result<(), BankError> {
        let started = Instant::now();
        let payments: Vec<Payment<'_>> = file
            .payments
            .iter()
            .filter(|line| decision::decide(line, file.decimals, taken.reject_percent) == Decision::Pay)
            .map(|line| Payment {
                payment_ref: line.payment_ref.as_str().into(),
                file: taken.file.as_str().into(),
                line: line.line_no,
                debit_account: line.debit_account.as_str().into(),
                beneficiary_account: line.beneficiary_account.as_str().into(),
                amount: money::format(line.minor, file.decimals).into(),
                currency: file.currency.as_str().into(),
                bank_reference: response::bank_reference(taken.delivery, line.line_no).into(),
                paid_at: taken.at,
            })
            .collect();
        let rejected = file.payments.len() - payments.len();
        self.book.record(taken, &payments, u64::try_from(rejected).unwrap_or(u64::MAX))?;
        self.unfinished.insert(taken.delivery, Delivery::new(taken.clone()));
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            file = taken.file,
            delivery = taken.delivery,
            paid = payments.len(),
            rejected,
            took_us,
            "payment file booked"
        );
        Ok(())
    }

    pub(super) fn archive(&mut self, places: &Places, taken: &Taken) -> Result<(), BankError> {
        match places
            .archive(&taken.file, &taken.archived_as)
            .map_err(BankError::io("could not move a paid file to the archive"))?
        {
            Filed::Archived => self.note_archived(taken.delivery),
            Filed::Gone => self.note_vanished(taken),
        }
    }

    fn note_archived(&mut self, delivery: u64) -> Result<(), BankError> {
        self.book.note(&Event::Archived { delivery })?;
        self.unfinished.entry(delivery).and_modify(|delivery| delivery.archived = true);
        Ok(())
    }

    fn note_vanished(&mut self, taken: &Taken) -> Result<(), BankError> {
        tracing::error!(
            file = taken.file,
            "a paid file was taken away before it was archived; it stays without an answer"
        );
        self.book.note(&Event::Vanished { delivery: taken.delivery })?;
        self.unfinished.remove(&taken.delivery);
        Ok(())
    }

    fn refuse(&mut self, places: &Places, name: &str, sha256: String, refusal: &Refusal) -> Result<(), BankError> {
        if places.is_fresh(name).unwrap_or(true) {
            return Ok(());
        }
        places.refuse(name).map_err(BankError::io("could not move a refused file away"))?;
        tracing::warn!(file = name, reason = %refusal, "payment file refused, nothing paid");
        self.book.note(&Event::Refused { file: name.to_owned(), sha256, reason: refusal.to_string() })
    }

    /// Answers the archived deliveries that were paid at `paid_by` or earlier and have no answer.
    pub(super) fn answer_due(
        &mut self,
        places: &Places,
        paid_by: DateTime<Utc>,
        respond: Respond,
    ) -> Result<(), BankError> {
        let is_due =
            |delivery: &&Delivery| delivery.archived && delivery.answered.is_none() && delivery.taken.at <= paid_by;
        let due: Vec<Taken> = self.unfinished.values().filter(is_due).map(|delivery| delivery.taken.clone()).collect();
        for taken in due {
            let Some(file) = self.read_archived(places, &taken)? else { continue };
            for answer in response::answer(&taken, &file, respond) {
                publish(places, &taken, &answer)?;
            }
            self.book.note(&Event::Answered { delivery: taken.delivery, respond })?;
            if respond.owes_something() {
                self.unfinished.entry(taken.delivery).and_modify(|delivery| delivery.answered = Some(respond));
            } else {
                self.unfinished.remove(&taken.delivery);
            }
        }
        Ok(())
    }

    pub(super) fn respond_rest(&mut self, places: &Places) -> Result<RestAnswered, BankError> {
        let owing = |delivery: &Delivery| delivery.answered.map(|respond| (delivery.taken.clone(), respond));
        let owed: Vec<(Taken, Respond)> = self.unfinished.values().filter_map(owing).collect();
        let mut done = RestAnswered::default();
        for (taken, respond) in owed {
            let Some(file) = self.read_archived(places, &taken)? else { continue };
            if let Some((answer, lines)) = response::rest(&taken, &file, respond) {
                publish(places, &taken, &answer)?;
                done.files += 1;
                done.lines += lines;
            }
            self.book.note(&Event::RestAnswered { delivery: taken.delivery })?;
            self.unfinished.remove(&taken.delivery);
        }
        Ok(done)
    }

    /// The paid file again, as it was paid. `None` if somebody has touched the archive: then there is no answer.
    fn read_archived(&mut self, places: &Places, taken: &Taken) -> Result<Option<PaymentFile>, BankError> {
        let untouched = places.read_archived(&taken.archived_as).ok().filter(|bytes| sha256(bytes) == taken.sha256);
        let file = untouched.and_then(|bytes| payment_file::parse(&taken.file, &bytes).ok());
        if file.is_none() {
            self.note_vanished(taken)?;
        }
        Ok(file)
    }
}

fn publish(places: &Places, taken: &Taken, answer: &[u8]) -> Result<(), BankError> {
    let response = places.publish(&taken.file, answer).map_err(BankError::io("could not publish a response file"))?;
    tracing::info!(file = taken.file, delivery = taken.delivery, response, "response file published");
    Ok(())
}

/// Whether the file of a booked delivery still lies where it was taken from.
fn is_waiting(places: &Places, taken: &Taken) -> bool {
    places.read(&taken.file, FILE_LIMIT).is_ok_and(|bytes| bytes.is_some_and(|bytes| sha256(&bytes) == taken.sha256))
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
