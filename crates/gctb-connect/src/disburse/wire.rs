//! The disburse request as it stands in the JSON; unknown keys (`meta` and others) are passed over.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::item::Item;
use super::rules::HARD_DISBURSEMENTS_MAX;
use crate::header::WireHeader;
use crate::json::{self, ShapeError};
use crate::text::{Object, Text};

/// The request; `D` is how its disbursements are read.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
pub(super) struct WireRequest<'a, D> {
    /// Any text; nothing is verified yet, and senders put dummies here.
    #[serde(borrow, rename = "signature")]
    _signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) header: Object<WireHeader<'a>>,
    #[serde(borrow)]
    pub(super) message: Object<WireMessage<'a, D>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
pub(super) struct WireMessage<'a, D> {
    #[serde(borrow)]
    pub(super) transaction_id: Option<Text<'a>>,
    /// Missing in an encrypted message, which is refused by its header.
    pub(super) disbursements: Option<D>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct WireItem<'a> {
    #[serde(borrow)]
    pub(super) reference_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) payer_fa: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) payee_fa: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) amount: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) currency_code: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) scheduled_timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) payer_name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) payee_name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) note: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) purpose: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) instruction: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) locale: Option<Text<'a>>,
}

/// The disbursements as they are kept: at most [`HARD_DISBURSEMENTS_MAX`] of them, the rest is counted, so that memory
/// stays bounded before the count can be refused.
#[derive(Default)]
pub(super) struct Items {
    pub(super) kept: Vec<Item>,
    /// Texts that do not lie in the body.
    pub(super) beside: String,
    pub(super) count: usize,
}

/// The envelope of a message, its disbursements unread.
pub(super) fn read_envelope(body: &str) -> Result<WireRequest<'_, &RawValue>, ShapeError> {
    serde_json::from_str(body).map(|Object(request)| request).map_err(|error| fault(body, &error))
}

/// Reads the disbursements one by one: each is parsed and kept before the next, so that they are never all parsed.
pub(super) fn read_items(body: &str, array: &RawValue) -> Result<Items, ShapeError> {
    let mut items = Items::default();
    serde_json::Deserializer::from_str(array.get())
        .deserialize_seq(EachItem(|item: WireItem<'_>| items.kept.push(Item::of(item, body, &mut items.beside))))
        .map(|count| items.count = count)
        .map_err(|error| fault(body, &error))?;
    Ok(items)
}

/// What is wrong with a message: it is read again for the path of the fault, nothing of it being kept.
fn fault(body: &str, first: &serde_json::Error) -> ShapeError {
    json::fault::<Object<WireRequest<'_, CheckedItems>>>(body.as_bytes(), first)
}

/// An array of disbursements that is read for its faults alone.
struct CheckedItems;

impl<'de> Deserialize<'de> for CheckedItems {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EachItem(|_: WireItem<'de>| ())).map(|_| Self)
    }
}

/// Hands each of the first [`HARD_DISBURSEMENTS_MAX`] disbursements over, and gives the number of all.
struct EachItem<F>(F);

impl<'de, F: FnMut(WireItem<'de>)> Visitor<'de> for EachItem<F> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while count < HARD_DISBURSEMENTS_MAX {
            match seq.next_element()? {
                Some(Object(item)) => self.0(item),
                None => return Ok(count),
            }
            count += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}
