//! The G2P Connect messages of `/mapper/sync/resolve`: what a request must have, and how an answer is written.
//!
//! It must not know what is answered, or why. Only what the mapper uses is read; the rest is left alone.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Why a request is not one. The code is that of the OpenG2P mapper; the message names no data.
#[derive(Debug)]
pub(crate) struct BadRequest {
    pub(crate) message: String,
}

impl BadRequest {
    pub(crate) const CODE: &str = "MPR-REQ-400";
}

/// A request that passed the mapper's checks.
pub(crate) struct Request {
    message_id: String,
    transaction_id: String,
    pub(crate) items: Vec<Item>,
}

/// One question of a request.
#[derive(Deserialize)]
pub(crate) struct Item {
    pub(crate) reference_id: String,
    /// Must be there; its value is not used.
    #[serde(rename = "timestamp")]
    _timestamp: String,
    pub(crate) id: Option<String>,
    pub(crate) fa: Option<String>,
    scope: Option<String>,
    locale: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    /// Must be there, and may be empty: this mapper does not check signatures.
    #[serde(rename = "signature")]
    _signature: String,
    header: Header,
    message: Message,
}

#[derive(Deserialize)]
struct Header {
    message_id: String,
    #[serde(rename = "message_ts")]
    _message_ts: String,
    action: String,
    #[serde(rename = "sender_id")]
    _sender_id: String,
    #[serde(rename = "total_count")]
    _total_count: u64,
}

#[derive(Deserialize)]
struct Message {
    transaction_id: String,
    resolve_request: Vec<Item>,
}

impl Request {
    /// Reads a body and checks what the mapper checks.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|error| BadRequest { message: unreadable(&error) })?;
        if envelope.header.action != "resolve" {
            return Err(BadRequest { message: "Received Invalid action in header for \"resolve\".".to_owned() });
        }
        Ok(Self {
            message_id: envelope.header.message_id,
            transaction_id: envelope.message.transaction_id,
            items: envelope.message.resolve_request,
        })
    }
}

/// Says where the body is wrong. Missing fields are named, since their names are not data; values are not repeated.
fn unreadable(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match missing {
        Some((field, _)) => format!("Invalid Input. The field {field} is required."),
        None => format!("Invalid Input at line {}, column {}.", error.line(), error.column()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Succ,
    Rjct,
    Pdng,
}

/// One item of the answer. Fields without a value are written as null, as the real mapper does.
#[derive(Serialize)]
pub(crate) struct Answer {
    reference_id: String,
    timestamp: String,
    id: Option<String>,
    fa: Option<String>,
    status: Status,
    status_reason_code: Option<&'static str>,
    status_reason_message: Option<&'static str>,
    additional_info: Option<()>,
    locale: Option<String>,
}

impl Answer {
    pub(crate) fn new(item: &Item, status: Status, code: Option<&'static str>, now: DateTime<Utc>) -> Self {
        Self {
            reference_id: item.reference_id.clone(),
            timestamp: stamp(now),
            id: item.id.clone(),
            fa: None,
            status,
            status_reason_code: code,
            status_reason_message: None,
            additional_info: None,
            locale: item.locale.clone(),
        }
    }

    /// Adds the address, if the item asked for details; otherwise the answer is a plain yes.
    pub(crate) fn with_fa(mut self, item: &Item, fa: String) -> Self {
        self.fa = (item.scope.as_deref() == Some("details")).then_some(fa);
        self
    }

    pub(crate) fn without_id(mut self, message: &'static str) -> Self {
        self.id = None;
        self.status_reason_message = Some(message);
        self
    }

    /// Whether the item did not find an active id or address.
    pub(crate) fn is_failure(&self) -> bool {
        let good = matches!(self.status_reason_code, None | Some("succ.id.active" | "succ.fa.active"));
        self.status != Status::Succ || !good
    }
}

/// The counts in the answer's header, taken before any fault touches the answer.
#[derive(Clone, Copy)]
pub(crate) struct Totals {
    asked: usize,
    completed: usize,
    all_rejected: bool,
}

impl Totals {
    pub(crate) fn of(items: &[Item], answers: &[Answer]) -> Self {
        Self {
            asked: items.len(),
            completed: answers.iter().filter(|answer| answer.status == Status::Succ).count(),
            all_rejected: !answers.is_empty() && answers.iter().all(|answer| answer.status == Status::Rjct),
        }
    }
}

#[derive(Serialize)]
struct AnswerEnvelope<'a> {
    signature: &'static str,
    header: AnswerHeader<'a>,
    message: AnswerMessage<'a>,
}

#[derive(Serialize)]
struct AnswerHeader<'a> {
    version: &'static str,
    message_id: &'a str,
    message_ts: String,
    /// The request's own verb: this mapper does not say `on-resolve`.
    action: &'static str,
    status: Status,
    status_reason_code: Option<&'static str>,
    total_count: usize,
    completed_count: usize,
    is_msg_encrypted: bool,
}

#[derive(Serialize)]
struct AnswerMessage<'a> {
    transaction_id: &'a str,
    correlation_id: String,
    resolve_response: &'a [Answer],
}

/// Writes the answer to a request.
pub(crate) fn render(request: &Request, answers: &[Answer], totals: Totals, now: DateTime<Utc>) -> Vec<u8> {
    let rejected = totals.all_rejected;
    let envelope = AnswerEnvelope {
        signature: "",
        header: AnswerHeader {
            version: "1.0.0",
            message_id: &request.message_id,
            message_ts: stamp(now),
            action: "resolve",
            status: if rejected { Status::Rjct } else { Status::Succ },
            status_reason_code: rejected.then_some("rjct.errors.too_many"),
            total_count: totals.asked,
            completed_count: totals.completed,
            is_msg_encrypted: false,
        },
        message: AnswerMessage {
            transaction_id: &request.transaction_id,
            correlation_id: format!("corr-{}", request.message_id),
            resolve_response: answers,
        },
    };
    // Writing plain structs of strings and numbers into memory has no way to fail.
    serde_json::to_vec(&envelope).expect("an answer of plain values is always JSON")
}

fn stamp(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}
