//! The digest that tells a repeated message from a changed one.
//!
//! It covers the parsed items as they were sent, in order: amounts in minor units and times in microseconds where they
//! can be read, else their text. It is independent of the header, the signature, white space, key order and settings,
//! so neither a new signature nor a changed default makes a retry look like another message.

use std::fmt;

use chrono::{DateTime, Utc};
use gctb_domain::Money;
use sha2::{Digest as _, Sha256};

use super::item::Sent;
use crate::time::TimeError;

/// The version of the rules by which [`Digest`] is computed; stored beside it, since only equal versions compare.
pub const DIGEST_VERSION: i16 = 1;

/// SHA-256 over the disbursements of a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

/// A digest in the making.
pub(super) struct Digesting {
    hash: Sha256,
    /// One buffer for all items: the hash is fed whole items instead of single fields.
    buffer: Vec<u8>,
}

impl Digesting {
    /// The digest of `items` items, each of which is to be fed.
    pub(super) fn new(items: usize) -> Self {
        let mut hash = Sha256::new();
        hash.update((items as u64).to_le_bytes());
        Self { hash, buffer: Vec::with_capacity(512) }
    }

    /// Feeds what was sent of one item, `money` and `time` being what could be read of it.
    pub(super) fn item(
        &mut self,
        sent: &Sent<'_>,
        money: Option<&Money>,
        time: Option<Result<DateTime<Utc>, TimeError>>,
    ) {
        self.buffer.clear();
        write_item(&mut self.buffer, sent, money, time);
        self.hash.update(&self.buffer);
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.hash.finalize().into())
    }
}

fn write_item(
    out: &mut Vec<u8>,
    sent: &Sent<'_>,
    money: Option<&Money>,
    time: Option<Result<DateTime<Utc>, TimeError>>,
) {
    // Every field is named, so that a new one breaks the build here.
    let Sent {
        reference,
        from_fa,
        to_fa,
        amount,
        currency,
        scheduled,
        payer_name,
        payee_name,
        note,
        purpose,
        instruction,
        locale,
    } = *sent;
    write_text(out, reference);
    write_text(out, from_fa);
    write_text(out, to_fa);
    match money {
        Some(money) => write_number(out, money.minor()),
        None => write_text(out, amount),
    }
    write_text(out, currency);
    match time {
        Some(Ok(time)) => write_number(out, time.timestamp_micros()),
        Some(Err(_)) | None => write_text(out, scheduled),
    }
    for field in [payer_name, payee_name, note, purpose, instruction, locale] {
        write_text(out, field);
    }
}

/// A tag tells the kinds apart and a length says where text ends, so that no two different items give the same bytes.
fn write_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => out.push(0),
        Some(text) => {
            out.push(1);
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: i64) {
    out.push(2);
    out.extend(number.to_le_bytes());
}
