//! The status request: which disbursements the sender asks about, and which page of them.
//!
//! A page is asked for with the specification's own `PaginationRequest`, as `pagination` inside `txnstatus_request`:
//! `{"page_size": 500, "page_number": 1}`, pages counted from 1. Without it a list of references is answered whole, as
//! OpenG2P's client expects, and a transaction is answered with its first page.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::header::{Header, WireHeader, check_id};
use crate::json::{self, ShapeError};
use crate::refusal::{HeaderCode, HeaderRefusal, Rejected};
use crate::text::{Object, Text};

/// The actions that a status request may carry: what clients send, and what the specification's enums list.
const ACTIONS: [&str; 7] = ["status", "search", "subscribe", "disburse", "on-disburse", "on-search", "txn-status"];

/// The original bridge's code for an `attribute_value` of the wrong type.
const WRONG_ATTRIBUTE_VALUE: &str = "GCTB-PMS-350";

/// Most references of one request that are kept in memory, whatever the settings say.
const HARD_REFERENCES_MAX: usize = 100_000;

const AT_VALUE: &str = "message.txnstatus_request.attribute_value";

/// Limits of status requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most references that one request may name.
    pub max_references: usize,
    /// Most disbursements on a page.
    pub max_page_size: u32,
    /// Disbursements on the page of a transaction when the sender names no page.
    pub default_page_size: u32,
}

/// A status request that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRequest<'a> {
    /// The header.
    pub header: Header<'a>,
    /// The `transaction_id` of the message, to be echoed; empty where the sender gave none.
    pub transaction_id: Cow<'a, str>,
    /// What is asked about.
    pub query: Query<'a>,
    /// The page. None: all references of the list.
    pub page: Option<Page>,
}

/// What a status request asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query<'a> {
    /// All disbursements of a transaction.
    Transaction(Cow<'a, str>),
    /// The disbursements with these references, each named once; the list may be empty.
    References(Vec<Cow<'a, str>>),
    /// All disbursements of the batch that we gave this correlation id.
    Correlation(Cow<'a, str>),
}

/// A page of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Disbursements per page, at least 1.
    pub size: u32,
    /// The page's number, from 1.
    pub number: u32,
}

impl Page {
    /// How many disbursements come before this page.
    pub const fn offset(self) -> u64 {
        // Both are u32, so the product fits.
        (self.number as u64 - 1) * self.size as u64
    }
}

/// Reads a status message.
///
/// # Errors
/// As for [`crate::disburse::read`].
pub fn read<'a>(body: &'a [u8], limits: &Limits) -> Result<StatusRequest<'a>, Rejected> {
    let Object(request) = json::parse::<Object<WireRequest<'a>>>(body)?;
    let (Object(header), Object(message)) = (request.header, request.message);
    header.check_ids()?;
    let transaction_id = message.transaction_id.map_or_else(Cow::default, |text| text.0);
    if !transaction_id.is_empty() {
        check_id("message.transaction_id", &transaction_id)?;
    }
    let sent_at = header.judge(&ACTIONS).map_err(|refusal| header.refuse(Some(&transaction_id), refusal))?;
    let Object(asked) = message
        .txnstatus_request
        .ok_or_else(|| ShapeError::at("message.txnstatus_request", "required, and missing; expected an object"))?;
    check_txn_type(&asked.txn_type.0).map_err(|fault| match fault {
        TypeFault::Unknown(shape) => Rejected::Shape(shape),
        TypeFault::NotSupported(refusal) => header.refuse(Some(&transaction_id), refusal),
    })?;
    let query = read_query(&asked.attribute_type.0, asked.attribute_value, limits)?;
    let page = match asked.pagination {
        Some(Object(page)) => Some(read_page(&page, limits)?),
        None => match query {
            Query::References(_) => None,
            Query::Transaction(_) | Query::Correlation(_) => Some(Page { size: limits.default_page_size, number: 1 }),
        },
    };
    Ok(StatusRequest { header: header.into_header(sent_at), transaction_id, query, page })
}

#[derive(Debug, Deserialize)]
struct WireRequest<'a> {
    #[serde(borrow, rename = "signature")]
    _signature: Option<Text<'a>>,
    #[serde(borrow)]
    header: Object<WireHeader<'a>>,
    #[serde(borrow)]
    message: Object<WireMessage<'a>>,
}

#[derive(Debug, Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    transaction_id: Option<Text<'a>>,
    /// Missing in an encrypted message, which is refused by its header.
    #[serde(borrow)]
    txnstatus_request: Option<Object<WireAsked<'a>>>,
}

