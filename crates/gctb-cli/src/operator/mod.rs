//! What operators do. Each verb is a file; what they share is how to reach Postgres and Kafka, and who acts.

pub(crate) mod conflicts;
pub(crate) mod dead;
pub(crate) mod exceptions;
pub(crate) mod files;
pub(crate) mod migrate;
pub(crate) mod payments;
pub(crate) mod rail;
pub(crate) mod replay;
pub(crate) mod topics;

mod actor;
mod attempts;
mod held;
mod listing;
mod open_payment;
mod rail_exceptions;
pub(crate) mod reach;
mod time;

use gctb_domain::{BatchNo, RailKey, Seq};

use crate::sums::Sums;

/// The key that a rail knows an attempt by; nothing where nobody has tried.
fn key_of(batch_no: i64, seq: i32, attempt: i16) -> String {
    RailKey::new(BatchNo(batch_no), Seq(seq), attempt).map_or_else(|_| String::new(), |key| key.to_string())
}

/// An exact sum in units of its currency (KES 10.50).
fn sum_of(currency: &str, minor: i64) -> String {
    let mut sums = Sums::default();
    if sums.add_minor_total(currency, i128::from(minor)) {
        sums.to_string()
    } else {
        format!("{currency} {minor} in minor units")
    }
}

/// Says that a list was cut, where it was.
fn cut_notice(shown: usize, limit: u32) {
    if shown as u64 == u64::from(limit) {
        eprintln!("gctb: only the first {limit} were taken; take more with --limit.");
    }
}
