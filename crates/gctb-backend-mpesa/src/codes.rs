//! What M-Pesa's codes mean for a payment: two closed tables, and nothing else.
//!
//! Sources: docs/protocols.md, "M-Pesa". A code that stands in no table, or comes with another HTTP status than it is known
//! with, teaches nothing: unknown is not failed (invariant I3).

use gctb_backend::Hold;
use gctb_domain::ReasonCode;
use gctb_domain::paying::Learnt;

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// About the payment.
    pub(crate) learnt: Learnt,
    /// What the sender is told where it was refused.
    pub(crate) reason: Option<ReasonCode>,
    /// That nobody else would be paid either.
    pub(crate) hold: Option<Hold>,
    /// That the rail wants to be left alone for a while.
    pub(crate) slow_down: bool,
    /// That the token was refused, and nothing else of the request was looked at.
    pub(crate) token_refused: bool,
    /// Our words for it: M-Pesa's own may name people.
    pub(crate) words: &'static str,
}

impl Meaning {
    const fn of(learnt: Learnt, words: &'static str) -> Self {
        Self { learnt, reason: None, hold: None, slow_down: false, token_refused: false, words }
    }

    /// Nobody knows.
    const fn nothing(words: &'static str) -> Self {
        Self::of(Learnt::Nothing, words)
    }

    /// Nobody knows, and the rail is busy.
    const fn busy(words: &'static str) -> Self {
        Self { slow_down: true, ..Self::nothing(words) }
    }

    /// This payee or this amount: another attempt has the same end.
    const fn refused(reason: ReasonCode, words: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::of(Learnt::Refused { again: false }, words) }
    }

    /// Our side: final for this key, no money moved, and everybody else would fare the same until a person has acted.
    const fn held(hold: Hold, reason: ReasonCode, words: &'static str) -> Self {
        Self { reason: Some(reason), hold: Some(hold), ..Self::of(Learnt::Refused { again: true }, words) }
    }

    /// The gateway turned the request away before M-Pesa could read it.
    const fn unread(words: &'static str) -> Self {
        Self::of(Learnt::NotSent, words)
    }

    /// As [`Meaning::unread`], for it has too much to do. These are policies of the gateway that run before a request is
    /// passed on, so nothing behind it has seen this one.
    const fn unread_busy(words: &'static str) -> Self {
        Self { slow_down: true, ..Self::unread(words) }
    }

    /// As [`Meaning::unread`], for it does not know our path or method.
    const fn unread_held(words: &'static str) -> Self {
        Self { hold: Some(Hold::NotPermitted), ..Self::unread(words) }
    }

    /// As [`Meaning::unread`], for the token. The gateway looks at it first of all.
    const fn unread_token(words: &'static str) -> Self {
        Self { token_refused: true, ..Self::unread(words) }
    }
}

