//! What simple-mpesa answers to a deposit, and what it means. One closed table of messages; any other one teaches nothing.

use gctb_backend::{Hold, Reply};
use gctb_domain::ReasonCode;
use gctb_domain::paying::Learnt;
use serde::Deserialize;

use crate::http::Answer;

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The login is not taken, and the deposit was not looked at.
    LoginRefused,
    /// Something about the payment.
    About(Reply),
}

#[derive(Deserialize)]
struct Success {
    status: String,
}

/// An error, alone or as the first of a list, as validation gives it.
#[derive(Deserialize)]
struct Failure {
    message: String,
}

type Row = (&'static str, Learnt, Option<ReasonCode>, Option<Hold>);

/// How messages of a 400 begin. What is refused here is refused before money moves, or because it cannot be debited, which is
/// the first step.
const MESSAGES: [Row; 9] = {
    use Learnt::{Nothing, Refused};
    const PAYEE: Learnt = Refused { again: false };
    const OURS: Learnt = Refused { again: true };
    const AMOUNT: Option<ReasonCode> = Some(ReasonCode::AmountInvalid);
    const ADDRESS: Option<ReasonCode> = Some(ReasonCode::PayeeFaInvalid);
    const FAILED: Option<ReasonCode> = Some(ReasonCode::PaymentFailed);
    [
        ("user not found", PAYEE, ADDRESS, None),
        ("cannot deposit amounts less than", PAYEE, AMOUNT, None),
        ("amount is a required field", PAYEE, AMOUNT, None),
        ("accountno is a required field", PAYEE, ADDRESS, None),
        ("customertype is a required field", OURS, FAILED, Some(Hold::NotPermitted)),
        ("customer is not allowed to make a deposit", OURS, FAILED, Some(Hold::NotPermitted)),
        ("cannot debit amount, account balance not enough", OURS, FAILED, Some(Hold::NoFunds)),
        // Whose account it is, is not said. If it is the payee's, the agent has been debited already: a person must look, and
        // if it is the agent's, nobody else would be paid.
        ("couldn't access account", Nothing, None, Some(Hold::Locked)),
        ("user's account has not been created", Nothing, None, Some(Hold::NotPermitted)),
    ]
};

/// How the messages of a 401 begin that the check of the login gives, before it looks at anything else.
const LOGIN_REFUSED: [&str; 4] = [
    "authorization header not set",
    "authentication token not set",
    "invalid signature on token",
    "token has expired or is invalid",
];

/// Reads the answer to a deposit.
pub(super) fn read(answer: &Answer) -> Said {
    match answer.status {
        200 => Said::About(success(&answer.body)),
        400 => Said::About(failure(&answer.body)),
        401 if login_refused(&answer.body) => Said::LoginRefused,
        // It says so of itself, as every 429 does: nothing was done.
        429 => Said::About(Reply::of(Learnt::NotSent, "simple-mpesa: HTTP 429")),
        other => Said::About(nothing(&format!("HTTP {other}"))),
    }
}

/// The money has moved before this is said.
fn success(body: &[u8]) -> Reply {
    match serde_json::from_slice::<Success>(body) {
        Ok(body) if body.status == "success" => Reply::of(Learnt::Paid, "simple-mpesa: success"),
        Ok(_) | Err(_) => nothing("HTTP 200 with an answer that cannot be read"),
    }
}

fn failure(body: &[u8]) -> Reply {
    let Some(message) = message(body) else { return nothing("HTTP 400 with an answer that cannot be read") };
    let Some((words, learnt, reason, hold)) = MESSAGES.iter().find(|(words, ..)| message.starts_with(words)) else {
        return nothing("HTTP 400 with a message that is not known here");
    };
    // The table's words: what follows them may be a balance.
    Reply { reason: *reason, hold: *hold, ..Reply::of(*learnt, format!("simple-mpesa: {words}")) }
}

fn login_refused(body: &[u8]) -> bool {
    message(body).is_some_and(|message| LOGIN_REFUSED.iter().any(|words| message.starts_with(words)))
}

/// The message in small letters, without the code in angle brackets that may stand before it.
fn message(body: &[u8]) -> Option<String> {
    let one = serde_json::from_slice::<Failure>(body).ok();
    let first = || serde_json::from_slice::<Vec<Failure>>(body).ok()?.into_iter().next();
    let message = one.or_else(first)?.message.trim().to_lowercase();
    let bare =
        message.strip_prefix('<').and_then(|rest| rest.split_once('>')).map_or(message.as_str(), |(_, rest)| rest);
    Some(bare.trim_start().to_owned())
}

pub(super) fn nothing(words: &str) -> Reply {
    Reply::of(Learnt::Nothing, format!("simple-mpesa: {words}"))
}
