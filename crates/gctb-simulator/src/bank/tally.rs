//! What the bank keeps in memory about its book: counts, sums, and how often each reference was paid.
//!
//! Made for a million payments: a short text and a counter for each, and one position per thousand lines. It must
//! not know files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use super::book::Payment;
use super::money;

/// Every how many payments the position of one is remembered.
const MARK_EVERY: u64 = 1000;

#[derive(Default)]
pub(crate) struct Tally {
    payments: u64,
    paid_twice: u64,
    same_beneficiary_and_amount: u64,
    files: u64,
    refused_files: u64,
    rejected: u64,
    /// Minor units by currency.
    sums: BTreeMap<String, i128>,
    times_paid: HashMap<Box<str>, u32>,
    /// By hash only: this count informs and decides nothing, so a collision does no harm.
    beneficiaries: HashSet<u64>,
    hasher: RandomState,
    /// Byte position in the book of every payment whose number is a multiple of [`MARK_EVERY`].
    marks: Vec<u64>,
}

/// The body of `GET /bank/summary`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Payments made.
    payments: u64,
    /// Payments beyond the first under their reference.
    paid_twice: u64,
    /// Payments beyond the first of the same amount into the same account. Not an error in itself.
    beneficiary_paid_twice: u64,
    /// Deliveries taken.
    files: u64,
    refused_files: u64,
    /// What was paid, by currency.
    sums: BTreeMap<String, String>,
    /// Payments rejected.
    rejected: u64,
}

impl Tally {
    /// Counts a payment whose line starts at byte `position` of the book.
    pub(crate) fn pay(&mut self, position: u64, payment: &Payment<'_>) {
        if self.payments.is_multiple_of(MARK_EVERY) {
            self.marks.push(position);
        }
        self.payments += 1;
        if let Some(times) = self.times_paid.get_mut(payment.payment_ref.as_ref()) {
            *times += 1;
            self.paid_twice += 1;
        } else {
            self.times_paid.insert(payment.payment_ref.as_ref().into(), 1);
        }
        let beneficiary = self.hasher.hash_one((&payment.beneficiary_account, &payment.amount, &payment.currency));
        if !self.beneficiaries.insert(beneficiary) {
            self.same_beneficiary_and_amount += 1;
        }
        self.add(&payment.currency, &payment.amount);
    }

    /// Counts a delivery, with the payments that were rejected in it.
    pub(crate) fn file(&mut self, rejected: u64) {
        self.files += 1;
        self.rejected += rejected;
    }

    /// Counts a file that was refused whole.
    pub(crate) fn refuse(&mut self) {
        self.refused_files += 1;
    }

    pub(crate) fn times_paid(&self, payment_ref: &str) -> u32 {
        self.times_paid.get(payment_ref).copied().unwrap_or(0)
    }

    /// Where to start reading the book for the payment with this number (from 0), and how many payments to skip there.
    /// `None` if the book does not reach that far.
    pub(crate) fn seek(&self, number: u64) -> Option<(u64, u64)> {
        let mark = usize::try_from(number / MARK_EVERY).ok()?;
        self.marks.get(mark).map(|position| (*position, number % MARK_EVERY))
    }

    pub(crate) fn summary(&self) -> Summary {
        let text = |(currency, minor): (&String, &i128)| (currency.clone(), money::format(*minor, decimals(currency)));
        Summary {
            payments: self.payments,
            paid_twice: self.paid_twice,
            beneficiary_paid_twice: self.same_beneficiary_and_amount,
            files: self.files,
            refused_files: self.refused_files,
            sums: self.sums.iter().map(text).collect(),
            rejected: self.rejected,
        }
    }

    fn add(&mut self, currency: &str, amount: &str) {
        let minor = money::parse(amount, decimals(currency)).unwrap_or(0);
        match self.sums.get_mut(currency) {
            Some(sum) => *sum += minor,
            None => {
                self.sums.insert(currency.to_owned(), minor);
            }
        }
    }
}

/// The book's currencies were checked when their file was taken.
fn decimals(currency: &str) -> usize {
    money::decimals_of(currency).unwrap_or(0)
}
