//! What became of a callback: a word for the metric, and what the caller is answered.

use actix_web::http::StatusCode;

/// What became of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The ledger has it: news, or nothing new.
    Recorded,
    /// A balance was told.
    Balance,
    /// A balance was asked for and not told.
    BalanceUntold,
    /// No path of ours, or not the token.
    UnknownPath,
    /// From a network that nobody calls from.
    Elsewhere,
    /// The body broke off or took too long.
    Broken,
    /// Longer than the limit.
    TooLarge,
    /// Not what M-Pesa sends.
    Malformed,
    /// An amount that cannot be read.
    AmountUnreadable,
    /// No key of ours.
    NotOurs,
    /// The path names another payment than the body.
    OtherPayment,
    /// Another account than the one that pays.
    OtherAccount,
    /// A key of a payment that is not in this database.
    UnknownPayment,
    /// Another amount than was ordered.
    AmountDiffers,
    /// Another payee than was ordered.
    PayeeDiffers,
    /// Postgres takes no row with this in it, ever.
    RefusedByPostgres,
    /// Nothing can be committed now.
    Unavailable,
    /// Too many wait already.
    Busy,
    /// Its commit took too long.
    Late,
}

impl Outcome {
    /// The metric's label, and the kind of the exception that is kept.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Balance => "balance",
            Self::BalanceUntold => "balance_untold",
            Self::UnknownPath => "unknown_path",
            Self::Elsewhere => "elsewhere",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::AmountUnreadable => "amount_unreadable",
            Self::NotOurs => "not_ours",
            Self::OtherPayment => "other_payment",
            Self::OtherAccount => "other_account",
            Self::UnknownPayment => "unknown_payment",
            Self::AmountDiffers => "amount_differs",
            Self::PayeeDiffers => "payee_differs",
            Self::RefusedByPostgres => "refused_by_postgres",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Late => "late",
        }
    }

    /// A sentence for the person who looks at the exception.
    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Recorded => "the ledger has it",
            Self::Balance => "a balance was told",
            Self::BalanceUntold => "a balance was asked for and not told",
            Self::UnknownPath => "the callback's path is none of ours",
            Self::Elsewhere => "the callback came from a network that callbacks are not taken from",
            Self::Broken => "the callback broke off or took too long",
            Self::TooLarge => "the callback is larger than mpesa.answer_bytes_max",
            Self::Malformed => "the callback is not a result of M-Pesa",
            Self::AmountUnreadable => "the amount in the callback cannot be read",
            Self::NotOurs => "the callback names no payment of ours",
            Self::OtherPayment => "the callback's path and body name different payments",
            Self::OtherAccount => "the callback is about another account than the one that pays",
            Self::UnknownPayment => "the callback names a payment that this database does not know",
            Self::AmountDiffers => "the amount in the callback is not the one that was ordered",
            Self::PayeeDiffers => "the payee in the callback is not the one that was ordered",
            Self::RefusedByPostgres => "Postgres takes no row with this in it",
            Self::Unavailable => "nothing could be committed",
            Self::Busy => "too many callbacks waited",
            Self::Late => "the commit took too long",
        }
    }

    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Recorded | Self::Balance | Self::BalanceUntold => StatusCode::OK,
            Self::UnknownPath | Self::NotOurs | Self::UnknownPayment => StatusCode::NOT_FOUND,
            Self::Elsewhere => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken
            | Self::Malformed
            | Self::AmountUnreadable
            | Self::OtherPayment
            | Self::OtherAccount
            | Self::AmountDiffers
            | Self::PayeeDiffers
            | Self::RefusedByPostgres => StatusCode::BAD_REQUEST,
            Self::Unavailable | Self::Busy | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What is answered: the acknowledgement that Daraja expects, or the same form with another code.
    pub(super) fn body(self) -> &'static str {
        if self.status() == StatusCode::OK {
            r#"{"ResultCode":0,"ResultDesc":"Accepted"}"#
        } else {
            r#"{"ResultCode":1,"ResultDesc":"Not accepted"}"#
        }
    }
}