/// The result codes of a payment, as callbacks carry them.
const RESULTS: [(&str, Meaning); 43] = {
    use Hold::{CredentialsRefused, Locked, NoFunds, NotPermitted};
    use ReasonCode::{AmountInvalid, PayeeFaInvalid, PayerFaInvalid, PaymentFailed};
    [
        ("0", Meaning::of(Learnt::Paid, "paid")),
        ("1", Meaning::held(NoFunds, PaymentFailed, "the payer's account is short of funds")),
        ("2", Meaning::refused(AmountInvalid, "the amount is below the rail's least")),
        ("3", Meaning::refused(AmountInvalid, "the amount is above the rail's limit")),
        ("4", Meaning::refused(AmountInvalid, "the payee's daily limit would be exceeded")),
        ("5", Meaning::held(NoFunds, PaymentFailed, "the payer's least balance would not be kept")),
        ("6", Meaning::held(NotPermitted, PayerFaInvalid, "the payer is not known")),
        ("7", Meaning::refused(PayeeFaInvalid, "the payee is not known")),
        ("8", Meaning::refused(AmountInvalid, "the payee's largest balance would be exceeded")),
        ("10", Meaning::held(NotPermitted, PayerFaInvalid, "the payer's account cannot be used")),
        ("11", Meaning::held(NotPermitted, PayerFaInvalid, "the payer's account is not active")),
        ("12", Meaning::refused(PayeeFaInvalid, "the payee's account cannot be used")),
        ("13", Meaning::held(NotPermitted, PayerFaInvalid, "the payer's account is not known")),
        ("14", Meaning::refused(PayeeFaInvalid, "the payee's account is not known")),
        // It has had this key before, and may have paid it then.
        ("15", Meaning::of(Learnt::Duplicate, "the rail has had this key before")),
        ("17", Meaning::nothing("an internal failure of the rail")),
        ("18", Meaning::held(CredentialsRefused, PaymentFailed, "the initiator's credential was refused")),
        ("19", Meaning::nothing("messages out of their order at the rail")),
        ("20", Meaning::held(CredentialsRefused, PaymentFailed, "the initiator is not known")),
        ("21", Meaning::held(NotPermitted, PaymentFailed, "the initiator may not pay")),
        ("22", Meaning::held(CredentialsRefused, PaymentFailed, "the initiator is not active")),
        ("24", Meaning::held(NotPermitted, PaymentFailed, "a field is missing in our request")),
        ("25", Meaning::held(NotPermitted, PaymentFailed, "a field of our request cannot be used")),
        // Said by what stands behind the gateway, after it took the request: that nothing came of it must be asked.
        ("26", Meaning::busy("the rail is busy")),
        ("29", Meaning::held(NotPermitted, PaymentFailed, "the kind of payment is not known")),
        ("2001", Meaning::held(CredentialsRefused, PaymentFailed, "the initiator's name or credential was refused")),
        ("2006", Meaning::held(NotPermitted, PayerFaInvalid, "the payer's account does not allow payments")),
        ("2028", Meaning::held(NotPermitted, PayerFaInvalid, "the payer's short code may not make such payments")),
        ("2040", Meaning::refused(PayeeFaInvalid, "the payee is not a registered customer")),
        ("8006", Meaning::held(Locked, PaymentFailed, "the initiator's credential is locked")),
        ("SFC_IC0003", Meaning::refused(PayeeFaInvalid, "the phone number is not on M-Pesa")),
        // From here on known from lists of others alone: too little to say that a payment was not made.
        ("100000000", Meaning::nothing("kept by the rail to be sent again")),
        ("100000001", Meaning::busy("the rail is overloaded")),
        ("100000002", Meaning::busy("the rail throttles")),
        ("100000004", Meaning::nothing("an internal failure of the rail")),
        ("100000005", Meaning::nothing("the rail could not use its input")),
        ("100000007", Meaning::nothing("an unusual state at the rail")),
        ("100000009", Meaning::nothing("an unusual state at the rail")),
        ("100000010", Meaning { hold: Some(NotPermitted), ..Meaning::nothing("we lack a permission") }),
        ("100000011", Meaning::busy("the rail's rate limit was exceeded")),
        ("00.002.1001", Meaning::busy("the rail is under maintenance")),
        // Answers to a reversal, which we never ask for.
        ("R000001", Meaning::nothing("an answer about a reversal")),
        ("R000002", Meaning::nothing("an answer about a reversal")),
    ]
};

/// The codes of the gateway's own errors, each with the HTTP statuses under which it is believed.
const GATEWAY: [(&str, &[u16], Meaning); 16] = {
    use Hold::NotPermitted;
    use ReasonCode::PaymentFailed;
    const BUSY: &[u16] = &[429, 500, 503];
    const TOKEN: &[u16] = &[400, 401, 404];
    [
        ("400.002.05", &[400], Meaning::held(NotPermitted, PaymentFailed, "our request cannot be read")),
        ("400.003.02", &[400], Meaning::held(NotPermitted, PaymentFailed, "something is missing in our request")),
        ("400.003.01", TOKEN, Meaning::unread_token("the access token was refused")),
        ("401.002.01", TOKEN, Meaning::unread_token("the access token was refused")),
        ("401.003.01", TOKEN, Meaning::unread_token("the access token was refused")),
        ("404.001.03", TOKEN, Meaning::unread_token("the access token was refused")),
        ("404.001.01", &[404], Meaning::unread_held("the gateway does not know the path")),
        ("404.001.04", &[404], Meaning::unread_held("the gateway refused the authorization header or the method")),
        ("404.002.01", &[404], Meaning::unread_held("the gateway does not know the path")),
        ("404.003.01", &[404], Meaning::unread_held("the gateway does not know the path")),
        ("405.001", &[405], Meaning::unread_held("the gateway refused the method")),
        // An earlier copy was accepted. Whether it was paid must be asked.
        ("500.002.1001", &[500], Meaning::of(Learnt::Duplicate, "the rail has had this key before")),
        ("500.001.1001", &[500], Meaning::nothing("an internal failure of the rail")),
        ("500.003.1001", &[500], Meaning::nothing("an internal failure of the rail")),
        ("500.003.02", BUSY, Meaning::unread_busy("too many requests at once")),
        ("500.003.03", BUSY, Meaning::unread_busy("the quota of requests is used up")),
    ]
};

