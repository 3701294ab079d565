//! The bank's book: a file of JSON lines, one per payment actually made, and the journal of the files they came in.
//!
//! A delivery (one arrival of one file) is booked as one group: a `taken` event, its payments, a `booked` event, then
//! fsync. A group without its `booked` line never happened: it is what a crash left, and is cut off when the book is
//! opened. The events after it (`archived`, `answered`, `rest_answered`) tell how far the bank came with the delivery,
//! so that the simulator's own crash is never mistaken for a second delivery, nor a second delivery for a crash.
//!
//! The book never asks whether a payment was made before. It must not know directories or responses.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::BankError;
use super::tally::Tally;
use crate::faults::Respond;

/// One payment actually made: a line of the book.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payment<'a> {
    #[serde(borrow)]
    pub(crate) payment_ref: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) file: Cow<'a, str>,
    /// `line_no` in that file.
    pub(crate) line: u64,
    #[serde(borrow)]
    pub(crate) debit_account: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) beneficiary_account: Cow<'a, str>,
    /// Text with the currency's decimals.
    #[serde(borrow)]
    pub(crate) amount: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) currency: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) bank_reference: Cow<'a, str>,
    pub(crate) paid_at: DateTime<Utc>,
}

/// The arrival of one file: all that its answer follows from, beside the file itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Counts the deliveries of this book from 1; part of every bank reference.
    pub(crate) delivery: u64,
    pub(crate) file: String,
    pub(crate) sha256: String,
    /// The name under which it will lie in the archive; free when the file was taken.
    pub(crate) archived_as: String,
    pub(crate) reject_percent: u8,
    /// When it was paid: `paid_at` and `processed_at` of all its lines.
    pub(crate) at: DateTime<Utc>,
}

/// A line of the journal. Its first field is `event`, which no payment has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A delivery's group begins.
    Taken(Taken),
    /// A delivery's group is complete: its payments are made.
    Booked { delivery: u64, payments: u64, rejected: u64 },
    /// The file lies in the archive.
    Archived { delivery: u64 },
    /// The response is published, in the way that was asked for.
    Answered { delivery: u64, respond: Respond },
    /// What an earlier answer owed is published.
    RestAnswered { delivery: u64 },
    /// Somebody took the file away before it was archived: it can no longer be answered.
    Vanished { delivery: u64 },
    /// A file was refused whole; nothing of it was paid.
    Refused { file: String, sha256: String, reason: String },
}

const EVENT_PREFIX: &[u8] = br#"{"event":"#;

/// A delivery that the bank has not finished with.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) taken: Taken,
    pub(crate) archived: bool,
    pub(crate) answered: Option<Respond>,
}

impl Delivery {
    pub(crate) fn new(taken: Taken) -> Self {
        Self { taken, archived: false, answered: None }
    }
}

/// The open book. One process holds it at a time.
pub(crate) struct Book {
    file: File,
    /// Where the next line goes.
    end: u64,
    next_delivery: u64,
    tally: Tally,
}

impl Book {
    /// Opens or makes the book, cuts off a group that a crash left unfinished, and counts the rest. Gives also the
    /// deliveries that were not finished, by number.
    pub(crate) fn open(path: &Path) -> Result<(Self, BTreeMap<u64, Delivery>), BankError> {
        let doing = BankError::io("could not open the bank's book");
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(doing)?;
        file.try_lock().map_err(|_| BankError::BookInUse)?;
        let reading = || BankError::io("could not read the bank's book");
        let end = settled_length(&mut BufReader::new(&file)).map_err(reading())?;
        let torn = file.metadata().map_err(reading())?.len().saturating_sub(end);
        if torn > 0 {
            tracing::warn!(bytes = torn, "the book ended in an unfinished group; it was cut off");
            file.set_len(end)
                .and_then(|()| file.sync_all())
                .map_err(BankError::io("could not cut off the book's unfinished end"))?;
        }
        let mut book = Self { file, end: 0, next_delivery: 1, tally: Tally::default() };
        let unfinished = book.replay(end)?;
        Ok((book, unfinished))
    }