#[derive(Debug, Deserialize)]
struct WireAsked<'a> {
    #[serde(borrow)]
    txn_type: Text<'a>,
    #[serde(borrow)]
    attribute_type: Text<'a>,
    #[serde(borrow)]
    attribute_value: AttributeValue<'a>,
    pagination: Option<Object<WirePage>>,
}

#[derive(Debug, Deserialize)]
struct WirePage {
    page_size: u32,
    page_number: u32,
}

enum TypeFault {
    Unknown(ShapeError),
    NotSupported(HeaderRefusal),
}

fn check_txn_type(txn_type: &str) -> Result<(), TypeFault> {
    match txn_type {
        "disburse" => Ok(()),
        "search" => {
            let message = "only transactions of the type disburse are kept: search is not supported";
            Err(TypeFault::NotSupported(HeaderRefusal::new(HeaderCode::ActionNotSupported, message)))
        }
        _ => Err(TypeFault::Unknown(ShapeError::at("message.txnstatus_request.txn_type", "expected disburse"))),
    }
}

fn read_query<'a>(attribute_type: &str, value: AttributeValue<'a>, limits: &Limits) -> Result<Query<'a>, ShapeError> {
    match attribute_type {
        "transaction_id" => one_id(value).map(Query::Transaction),
        "correlation_id" => one_id(value).map(Query::Correlation),
        "reference_id_list" => many_references(value, limits).map(Query::References),
        _ => Err(ShapeError::at(
            "message.txnstatus_request.attribute_type",
            "expected transaction_id, reference_id_list or correlation_id",
        )),
    }
}

fn one_id(value: AttributeValue<'_>) -> Result<Cow<'_, str>, ShapeError> {
    match value {
        AttributeValue::Text(id) => check_id(AT_VALUE, &id).map(|()| id),
        AttributeValue::List { .. } | AttributeValue::Other => Err(wrong_value("a string")),
    }
}

fn many_references<'a>(value: AttributeValue<'a>, limits: &Limits) -> Result<Vec<Cow<'a, str>>, ShapeError> {
    let (kept, count) = match value {
        AttributeValue::List { kept, count } => (kept, count),
        AttributeValue::Text(_) | AttributeValue::Other => return Err(wrong_value("a list")),
    };
    let limit = limits.max_references.min(HARD_REFERENCES_MAX);
    if count > limit {
        return Err(ShapeError::at(AT_VALUE, format!("expected at most {limit} references, found {count}")));
    }
    if let Some(place) = kept.iter().position(|text| text.0.contains('\0')) {
        return Err(ShapeError::at(&format!("{AT_VALUE}[{place}]"), "expected no control characters"));
    }
    let mut seen = HashSet::with_capacity(kept.len());
    Ok(kept.into_iter().map(|text| text.0).filter(|reference| seen.insert(reference.clone())).collect())
}

fn wrong_value(expected: &str) -> ShapeError {
    // The words are the original bridge's: its clients may look for them.
    ShapeError { code: WRONG_ATTRIBUTE_VALUE, message: format!("attribute_value is supposed to be {expected}.") }
}

fn read_page(page: &WirePage, limits: &Limits) -> Result<Page, ShapeError> {
    let at = "message.txnstatus_request.pagination";
    if !(1..=limits.max_page_size).contains(&page.page_size) {
        let expected = format!("expected a number from 1 to {}", limits.max_page_size);
        return Err(ShapeError::at(&format!("{at}.page_size"), expected));
    }
    if page.page_number == 0 {
        return Err(ShapeError::at(&format!("{at}.page_number"), "expected a number from 1"));
    }
    Ok(Page { size: page.page_size, number: page.page_number })
}

/// A value whose type depends on `attribute_type`, which may stand after it.
#[derive(Debug)]
enum AttributeValue<'a> {
    Text(Cow<'a, str>),
    /// At most [`HARD_REFERENCES_MAX`] texts are kept, the rest is counted.
    List {
        kept: Vec<Text<'a>>,
        count: usize,
    },
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for AttributeValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = AttributeValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(AttributeValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(AttributeValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < HARD_REFERENCES_MAX {
            match seq.next_element()? {
                Some(text) => kept.push(text),
                None => return Ok(AttributeValue::List { count: kept.len(), kept }),
            }
        }
        let mut count = kept.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(AttributeValue::List { kept, count })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(AttributeValue::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(AttributeValue::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(AttributeValue::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(AttributeValue::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(AttributeValue::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(AttributeValue::Other)
    }
}

#[cfg(test)]
mod tests;
