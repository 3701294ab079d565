//! The disburse request: a message with disbursements becomes a [`Batch`] whose items are each payable or refused.
//!
//! One bad item stops only itself (invariant I7); only a broken shape or a refused header stops the message.

mod derive;
mod digest;
mod item;
mod rules;
mod texts;
mod wire;

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use gctb_domain::Currency;

pub use digest::{DIGEST_VERSION, Digest};
pub use item::{Disbursement, Payable, Refusal};
pub use rules::{HARD_DISBURSEMENTS_MAX, Rules};

use crate::header::{Header, check_id};
use crate::json::ShapeError;
use crate::refusal::{HeaderCode, HeaderRefusal, Rejected};
use crate::text::Object;
use digest::Digesting;
use item::{Item, Judge};
use texts::{BODY_BYTES_MAX, Texts};
use wire::Items;

/// The actions that a disburse request may carry: the endpoint's own, and the one that the specification's enum for the
/// synchronous endpoint lists by mistake.
const ACTIONS: [&str; 2] = ["disburse", "search"];

/// A disburse message that was taken. It keeps the message's body, in which the texts of its items lie.
pub struct Batch {
    /// The header.
    pub header: Header<'static>,
    /// The sender's id of the transaction; derived from the sender and message id where the sender gave none, so that
    /// a repeated message finds itself.
    pub transaction_id: String,
    /// What tells a repeated message from a changed one.
    pub digest: Digest,
    items: Vec<Item>,
    texts: Texts,
    refused: usize,
}

impl Batch {
    /// The disbursements from position `first` on, in the order in which they were sent.
    pub fn items_from(&self, first: usize) -> impl ExactSizeIterator<Item = Disbursement<'_>> + Clone {
        let first = first.min(self.items.len());
        // At most HARD_DISBURSEMENTS_MAX items, so that every position fits.
        let base = i32::try_from(first).unwrap_or(i32::MAX);
        self.items[first..].iter().enumerate().map(move |(n, item)| {
            let seq = base.saturating_add(i32::try_from(n).unwrap_or(i32::MAX));
            item.shown(seq, &self.texts)
        })
    }

    /// All disbursements.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Disbursement<'_>> + Clone {
        self.items_from(0)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// How many of them are refused.
    pub const fn refused(&self) -> usize {
        self.refused
    }
}

/// Shows numbers alone: the rest is personal data (invariant I9).
impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("digest", &self.digest)
            .field("items", &self.items.len())
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// Reads a disburse message that arrived at `received_at`, and keeps its body.
///
/// # Errors
/// [`Rejected::Shape`] for bytes that are no JSON or lack what every message must have, [`Rejected::Refused`] where the
/// header's content, encryption or the number of disbursements forbids to take it.
pub fn read(body: Vec<u8>, rules: &Rules, received_at: DateTime<Utc>) -> Result<Batch, Rejected> {
    let body = text_of(body)?;
    let request = wire::read_envelope(&body)?;
    let (Object(header), Object(message)) = (request.header, request.message);
    let items = message.disbursements.map(|array| wire::read_items(&body, array)).transpose()?;
    header.check_ids()?;
    let transaction_id = message.transaction_id.map(|text| text.0).filter(|id| !id.is_empty());
    if let Some(id) = &transaction_id {
        check_id("message.transaction_id", id)?;
    }
    let sent_at = header.judge(&ACTIONS).map_err(|refusal| header.refuse(transaction_id.as_deref(), refusal))?;
    let items =
        items.ok_or_else(|| ShapeError::at("message.disbursements", "required, and missing; expected an array"))?;
    check_count(&items, rules).map_err(|fault| match fault {
        CountFault::Empty(shape) => Rejected::Shape(shape),
        CountFault::TooMany(refusal) => header.refuse(transaction_id.as_deref(), refusal),
    })?;
    let transaction_id = transaction_id.map(Cow::into_owned);
    let header = header.into_header(sent_at).into_owned();
    Ok(judge(body, header, transaction_id, items, rules, received_at))
}

/// The body as text, which JSON is: RFC 8259 wants UTF-8.
fn text_of(body: Vec<u8>) -> Result<String, ShapeError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(ShapeError::at("the message", format!("expected at most {BODY_BYTES_MAX} bytes")));
    }
    String::from_utf8(body).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        ShapeError::at("the message", format!("not valid JSON: not UTF-8 at byte {at}"))
    })
}

fn judge(
    body: String,
    header: Header<'static>,
    transaction_id: Option<String>,
    items: Items,
    rules: &Rules,
    received_at: DateTime<Utc>,
) -> Batch {
    let transaction_id =
        transaction_id.unwrap_or_else(|| derive::transaction_id(&header.sender_id, &header.message_id));
    let Items { kept: mut items, beside, count: _ } = items;
    let mut texts = Texts::new(body, beside);
    let judge = Judge {
        rules,
        received_at,
        reference_namespace: derive::reference_namespace(&header.sender_id, &transaction_id),
        default_payer: rules.default_payer.as_ref().map(|fa| texts.add(fa.as_str())),
        default_currency: rules.default_currency.map(|currency| texts.add(Currency::code(currency))),
    };
    let mut digest = Digesting::new(items.len());
    for (seq, item) in (0..).zip(&mut items) {
        item.judge(seq, &mut texts, &judge, &mut digest);
    }
    refuse_duplicates(&mut items, &texts);
    let refused = items.iter().filter(|item| item.is_refused()).count();
    Batch { header, transaction_id, digest: digest.finish(), items, texts, refused }
}

enum CountFault {
    Empty(ShapeError),
    TooMany(HeaderRefusal),
}

fn check_count(items: &Items, rules: &Rules) -> Result<(), CountFault> {
    if items.count == 0 {
        let fault = ShapeError::at("message.disbursements", "expected at least one disbursement");
        return Err(CountFault::Empty(fault));
    }
    let limit = rules.max_disbursements.min(HARD_DISBURSEMENTS_MAX);
    if items.count > limit {
        let message = format!("message.disbursements has {} items, the limit is {limit}", items.count);
        return Err(CountFault::TooMany(HeaderRefusal::new(HeaderCode::TotalCountLimitExceeded, message)));
    }
    Ok(())
}

/// Refuses every bearer of a reference that occurs more than once: a reference has one answer, and nobody can tell
/// which of them the sender meant.
fn refuse_duplicates(items: &mut [Item], texts: &Texts) {
    let mut bearers: HashMap<&str, u32> = HashMap::with_capacity(items.len());
    for item in items.iter() {
        *bearers.entry(item.reference(texts)).or_default() += 1;
    }
    if bearers.len() == items.len() {
        return;
    }
    for item in items {
        if bearers[item.reference(texts)] > 1 {
            item.refuse_as_duplicate();
        }
    }
}

#[cfg(test)]
mod tests;
