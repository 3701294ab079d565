//! The digest that tells a repeated message from a changed one.
//!
//! It covers the parsed items as they were sent, in order: amounts in minor units and times in microseconds where they
//! can be read, else their text. It is independent of the header, the signature, white space, key order and settings,
//! so neither a new signature nor a changed default makes a retry look like another message.

use std::fmt;

use gctb_domain::{Currency, Money};
use sha2::{Digest as _, Sha256};

use super::wire::WireItem;
use crate::text::{Object, Text};
use crate::time;

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

impl Digest {
    pub(super) fn of(items: &[Object<WireItem<'_>>]) -> Self {
        let mut hash = Sha256::new();
        hash.update((items.len() as u64).to_le_bytes());
        // One buffer for all items: the hash is fed whole items instead of single fields.
        let mut buffer = Vec::with_capacity(512);
        for Object(item) in items {
            buffer.clear();
            write_item(&mut buffer, item);
            hash.update(&buffer);
        }
        Self(hash.finalize().into())
    }
}

fn write_item(out: &mut Vec<u8>, item: &WireItem<'_>) {
    // Every field is named, so that a new one breaks the build here.
    let WireItem {
        reference_id,
        payer_fa,
        payee_fa,
        amount,
        currency_code,
        scheduled_timestamp,
        payer_name,
        payee_name,
        note,
        purpose,
        instruction,
        locale,
    } = item;
    // An empty reference or payer means the same as none.
    write_text(out, said(reference_id).filter(|text| !text.is_empty()));
    write_text(out, said(payer_fa).filter(|text| !text.is_empty()));
    write_text(out, said(payee_fa));
    match money(said(amount), said(currency_code)) {
        Some(money) => write_number(out, money.minor()),
        None => write_text(out, said(amount)),
    }
    write_text(out, said(currency_code));
    match said(scheduled_timestamp).map(|text| (text, time::parse(text))) {
        Some((_, Ok(time))) => write_number(out, time.timestamp_micros()),
        Some((text, Err(_))) => write_text(out, Some(text)),
        None => write_text(out, None),
    }
    for field in [payer_name, payee_name, note, purpose, instruction, locale] {
        write_text(out, said(field));
    }
}

fn said<'t>(field: &'t Option<Text<'_>>) -> Option<&'t str> {
    field.as_ref().map(|text| &*text.0)
}

fn money(amount: Option<&str>, currency: Option<&str>) -> Option<Money> {
    Money::parse(amount?, Currency::parse(currency?).ok()?).ok()
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
