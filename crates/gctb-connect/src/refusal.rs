//! Why a whole message is not taken: its shape is broken, or its header is refused by a code of the specification.

use std::fmt;

use crate::json::ShapeError;

/// A message that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// It is not JSON of the right shape: HTTP 400, and nobody knows whom to answer in the specification's form.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// It can be read, and is refused.
    #[error("the message is refused")]
    Refused(Box<RefusedMessage>),
}

/// What is needed to answer a refused message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedMessage {
    /// The sender's id of the message.
    pub message_id: String,
    /// Who sent it.
    pub sender_id: String,
    /// The transaction it was about, where it said so.
    pub transaction_id: Option<String>,
    /// Why it is refused.
    pub refusal: HeaderRefusal,
}

/// A refusal of a whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRefusal {
    /// The code.
    pub code: HeaderCode,
    /// One sentence that says what was expected; it names limits, never the sender's data.
    pub message: String,
}

impl HeaderRefusal {
    /// A refusal by `code`, explained by `message`.
    pub fn new(code: HeaderCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A reason code for a whole message: those of G2P Connect 1.0.0 (`MsgCallbackHeader.status_reason_code`) that a message
/// can reach here, and one of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderCode {
    /// A version that is not 1.x.x.
    VersionInvalid,
    /// Another message of the sender has this message id.
    MessageIdDuplicate,
    /// The message's time cannot be read.
    MessageTsInvalid,
    /// The action is empty.
    ActionInvalid,
    /// An action, or a way of sending, that this endpoint does not do.
    ActionNotSupported,
    /// A negative count.
    TotalCountInvalid,
    /// More disbursements than one message may have.
    TotalCountLimitExceeded,
    /// The transaction was accepted before with other disbursements. An extension: the specification has no code for
    /// it, so a client in specification mode is sent the words alone.
    TransactionIdDuplicate,
}

impl HeaderCode {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::VersionInvalid,
        Self::MessageIdDuplicate,
        Self::MessageTsInvalid,
        Self::ActionInvalid,
        Self::ActionNotSupported,
        Self::TotalCountInvalid,
        Self::TotalCountLimitExceeded,
        Self::TransactionIdDuplicate,
    ];

    /// Whether G2P Connect lists it. A client in specification mode is not sent the others.
    pub const fn is_of_the_specification(self) -> bool {
        match self {
            Self::VersionInvalid
            | Self::MessageIdDuplicate
            | Self::MessageTsInvalid
            | Self::ActionInvalid
            | Self::ActionNotSupported
            | Self::TotalCountInvalid
            | Self::TotalCountLimitExceeded => true,
            Self::TransactionIdDuplicate => false,
        }
    }

    /// The code on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VersionInvalid => "rjct.version.invalid",
            Self::MessageIdDuplicate => "rjct.message_id.duplicate",
            Self::MessageTsInvalid => "rjct.message_ts.invalid",
            Self::ActionInvalid => "rjct.action.invalid",
            Self::ActionNotSupported => "rjct.action.not_supported",
            Self::TotalCountInvalid => "rjct.total_count.invalid",
            Self::TotalCountLimitExceeded => "rjct.total_count.limit_exceeded",
            Self::TransactionIdDuplicate => "rjct.transaction_id.duplicate",
        }
    }
}

impl fmt::Display for HeaderCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
