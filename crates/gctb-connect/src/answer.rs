//! The answers to senders, written from items straight into bytes: no tree of JSON values is built in between.

use std::fmt;

use chrono::{DateTime, Utc};
use gctb_domain::{G2pStatus, Money, ReasonCode};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::mode::Mode;
use crate::refusal::{HeaderCode, HeaderRefusal};
use crate::status::Page;
use crate::time;

/// The version of G2P Connect that answers name.
const VERSION: &str = "1.0.0";
/// Longest reason message, in characters (G2P Connect 1.0.0).
const REASON_CHARS_MAX: usize = 999;
/// About the length of an item in JSON, so that the buffer grows seldom.
const ITEM_BYTES_USUAL: usize = 400;

/// Whom an answer goes to, and from whom.
#[derive(Clone, Copy, Debug)]
pub struct To<'a> {
    /// The dialect of the sender.
    pub mode: Mode,
    /// The id of the message that is answered; echoed.
    pub message_id: &'a str,
    /// Who is answered.
    pub sender_id: &'a str,
    /// Our own id.
    pub bridge_id: &'a str,
    /// The time of the answer.
    pub at: DateTime<Utc>,
}

/// How many disbursements an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// All of them, on whichever page.
    pub total: u64,
    /// Those that are decided: paid, rejected, cancelled or returned.
    pub completed: u64,
}

/// An amount in an answer.
#[derive(Clone, Copy, Debug)]
pub enum Amount<'a> {
    /// It was understood, and is written with its currency's decimals.
    Exact(Money),
    /// It was not, and is echoed as it was stored.
    AsSent(&'a str),
}

/// What became of one disbursement.
#[derive(Clone, Copy, Debug)]
pub struct ItemStatus<'a> {
    /// The sender's reference.
    pub reference_id: &'a str,
    /// When it came to this status.
    pub at: DateTime<Utc>,
    /// The status.
    pub status: G2pStatus,
    /// Why it is rejected.
    pub reason: Option<ReasonCode>,
    /// The same in words.
    pub message: Option<&'a str>,
    /// The amount.
    pub amount: Option<Amount<'a>>,
    /// The payer's address.
    pub payer_fa: Option<&'a str>,
    /// The payer's name.
    pub payer_name: Option<&'a str>,
    /// The payee's address or id, as the sender knows it.
    pub payee_fa: Option<&'a str>,
    /// The payee's name.
    pub payee_name: Option<&'a str>,
    /// The currency.
    pub currency_code: Option<&'a str>,
    /// The language.
    pub locale: Option<&'a str>,
}

impl<'a> ItemStatus<'a> {
    /// The answer for a reference that this sender never sent. Only [`Mode::Spec`] names it.
    pub const fn unknown_reference(reference_id: &'a str, at: DateTime<Utc>) -> Self {
        Self {
            reference_id,
            at,
            status: G2pStatus::Rjct,
            reason: Some(ReasonCode::ReferenceIdInvalid),
            message: Some("unknown reference"),
            amount: None,
            payer_fa: None,
            payer_name: None,
            payee_fa: None,
            payee_name: None,
            currency_code: None,
            locale: None,
        }
    }
}

/// The answer to a disburse message that was taken, now or before. It is written item by item, so that a large one need
/// never be in memory as a whole.
#[derive(Clone, Debug)]
pub struct Disbursed {
    mode: Mode,
    begun: bool,
    time: FormattedTime,
}

impl Disbursed {
    /// What closes the list of items, the message and the answer.
    const END: &str = "]}}";

    /// Appends to `out` what stands before the items.
    ///
    /// `correlation_id` is our id of the batch; a status request may ask by it. It stands beside the specification's
    /// fields.
    pub fn begin(out: &mut Vec<u8>, to: &To<'_>, counts: Counts, transaction_id: &str, correlation_id: &str) -> Self {
        let header = header(to, disburse_action(to.mode), G2pStatus::Rcvd, None, counts);
        let message = DisburseMessage {
            transaction_id,
            correlation_id: Some(correlation_id),
            disbursements_status: Items { mode: to.mode, items: std::iter::empty() },
        };
        let whole = write(&Envelope { signature: "", header, message: Some(message) }, 0);
        // The items are the last thing of the last field.
        out.extend_from_slice(whole.strip_suffix(Self::END.as_bytes()).unwrap_or(&whole));
        Self { mode: to.mode, begun: false, time: FormattedTime::default() }
    }

