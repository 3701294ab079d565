//! The disburse request: a message with disbursements becomes a [`Batch`] whose items are each payable or refused.
//!
//! One bad item stops only itself (invariant I7); only a broken shape or a refused header stops the message.

mod derive;
mod digest;
mod item;
mod rules;
mod wire;

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use gctb_domain::ReasonCode;

pub use digest::{DIGEST_VERSION, Digest};
pub use item::{Disbursement, Payable, Refusal};
pub use rules::{HARD_DISBURSEMENTS_MAX, Rules};

use crate::header::{Header, check_id};
use crate::json::{self, ShapeError};
use crate::refusal::{HeaderCode, HeaderRefusal, Rejected};
use crate::text::Object;
use wire::{WireItems, WireRequest};

/// The actions that a disburse request may carry: the endpoint's own, and the one that the specification's enum for the
/// synchronous endpoint lists by mistake.
const ACTIONS: [&str; 2] = ["disburse", "search"];

/// A disburse message that was taken.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The header.
    pub header: Header<'a>,
    /// The sender's id of the transaction; derived from the sender and message id where the sender gave none, so that
    /// a repeated message finds itself.
    pub transaction_id: Cow<'a, str>,
    /// What tells a repeated message from a changed one.
    pub digest: Digest,
    /// The disbursements in the order in which they were sent.
    pub items: Vec<Disbursement<'a>>,
}

/// Reads a disburse message that arrived at `received_at`.
///
/// # Errors
/// [`Rejected::Shape`] for bytes that are no JSON or lack what every message must have, [`Rejected::Refused`] where the
/// header's content, encryption or the number of disbursements forbids to take it.
pub fn read<'a>(body: &'a [u8], rules: &Rules, received_at: DateTime<Utc>) -> Result<Batch<'a>, Rejected> {
    let Object(request) = json::parse::<Object<WireRequest<'a>>>(body)?;
    let (Object(header), Object(message)) = (request.header, request.message);
    header.check_ids()?;
    let transaction_id = message.transaction_id.map(|text| text.0).filter(|id| !id.is_empty());
    if let Some(id) = &transaction_id {
        check_id("message.transaction_id", id)?;
    }
    let sent_at = header.judge(&ACTIONS).map_err(|refusal| header.refuse(transaction_id.as_deref(), refusal))?;
    let items = message
        .disbursements
        .ok_or_else(|| ShapeError::at("message.disbursements", "required, and missing; expected an array"))?;
    check_count(&items, rules).map_err(|fault| match fault {
        CountFault::Empty(shape) => Rejected::Shape(shape),
        CountFault::TooMany(refusal) => header.refuse(transaction_id.as_deref(), refusal),
    })?;

    let digest = Digest::of(&items.kept);
    let header = header.into_header(sent_at);
    let transaction_id =
        transaction_id.unwrap_or_else(|| Cow::Owned(derive::transaction_id(&header.sender_id, &header.message_id)));
    let reference_namespace = derive::reference_namespace(&header.sender_id, &transaction_id);
    let mut disbursements: Vec<Disbursement<'a>> = (0..)
        .zip(items.kept)
        .map(|(seq, Object(item))| Disbursement::judge(seq, item, &reference_namespace, rules, received_at))
        .collect();
    refuse_duplicates(&mut disbursements);
    Ok(Batch { header, transaction_id, digest, items: disbursements })
}

enum CountFault {
    Empty(ShapeError),
    TooMany(HeaderRefusal),
}

fn check_count(items: &WireItems<'_>, rules: &Rules) -> Result<(), CountFault> {
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
fn refuse_duplicates(items: &mut [Disbursement<'_>]) {
    let mut bearers: HashMap<&str, u32> = HashMap::with_capacity(items.len());
    for item in items.iter() {
        *bearers.entry(&item.reference_id).or_default() += 1;
    }
    if bearers.len() == items.len() {
        return;
    }
    let duplicated: Vec<bool> = items.iter().map(|item| bearers[&*item.reference_id] > 1).collect();
    for (item, _) in items.iter_mut().zip(duplicated).filter(|(_, duplicated)| *duplicated) {
        let invalid = item.verdict.as_ref().is_err_and(|refusal| refusal.code == ReasonCode::ReferenceIdInvalid);
        if !invalid {
            let message = "the reference occurs more than once in the message; none of its bearers is paid";
            item.verdict = Err(Refusal::new(ReasonCode::ReferenceIdDuplicate, message));
        }
    }
}

#[cfg(test)]
mod tests;