    /// The number that the next delivery must have.
    pub(crate) fn next_delivery(&self) -> u64 {
        self.next_delivery
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Books a delivery whole: when this returns, its payments are made and on the disk.
    pub(crate) fn record(&mut self, taken: &Taken, payments: &[Payment<'_>], rejected: u64) -> Result<(), BankError> {
        let mut group = Vec::with_capacity(payments.len() * 320 + 512);
        let mut starts = Vec::with_capacity(payments.len());
        push_line(&mut group, &Event::Taken(taken.clone()));
        for payment in payments {
            starts.push(self.end + length(&group));
            push_line(&mut group, payment);
        }
        let booked = Event::Booked { delivery: taken.delivery, payments: length(payments), rejected };
        push_line(&mut group, &booked);
        self.append(&group)?;
        for (start, payment) in starts.into_iter().zip(payments) {
            self.tally.pay(start, payment);
        }
        self.tally.file(rejected);
        self.next_delivery = taken.delivery + 1;
        Ok(())
    }

    /// Appends a line to the journal and waits until it is on the disk.
    pub(crate) fn note(&mut self, event: &Event) -> Result<(), BankError> {
        let mut line = Vec::new();
        push_line(&mut line, event);
        self.append(&line)?;
        if let Event::Refused { .. } = event {
            self.tally.refuse();
        }
        Ok(())
    }

    /// The payments numbered from `offset` (from 0, in the order in which they were made), at most `limit`, as a JSON
    /// array.
    pub(crate) fn page(&self, offset: u64, limit: usize) -> Result<String, BankError> {
        let Some((start, skip)) = self.tally.seek(offset) else { return Ok("[]".to_owned()) };
        let mut seen = 0;
        self.collect(start, limit, |_| {
            seen += 1;
            seen > skip
        })
    }

    /// Every payment under one reference, as a JSON array; `limit` at most. Reads the book only if there is any.
    pub(crate) fn payments_of(&self, payment_ref: &str, limit: usize) -> Result<String, BankError> {
        let paid = usize::try_from(self.tally.times_paid(payment_ref)).unwrap_or(usize::MAX);
        // The reference is the first field of every payment, so a line need not be parsed to be known.
        let beginning = format!(r#"{{"payment_ref":{},"#, serde_json::Value::from(payment_ref));
        self.collect(0, paid.min(limit), |line| line.starts_with(beginning.as_bytes()))
    }

    /// Joins the payment lines from a byte position on that are wanted, until there are `limit`.
    fn collect(&self, start: u64, limit: usize, mut wanted: impl FnMut(&[u8]) -> bool) -> Result<String, BankError> {
        let mut array = Vec::from(b"[");
        let mut found = 0;
        let mut reader = self.reader(start, self.end)?;
        let mut line = Vec::new();
        while found < limit && read_line(&mut reader, &mut line)? {
            let payment = line.trim_ascii_end();
            if payment.starts_with(EVENT_PREFIX) || !wanted(payment) {
                continue;
            }
            if found > 0 {
                array.push(b',');
            }
            array.extend_from_slice(payment);
            found += 1;
        }
        array.push(b']');
        Ok(String::from_utf8_lossy(&array).into_owned())
    }

    fn replay(&mut self, end: u64) -> Result<BTreeMap<u64, Delivery>, BankError> {
        let mut reader = self.reader(0, end)?;
        let mut unfinished = BTreeMap::new();
        let mut line = Vec::new();
        let mut number = 0;
        while read_line(&mut reader, &mut line)? {
            number += 1;
            let corrupt = |_| BankError::BookCorrupt { line: number };
            if line.starts_with(EVENT_PREFIX) {
                self.replay_event(serde_json::from_slice(&line).map_err(corrupt)?, &mut unfinished);
            } else {
                self.tally.pay(self.end, &serde_json::from_slice(&line).map_err(corrupt)?);
            }
            self.end += length(&line);
        }
        Ok(unfinished)
    }

    fn replay_event(&mut self, event: Event, unfinished: &mut BTreeMap<u64, Delivery>) {
        match event {
            Event::Taken(taken) => {
                self.next_delivery = taken.delivery + 1;
                unfinished.insert(taken.delivery, Delivery::new(taken));
            }
            Event::Booked { rejected, .. } => self.tally.file(rejected),
            Event::Archived { delivery } => {
                unfinished.entry(delivery).and_modify(|delivery| delivery.archived = true);
            }
            Event::Answered { delivery, respond } if respond.owes_something() => {
                unfinished.entry(delivery).and_modify(|delivery| delivery.answered = Some(respond));
            }
            Event::Answered { delivery, .. } | Event::RestAnswered { delivery } | Event::Vanished { delivery } => {
                unfinished.remove(&delivery);
            }
            Event::Refused { .. } => self.tally.refuse(),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BankError> {
        if let Err(source) = self.file.write_all(bytes).and_then(|()| self.file.sync_data()) {
            // Half a group may be in the file. Should cutting it off fail too, the next start does it.
            self.file.set_len(self.end).ok();
            return Err(BankError::io("could not write to the bank's book")(source));
        }
        self.end += length(bytes);
        Ok(())
    }

    /// Reads whole lines from `start` up to `end`. The book is open for appending, so reading does not move writing.
    fn reader(&self, start: u64, end: u64) -> Result<impl BufRead + use<>, BankError> {
        let reading = || BankError::io("could not read the bank's book");
        let mut file = self.file.try_clone().map_err(reading())?;
        file.seek(SeekFrom::Start(start)).map_err(reading())?;
        Ok(BufReader::new(file.take(end.saturating_sub(start))))
    }
}

/// The length of the book without a group that was begun and not completed, or a line that was not.
fn settled_length(reader: &mut impl BufRead) -> std::io::Result<u64> {
    let (mut settled, mut end, mut in_group) = (0, 0, false);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        end += length(&line);
        let event = line.strip_prefix(EVENT_PREFIX).unwrap_or_default();
        if event.starts_with(br#""taken""#) {
            in_group = true;
        } else if event.starts_with(br#""booked""#) {
            in_group = false;
        }
        if !in_group {
            settled = end;
        }
        line.clear();
    }
    Ok(settled)
}

fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, BankError> {
    line.clear();
    let read = reader.read_until(b'\n', line).map_err(BankError::io("could not read the bank's book"))?;
    Ok(read > 0)
}

fn push_line(buffer: &mut Vec<u8>, value: &impl Serialize) {
    // Plain structs of strings, numbers and times into memory: there is nothing here that can fail.
    serde_json::to_writer(&mut *buffer, value).expect("a line of plain values is always JSON");
    buffer.push(b'\n');
}

fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