/// The gateway product's own faults, which are not M-Pesa's, and come when M-Pesa is not reached at all.
const FAULTS: [(&str, Meaning); 2] = [
    ("policies.ratelimit.SpikeArrestViolation", Meaning::unread_busy("too many requests at once")),
    ("policies.ratelimit.QuotaViolation", Meaning::unread_busy("the quota of requests is used up")),
];

/// The code with which the gateway refuses a field before anything is done, and the fields: the words that name one, in the
/// order in which they are looked for.
const INVALID_FIELD: &str = "400.002.02";
const FIELDS: [(&str, Meaning); 7] = {
    use Hold::{CredentialsRefused, NotPermitted};
    use ReasonCode::{AmountInvalid, DisbursementInvalid, PayeeFaInvalid, PayerFaInvalid, PaymentFailed};
    [
        ("phonenumber", Meaning::refused(PayeeFaInvalid, "the gateway refused the phone number")),
        ("partyb", Meaning::refused(PayeeFaInvalid, "the gateway refused the phone number")),
        ("amount", Meaning::refused(AmountInvalid, "the gateway refused the amount")),
        ("remarks", Meaning::refused(DisbursementInvalid, "the gateway refused the remarks")),
        ("partya", Meaning::held(NotPermitted, PayerFaInvalid, "the gateway refused the short code")),
        ("securitycredential", Meaning::held(CredentialsRefused, PaymentFailed, "the gateway refused the credential")),
        ("initiator", Meaning::held(CredentialsRefused, PaymentFailed, "the gateway refused the initiator")),
    ]
};
/// A field that has nothing to do with the payee: our side must be mended, and nobody is told meanwhile that a payment failed.
const OTHER_FIELD: Meaning =
    Meaning::held(Hold::NotPermitted, ReasonCode::PaymentFailed, "the gateway refused a field of our request");

const UNKNOWN_CODE: Meaning = Meaning::nothing("a code that is not known here");

/// An answer that says two things at once.
pub(crate) const CONTRADICTION: Meaning = Meaning::nothing("an answer that contradicts itself");

/// An acknowledgement with another code than zero, another HTTP status than 200, or for another payment.
pub(crate) const NO_ACKNOWLEDGEMENT: Meaning = Meaning::nothing("an acknowledgement that cannot be believed");

/// HTTP's own word for "too many requests", whatever stands in the body.
const TOO_MANY_REQUESTS: Meaning = Meaning::unread_busy("too many requests");

/// What a result code of a payment means.
pub(crate) fn result(code: &str) -> Meaning {
    RESULTS.iter().find(|(known, _)| *known == code).map_or(UNKNOWN_CODE, |(_, meaning)| *meaning)
}

/// What an error code of the gateway means, with its words, which name the field that it does not take.
pub(crate) fn gateway(status: u16, code: &str, words: &str) -> Meaning {
    if code == INVALID_FIELD && status == 400 {
        return invalid_field(words);
    }
    let row = GATEWAY.iter().find(|(known, statuses, _)| *known == code && statuses.contains(&status));
    row.map_or_else(|| unknown(status), |(_, _, meaning)| *meaning)
}

/// What a fault of the gateway product means.
pub(crate) fn fault(status: u16, code: &str) -> Meaning {
    let row = FAULTS.iter().find(|(known, _)| *known == code && matches!(status, 429 | 500 | 503));
    row.map_or_else(|| unknown(status), |(_, meaning)| *meaning)
}

/// A code that is not known, or not with this HTTP status. Two things that do not fit each other prove nothing, 429 included.
fn unknown(status: u16) -> Meaning {
    Meaning { slow_down: matches!(status, 429 | 502..=504), ..UNKNOWN_CODE }
}

/// What an answer means that carries no code.
pub(crate) fn by_status(status: u16, words: &'static str) -> Meaning {
    match status {
        429 => TOO_MANY_REQUESTS,
        // Busy, and nobody knows who said so: what stands behind the gateway may have begun.
        502..=504 => Meaning::busy(words),
        _ => Meaning::nothing(words),
    }
}

fn invalid_field(words: &str) -> Meaning {
    let words: String = words.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // Only what follows the last "invalid" names the field.
    let named = words.rsplit("invalid").next().unwrap_or_default();
    FIELDS.iter().find(|(field, _)| named.starts_with(field)).map_or(OTHER_FIELD, |(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests;
