//! The client's side of the mapper API: asks for the addresses behind ids, and reads what was answered.
//!
//! A mapper says "not found" with the status `succ`. An id is resolved only by [`Outcome::Resolved`]; everything that
//! is definite and not that is a rejection, and everything that is not definite is asked again.

use chrono::{DateTime, Utc};
use gctb_domain::{FinancialAddress, ReasonCode};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::time;

/// Longest mapper code that is kept, in characters.
const CODE_CHARS_MAX: usize = 99;

/// One call of the synchronous resolve API. Resolving reads only, so a call may be repeated freely.
#[derive(Clone, Copy, Debug)]
pub struct ResolveCall<'a> {
    /// Our id of the message, unique per call.
    pub message_id: &'a str,
    /// Our id of the call's transaction.
    pub transaction_id: &'a str,
    /// Our id at the mapper.
    pub sender_id: &'a str,
    /// The mapper's id.
    pub receiver_id: &'a str,
    /// The time of the call.
    pub at: DateTime<Utc>,
}

/// What a mapper answered about one reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The address behind the id.
    Resolved(FinancialAddress),
    /// There is definitely no address that can be paid.
    Rejected {
        /// The code for the sender.
        code: ReasonCode,
        /// The mapper's own code, for the reason message; empty where it gave none.
        mapper_code: String,
    },
    /// The mapper has not decided yet: ask again.
    Again,
    /// The answer does not mention the reference: ask again.
    Missing,
}

/// Why an answer of the mapper cannot be used at all. Nothing is known about any reference then: ask again.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Not JSON of the shape that SPAR 2023 and 1.x give.
    #[error("the mapper's answer is not a resolve answer of G2P Connect 1.0.0")]
    Unreadable,
    /// An address as an object, or the later envelope.
    #[error("the mapper answers in the form of SPAR 2.x; this bridge speaks G2P Connect 1.0.0 (SPAR 2023 and 1.x)")]
    Version,
    /// The whole call was refused, without a word about its items.
    #[error("the mapper refused the whole call with the code {code:?}")]
    Refused {
        /// The mapper's header code, letters and punctuation of codes only.
        code: String,
    },
}

/// The body of a call about `items`, pairs of our reference and the id.
pub fn request(call: &ResolveCall<'_>, items: &[(&str, &FinancialAddress)]) -> Vec<u8> {
    let at = time::format(call.at);
    let asked = items.iter().map(|(reference_id, id)| Asked {
        reference_id,
        timestamp: &at,
        id: id.as_str(),
        // With the specification's default, yes_no, no address comes back.
        scope: "details",
        locale: "eng",
    });
    let request = Request {
        signature: "",
        header: RequestHeader {
            version: "1.0.0",
            message_id: call.message_id,
            message_ts: &at,
            action: "resolve",
            sender_id: call.sender_id,
            receiver_id: call.receiver_id,
            total_count: items.len(),
            is_msg_encrypted: false,
        },
        message: RequestMessage { transaction_id: call.transaction_id, resolve_request: asked.collect() },
    };
    serde_json::to_vec(&request).expect("writing to memory cannot fail, and every key is a string")
}

/// Reads an answer into one outcome per reference, in the order of the answer. Match them by reference only, see
/// [`by_reference`]: mappers change the order and leave items out.
///
/// # Errors
/// See [`ResolveError`]: nothing is known about any of the references then.
pub fn answer(body: &[u8]) -> Result<Vec<(String, Outcome)>, ResolveError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| ResolveError::Unreadable)?;
    if answer.response_header.is_some() || answer.response_body.is_some() {
        return Err(ResolveError::Version);
    }
    match answer.message.and_then(|message| message.resolve_response) {
        Some(items) => items.into_iter().map(|item| Ok((item.reference_id.clone(), outcome(item)?))).collect(),
        None => match answer.header {
            Some(header) if header.status.as_deref() == Some("rjct") => {
                Err(ResolveError::Refused { code: clean_code(header.status_reason_code) })
            }
            Some(_) | None => Err(ResolveError::Unreadable),
        },
    }
}

