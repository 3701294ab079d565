//! What Daraja answers at once, to a payment or to a query: an acknowledgement, an error with a code, or something else.

use std::time::Duration;

use gctb_backend::Reply;
use gctb_domain::paying::Learnt;
use serde::Deserialize;

use super::json::Scalar;
use crate::codes::{self, Meaning};
use crate::http::Answer;
use crate::text;

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is in M-Pesa's queue, under this id of theirs.
    Queued {
        /// `ConversationID`.
        conversation: Option<String>,
    },
    /// Anything else.
    Other {
        /// What it means for a payment.
        meaning: Meaning,
        /// M-Pesa's code and our words, for people.
        message: String,
        /// How long M-Pesa asked to be left alone.
        retry_after: Option<Duration>,
    },
}

/// Every field that an answer of either kind may have; others are not looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(rename = "ResponseCode")]
    response_code: Option<Scalar>,
    #[serde(rename = "ConversationID")]
    conversation: Option<String>,
    #[serde(rename = "OriginatorConversationID")]
    originator: Option<String>,
    #[serde(rename = "errorCode")]
    error_code: Option<Scalar>,
    #[serde(rename = "errorMessage")]
    error_message: Option<String>,
    fault: Option<Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
    detail: FaultDetail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FaultDetail {
    #[serde(rename = "errorcode")]
    code: String,
}

/// Reads an answer. `originator` is the key that a payment must be acknowledged under; a query has one of M-Pesa's own.
pub(super) fn read(answer: &Answer, originator: Option<&str>) -> Said {
    let Ok(body) = serde_json::from_slice::<Body>(&answer.body) else {
        return other(answer, codes::by_status(answer.status, "an answer that cannot be read"), None);
    };
    match (&body.response_code, &body.error_code, &body.fault) {
        (Some(code), None, None) => acknowledged(answer, code, &body, originator),
        (None, Some(code), None) => {
            let words = body.error_message.as_deref().unwrap_or_default();
            other(answer, codes::gateway(answer.status, &code.0, words), Some(&code.0))
        }
        (None, None, Some(fault)) => {
            other(answer, codes::fault(answer.status, &fault.detail.code), Some(short(&fault.detail.code)))
        }
        (None, None, None) => other(answer, codes::by_status(answer.status, "an answer without a code"), None),
        // Several at once contradict each other.
        (Some(_), _, _) | (_, Some(_), _) => other(answer, codes::CONTRADICTION, None),
    }
}

fn acknowledged(answer: &Answer, code: &Scalar, body: &Body, originator: Option<&str>) -> Said {
    let zeros = !code.0.is_empty() && code.0.bytes().all(|byte| byte == b'0');
    // An acknowledgement of something else says nothing about this one.
    let ours = match (originator, &body.originator) {
        (Some(sent), Some(echoed)) => sent == echoed,
        (Some(_), None) | (None, _) => true,
    };
    if answer.status == 200 && zeros && ours {
        let conversation = body.conversation.as_deref().and_then(text::reference);
        return Said::Queued { conversation };
    }
    other(answer, codes::NO_ACKNOWLEDGEMENT, Some(&code.0))
}

fn other(answer: &Answer, meaning: Meaning, code: Option<&str>) -> Said {
    let code = code.map_or_else(|| format!("HTTP {}", answer.status), |code| text::code(code).to_owned());
    Said::Other { meaning, message: format!("mpesa:{code} {}", meaning.words), retry_after: answer.retry_after }
}

/// The last part of a dotted name.
fn short(code: &str) -> &str {
    code.rsplit('.').next().unwrap_or_default()
}

/// A meaning as the reply to a payment.
pub(crate) fn reply(meaning: Meaning, message: String, slow_down: Option<Duration>) -> Reply {
    let refused = matches!(meaning.learnt, Learnt::Refused { .. });
    let mut reply = Reply::of(meaning.learnt, message);
    reply.reason = meaning.reason.filter(|_| refused);
    reply.hold = meaning.hold;
    reply.slow_down = slow_down;
    reply
}
