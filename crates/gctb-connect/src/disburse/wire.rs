//! The disburse request as it stands in the JSON; unknown keys (`meta` and others) are passed over.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::rules::HARD_DISBURSEMENTS_MAX;
use crate::header::WireHeader;
use crate::text::{Object, Text};

#[derive(Debug, Deserialize)]
pub(super) struct WireRequest<'a> {
    /// Any text; nothing is verified yet, and senders put dummies here.
    #[serde(borrow, rename = "signature")]
    _signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) header: Object<WireHeader<'a>>,
    #[serde(borrow)]
    pub(super) message: Object<WireMessage<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireMessage<'a> {
    #[serde(borrow)]
    pub(super) transaction_id: Option<Text<'a>>,
    /// Missing in an encrypted message, which is refused by its header.
    #[serde(borrow)]
    pub(super) disbursements: Option<WireItems<'a>>,
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

/// The array of disbursements. It keeps no more than [`HARD_DISBURSEMENTS_MAX`] and counts the rest, so that memory
/// stays bounded before the count can be refused.
#[derive(Debug)]
pub(super) struct WireItems<'a> {
    pub(super) kept: Vec<Object<WireItem<'a>>>,
    pub(super) count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for WireItems<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = WireItems<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < HARD_DISBURSEMENTS_MAX {
            match seq.next_element()? {
                Some(item) => kept.push(item),
                None => return Ok(WireItems { count: kept.len(), kept }),
            }
        }
        let mut count = kept.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(WireItems { kept, count })
    }
}