/// The outcomes in the order of the references that were `asked` about; [`Outcome::Missing`] where the answer is silent.
/// A reference that is answered twice in different ways is asked again: nobody may choose whom to pay.
pub fn by_reference(asked: &[&str], answered: Vec<(String, Outcome)>) -> Vec<Outcome> {
    let mut known: std::collections::HashMap<String, Outcome> = std::collections::HashMap::new();
    for (reference, outcome) in answered {
        let kept = match known.get(&reference) {
            Some(earlier) if *earlier != outcome => Outcome::Again,
            Some(_) | None => outcome,
        };
        known.insert(reference, kept);
    }
    asked.iter().map(|reference| known.get(*reference).cloned().unwrap_or(Outcome::Missing)).collect()
}

/// The rule of what counts as found (docs/protocols.md, mapper).
fn outcome(item: Answered) -> Result<Outcome, ResolveError> {
    let rejected =
        |code: Option<String>| Outcome::Rejected { code: ReasonCode::PayeeFaInvalid, mapper_code: clean_code(code) };
    let fa = match item.fa {
        Some(Fa::Text(text)) => text,
        Some(Fa::Object) => return Err(ResolveError::Version),
        None => String::new(),
    };
    let active = item
        .status_reason_code
        .as_deref()
        .is_none_or(|code| code.is_empty() || code == "succ.id.active" || code == "succ.fa.active");
    Ok(match item.status.as_str() {
        "succ" if active && !fa.is_empty() => {
            FinancialAddress::parse(&fa).map_or_else(|_| rejected(item.status_reason_code), Outcome::Resolved)
        }
        "succ" | "rjct" => rejected(item.status_reason_code),
        // rcvd and pdng; a word that nobody knows is not definite either.
        _ => Outcome::Again,
    })
}

/// The code as it may stand in a message to the sender and in a log: only what codes are made of.
fn clean_code(code: Option<String>) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    code.unwrap_or_default().chars().filter(allowed).take(CODE_CHARS_MAX).collect()
}

#[derive(Serialize)]
struct Request<'a> {
    signature: &'a str,
    header: RequestHeader<'a>,
    message: RequestMessage<'a>,
}

#[derive(Serialize)]
struct RequestHeader<'a> {
    version: &'a str,
    message_id: &'a str,
    message_ts: &'a str,
    action: &'a str,
    sender_id: &'a str,
    receiver_id: &'a str,
    total_count: usize,
    is_msg_encrypted: bool,
}

#[derive(Serialize)]
struct RequestMessage<'a> {
    transaction_id: &'a str,
    resolve_request: Vec<Asked<'a>>,
}

#[derive(Serialize)]
struct Asked<'a> {
    reference_id: &'a str,
    timestamp: &'a str,
    id: &'a str,
    scope: &'a str,
    locale: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    header: Option<AnswerHeader>,
    message: Option<AnswerMessage>,
    response_header: Option<IgnoredAny>,
    response_body: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AnswerHeader {
    status: Option<String>,
    status_reason_code: Option<String>,
}

#[derive(Deserialize)]
struct AnswerMessage {
    resolve_response: Option<Vec<Answered>>,
}

#[derive(Deserialize)]
struct Answered {
    reference_id: String,
    status: String,
    status_reason_code: Option<String>,
    fa: Option<Fa>,
}

/// An address in an answer: a text, or the object of SPAR 2.x.
enum Fa {
    Text(String),
    Object,
}

impl<'de> Deserialize<'de> for Fa {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FaVisitor)
    }
}

struct FaVisitor;

impl<'de> Visitor<'de> for FaVisitor {
    type Value = Fa;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a financial address")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Fa, E> {
        Ok(Fa::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fa, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Fa::Object)
    }
}

#[cfg(test)]
mod tests;