    /// Appends one item.
    pub fn item(&mut self, out: &mut Vec<u8>, item: &ItemStatus<'_>) {
        if self.begun {
            out.push(b',');
        }
        self.begun = true;
        write_json(out, &WireItem::of(item, self.time.of(item.at), self.mode));
    }

    /// Appends what stands behind the items.
    pub fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(Self::END.as_bytes());
    }
}

/// The last time that was written: items of one answer mostly have the same.
#[derive(Clone, Debug, Default)]
struct FormattedTime(Option<(DateTime<Utc>, String)>);

impl FormattedTime {
    fn of(&mut self, at: DateTime<Utc>) -> &str {
        if self.0.as_ref().is_none_or(|(known, _)| *known != at) {
            self.0 = None;
        }
        &self.0.get_or_insert_with(|| (at, time::format(at))).1
    }
}

/// The answer to a disburse message that is refused as a whole.
pub fn disburse_refused(to: &To<'_>, transaction_id: Option<&str>, refusal: &HeaderRefusal) -> Vec<u8> {
    refused(to, disburse_action(to.mode), transaction_id, refusal)
}

/// The answer to a status message that is refused as a whole.
pub fn status_refused(to: &To<'_>, transaction_id: Option<&str>, refusal: &HeaderRefusal) -> Vec<u8> {
    refused(to, status_action(to.mode), transaction_id, refusal)
}

fn refused(to: &To<'_>, action: &'static str, transaction_id: Option<&str>, refusal: &HeaderRefusal) -> Vec<u8> {
    let header = header(to, action, G2pStatus::Rjct, Some(refusal), Counts { total: 0, completed: 0 });
    let message = transaction_id.map(|transaction_id| DisburseMessage {
        transaction_id,
        correlation_id: None,
        disbursements_status: Items { mode: to.mode, items: std::iter::empty() },
    });
    write(&Envelope { signature: "", header, message }, 0)
}

/// What a status answer is about.
#[derive(Clone, Copy, Debug)]
pub struct StatusOf<'a> {
    /// The `transaction_id` of the status message; echoed.
    pub transaction_id: &'a str,
    /// The transaction that the items belong to where one was asked about, else that of the status message.
    pub items_of: &'a str,
    /// Our id of the batch, or of this answer where the items may come from several batches.
    pub correlation_id: &'a str,
    /// The page that `items` are, if they are one.
    pub page: Option<Page>,
}

/// The answer to a status message.
pub fn status<'r>(
    to: &To<'_>,
    counts: Counts,
    of: &StatusOf<'_>,
    items: impl ExactSizeIterator<Item = ItemStatus<'r>> + Clone,
) -> Vec<u8> {
    let size = items.len();
    let header = header(to, status_action(to.mode), G2pStatus::Succ, None, counts);
    let items = Items { mode: to.mode, items };
    let (txn_type, txn_status) = match to.mode {
        Mode::OpenG2p => ("disburse", TxnStatus::Array(items)),
        Mode::Spec => {
            let message =
                DisburseMessage { transaction_id: of.items_of, correlation_id: None, disbursements_status: items };
            ("on-disburse", TxnStatus::Object(message))
        }
    };
    let pagination =
        of.page.map(|page| Pagination { page_size: page.size, page_number: page.number, total_count: counts.total });
    let message = StatusMessage {
        transaction_id: of.transaction_id,
        correlation_id: of.correlation_id,
        txnstatus_response: TxnStatusResponse { txn_type, txn_status, pagination },
    };
    write(&Envelope { signature: "", header, message: Some(message) }, size)
}

/// The body of an HTTP error: `{"errors":[{"code":…,"message":…}]}`.
pub fn error(code: &str, message: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Errors<'a> {
        errors: [OneError<'a>; 1],
    }
    #[derive(Serialize)]
    struct OneError<'a> {
        code: &'a str,
        message: &'a str,
    }
    write(&Errors { errors: [OneError { code, message }] }, 0)
}

const fn disburse_action(mode: Mode) -> &'static str {
    match mode {
        Mode::OpenG2p => "disburse",
        Mode::Spec => "on-disburse",
    }
}

