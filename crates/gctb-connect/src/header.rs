//! The header that every request carries, and the checks that refuse a message by a code of the specification.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::json::ShapeError;
use crate::refusal::{HeaderCode, HeaderRefusal, RefusedMessage, Rejected};
use crate::text::{Text, is_plain};
use crate::time;

/// Longest message id, sender id and transaction id, in characters (G2P Connect 1.0.0 gives 99 for transactions).
pub(crate) const ID_CHARS_MAX: usize = 99;

/// The header as it stands in the message.
#[derive(Debug, Deserialize)]
pub(crate) struct WireHeader<'a> {
    #[serde(borrow)]
    version: Option<Text<'a>>,
    #[serde(borrow)]
    message_id: Text<'a>,
    #[serde(borrow)]
    message_ts: Text<'a>,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    sender_id: Text<'a>,
    total_count: Option<i64>,
    is_msg_encrypted: Option<bool>,
}

/// The header of a message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The sender's id of this message, 1 to 99 characters without control characters.
    pub message_id: Cow<'a, str>,
    /// Who sent it, likewise. It is not proven: senders are not authenticated yet.
    pub sender_id: Cow<'a, str>,
    /// When the sender says that it wrote the message.
    pub sent_at: DateTime<Utc>,
}

impl Header<'_> {
    /// The same, borrowing from nothing.
    pub(crate) fn into_owned(self) -> Header<'static> {
        Header {
            message_id: Cow::Owned(self.message_id.into_owned()),
            sender_id: Cow::Owned(self.sender_id.into_owned()),
            sent_at: self.sent_at,
        }
    }
}

impl<'a> WireHeader<'a> {
    /// Checks that the ids can be stored and answered.
    pub(crate) fn check_ids(&self) -> Result<(), ShapeError> {
        check_id("header.message_id", &self.message_id.0)?;
        check_id("header.sender_id", &self.sender_id.0)
    }

    /// Takes the header, or refuses the message by the first code that applies.
    pub(crate) fn judge(&self, actions: &[&str]) -> Result<DateTime<Utc>, HeaderRefusal> {
        if let Some(version) = &self.version
            && !is_version_1(&version.0)
        {
            return Err(HeaderRefusal::new(
                HeaderCode::VersionInvalid,
                "header.version must be 1.x.x, for example 1.0.0",
            ));
        }
        let sent_at = time::parse(&self.message_ts.0)
            .map_err(|error| HeaderRefusal::new(HeaderCode::MessageTsInvalid, format!("header.message_ts: {error}")))?;
        if self.action.0.is_empty() {
            return Err(HeaderRefusal::new(HeaderCode::ActionInvalid, "header.action is empty"));
        }
        if !actions.contains(&&*self.action.0) {
            let known = actions.join(", ");
            let message = format!("header.action must be one of: {known}");
            return Err(HeaderRefusal::new(HeaderCode::ActionNotSupported, message));
        }
        if self.is_msg_encrypted == Some(true) {
            let message = "encrypted messages are not supported yet: send the message as plain JSON";
            return Err(HeaderRefusal::new(HeaderCode::ActionNotSupported, message));
        }
        if self.total_count.is_some_and(i64::is_negative) {
            return Err(HeaderRefusal::new(HeaderCode::TotalCountInvalid, "header.total_count must not be negative"));
        }
        Ok(sent_at)
    }

    pub(crate) fn into_header(self, sent_at: DateTime<Utc>) -> Header<'a> {
        Header { message_id: self.message_id.0, sender_id: self.sender_id.0, sent_at }
    }

    /// What a refusal needs to know of the message it answers.
    pub(crate) fn refuse(&self, transaction_id: Option<&str>, refusal: HeaderRefusal) -> Rejected {
        Rejected::Refused(Box::new(RefusedMessage {
            message_id: self.message_id.0.to_string(),
            sender_id: self.sender_id.0.to_string(),
            transaction_id: transaction_id.map(str::to_owned),
            refusal,
        }))
    }
}

/// An id of 1 to [`ID_CHARS_MAX`] characters without control characters.
pub(crate) fn check_id(path: &str, id: &str) -> Result<(), ShapeError> {
    if id.is_empty() || !is_plain(id, ID_CHARS_MAX) {
        let expected = format!("expected 1 to {ID_CHARS_MAX} characters without control characters");
        return Err(ShapeError::at(path, expected));
    }
    Ok(())
}

fn is_version_1(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    let numeric = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.as_slice(), ["1", minor, patch] if numeric(minor) && numeric(patch))
}