const fn status_action(mode: Mode) -> &'static str {
    match mode {
        Mode::OpenG2p => "status",
        Mode::Spec => "on-disburse",
    }
}

fn header<'a>(
    to: &To<'a>,
    action: &'static str,
    status: G2pStatus,
    refusal: Option<&'a HeaderRefusal>,
    counts: Counts,
) -> AnswerHeader<'a> {
    AnswerHeader {
        version: VERSION,
        message_id: to.message_id,
        message_ts: time::format(to.at),
        action,
        status: status.as_str(),
        status_reason_code: refusal
            .map(|refusal| refusal.code)
            .filter(|code| to.mode == Mode::OpenG2p || code.is_of_the_specification())
            .map(HeaderCode::as_str),
        status_reason_message: refusal.map(|refusal| cut(&refusal.message)),
        total_count: counts.total,
        completed_count: counts.completed,
        sender_id: to.bridge_id,
        receiver_id: to.sender_id,
        is_msg_encrypted: false,
        meta: Empty {},
    }
}

fn cut(message: &str) -> &str {
    message.char_indices().nth(REASON_CHARS_MAX).map_or(message, |(end, _)| &message[..end])
}

fn write(answer: &impl Serialize, items: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024 + items * ITEM_BYTES_USUAL);
    write_json(&mut out, answer);
    out
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("writing to memory cannot fail, and every key is a string");
}

#[derive(Serialize)]
struct Envelope<'a, M> {
    signature: &'a str,
    header: AnswerHeader<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<M>,
}

#[derive(Serialize)]
struct AnswerHeader<'a> {
    version: &'a str,
    message_id: &'a str,
    message_ts: String,
    action: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason_message: Option<&'a str>,
    total_count: u64,
    completed_count: u64,
    sender_id: &'a str,
    receiver_id: &'a str,
    is_msg_encrypted: bool,
    meta: Empty,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct DisburseMessage<'a, I: Serialize> {
    transaction_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    disbursements_status: I,
}

#[derive(Serialize)]
struct StatusMessage<'a, I: Serialize> {
    transaction_id: &'a str,
    correlation_id: &'a str,
    txnstatus_response: TxnStatusResponse<'a, I>,
}

#[derive(Serialize)]
struct TxnStatusResponse<'a, I: Serialize> {
    txn_type: &'a str,
    txn_status: TxnStatus<'a, I>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TxnStatus<'a, I: Serialize> {
    Array(I),
    Object(DisburseMessage<'a, I>),
}

#[derive(Serialize)]
struct Pagination {
    page_size: u32,
    page_number: u32,
    total_count: u64,
}

/// Items that are written as they are produced.
struct Items<I> {
    mode: Mode,
    items: I,
}

impl<'r, I: Iterator<Item = ItemStatus<'r>> + Clone> Serialize for Items<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut time = FormattedTime::default();
        let mut list = serializer.serialize_seq(None)?;
        for item in self.items.clone() {
            list.serialize_element(&WireItem::of(&item, time.of(item.at), self.mode))?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct WireItem<'a> {
    reference_id: &'a str,
    timestamp: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_fa: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payee_fa: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payee_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
}

impl<'a> WireItem<'a> {
    fn of(item: &ItemStatus<'a>, timestamp: &'a str, mode: Mode) -> Self {
        let sendable = |code: &ReasonCode| match mode {
            Mode::OpenG2p => true,
            Mode::Spec => code.is_of_the_specification(),
        };
        Self {
            reference_id: item.reference_id,
            timestamp,
            status: item.status.as_str(),
            status_reason_code: item.reason.filter(sendable).map(ReasonCode::as_str),
            status_reason_message: item.message.map(cut),
            amount: item.amount,
            payer_fa: item.payer_fa,
            payer_name: item.payer_name,
            payee_fa: item.payee_fa,
            payee_name: item.payee_name,
            currency_code: item.currency_code,
            locale: item.locale,
        }
    }
}

impl Serialize for Amount<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: &dyn fmt::Display = match self {
            Self::Exact(money) => money,
            Self::AsSent(text) => text,
        };
        serializer.collect_str(text)
    }
}

#[cfg(test)]
mod tests;
