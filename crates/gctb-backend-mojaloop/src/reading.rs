//! What each step's answer teaches: pure functions from how a call ended to a [`Reply`].
//!
//! Preparing moves no money where the adapter waits for an acceptance, so a missing answer there is "not sent"; of an
//! adapter that was not seen to wait yet it is in doubt. From the acceptance on, everything that is not a definite word
//! about this very transfer is [`Learnt::Nothing`] (invariant I3). An inquiry never says "not sent": the
//! question may not have been, the payment may.

use gctb_backend::{Hold, Order, Reply};
use gctb_domain::ReasonCode;
use gctb_domain::paying::Learnt;

use crate::answer::{Answer, CurrentState, TransferState};
use crate::codes::{self, Stage};
use crate::http::{Answered, Body, Exchange};
use crate::quote::FeeLimits;

const ACCEPTS_BY_ITSELF: &str =
    "mojaloop: the adapter accepts quotes by itself; it must run with AUTO_ACCEPT_QUOTES=false";
/// What is said of an attempt that was posted to an adapter that was not seen to wait for an acceptance.
pub(crate) const MAY_ACCEPT_BY_ITSELF: &str = "the adapter was not seen to wait for an acceptance yet, and may have paid: \
     look for the payment's key in its homeTransactionId";
const OTHER_TRANSFER: &str = "mojaloop: the answer is about another transfer";

/// What `POST /transfers` taught, and whether a quote lies at the adapter that must be refused there.
pub(crate) struct Prepared {
    pub(crate) reply: Reply,
    pub(crate) to_fence: Option<String>,
}

/// Reads the answer to `POST /transfers`.
pub(crate) fn prepared(exchange: &Exchange, order: &Order, fees: &FeeLimits) -> Prepared {
    let reply = match exchange {
        Exchange::NotConnected => Reply::of(Learnt::NotSent, "mojaloop: the adapter cannot be reached"),
        Exchange::Lost { timed_out: true } => Reply::of(Learnt::NotSent, "mojaloop: no quote came in time"),
        Exchange::Lost { timed_out: false } => {
            Reply::of(Learnt::NotSent, "mojaloop: the request for a quote got no answer")
        }
        Exchange::Answered(answered) => match answered.json() {
            None => turned_away(answered, Learnt::NotSent),
            Some(answer) if is_of_another_order(answer, order) => {
                return unfenced(Reply::of(Learnt::NotSent, OTHER_TRANSFER));
            }
            Some(answer) if answered.is_success() => return quoted(answer, order, fees),
            Some(answer) => with_handle(quote_error(answered, answer), answer),
        },
    };
    unfenced(reply)
}

/// Reads the answer to `PUT /transfers/{id}` with `acceptQuote: true`.
pub(crate) fn paid(exchange: &Exchange, transfer_id: &str) -> Reply {
    match exchange {
        Exchange::NotConnected => Reply::of(Learnt::NotSent, "mojaloop: the adapter cannot be reached"),
        Exchange::Lost { .. } => Reply::of(Learnt::Nothing, "mojaloop: the acceptance got no answer"),
        // Turned away unread, by something that limits calls: the adapter itself never says so.
        Exchange::Answered(answered) if answered.status == 429 => turned_away(answered, Learnt::NotSent),
        Exchange::Answered(answered) => match answered.json() {
            None => turned_away(answered, Learnt::Nothing),
            Some(answer) if is_of_another_transfer(answer, transfer_id) => Reply::of(Learnt::Nothing, OTHER_TRANSFER),
            Some(answer) if answered.is_success() => state(answer, transfer_id),
            Some(answer) if answer.has_no_state() => no_state(),
            Some(answer) => error(answered, answer, Stage::Transfer, Learnt::Nothing),
        },
    }
}

/// Reads the answer to `GET /transfers/{id}`.
pub(crate) fn inquired(exchange: &Exchange, transfer_id: &str) -> Reply {
    match exchange {
        Exchange::NotConnected => Reply::of(Learnt::Nothing, "mojaloop: the adapter cannot be reached"),
        Exchange::Lost { .. } => Reply::of(Learnt::Nothing, "mojaloop: the inquiry got no answer"),
        Exchange::Answered(answered) => match answered.json() {
            None => turned_away(answered, Learnt::Nothing),
            Some(answer) if is_of_another_transfer(answer, transfer_id) => Reply::of(Learnt::Nothing, OTHER_TRANSFER),
            Some(answer) if answered.is_success() => looked_up(answer, transfer_id),
            Some(answer) => error(answered, answer, Stage::Inquiry, Learnt::Nothing),
        },
    }
}

/// Whether the adapter waits for an acceptance: then it moves no money before.
pub(crate) fn waits(exchange: &Exchange) -> bool {
    matches!(exchange, Exchange::Answered(answered) if answered.is_success()
        && answered.json().and_then(Answer::current_state) == Some(CurrentState::WaitingForQuote))
}

/// What `POST /transfers` taught of an adapter that was not seen to wait for an acceptance: it may accept quotes by
/// itself, as it does where nobody told it otherwise, and then what got no good answer may have been paid.
pub(crate) fn in_doubt(prepared: Prepared, exchange: &Exchange) -> Prepared {
    let Prepared { reply, to_fence } = prepared;
    let is_open = matches!(reply.learnt, Learnt::NotSent | Learnt::Refused { again: true });
    if !is_open || nobody_was_paid(exchange) {
        return Prepared { reply, to_fence };
    }
    // The transfer's own name is as good as an answer: one can ask by it.
    let learnt = if reply.handle.is_some() { Learnt::Nothing } else { Learnt::Unanswerable };
    let message = format!("{}; {MAY_ACCEPT_BY_ITSELF}", reply.message);
    Prepared { reply: Reply { learnt, reason: None, message, ..reply }, to_fence }
}

/// Whether this answer to `POST /transfers` shows that nobody was paid, however the adapter is set up.
fn nobody_was_paid(exchange: &Exchange) -> bool {
    let Exchange::Answered(answered) = exchange else { return matches!(exchange, Exchange::NotConnected) };
    match answered.json() {
        // Turned away unread.
        None => matches!(answered.status, 400 | 401 | 403 | 404 | 405 | 429),
        Some(answer) if answered.is_success() => {
            !matches!(answer.current_state(), Some(CurrentState::ErrorOccurred) | None)
        }
        Some(answer) => {
            let definite =
                |code: String| matches!(codes::verdict(&code, Stage::Transfer).learnt, Learnt::Refused { .. });
            answered.status == 400
                || answer.stopped_before_the_transfer()
                || (answered.status != 504 && answer.code().is_some_and(definite))
        }
    }
}

/// What the answer to a refusal of the quote shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fenced {
    /// The adapter has aborted it: no later acceptance can pay.
    Aborted,
    /// The adapter did nothing with it: it had given up on the transfer before, or has forgotten it.
    Stopped,
    /// Nothing that could be relied on.
    Unclear,
}

/// Reads the answer to `PUT /transfers/{id}` with `acceptQuote: false`; a reply where it tells of the payment itself.
pub(crate) fn fenced(exchange: &Exchange, transfer_id: &str) -> Result<Fenced, Box<Reply>> {
    let Exchange::Answered(answered) = exchange else { return Ok(Fenced::Unclear) };
    match &answered.body {
        // The adapter answers without a body where the transfer ended in an error before.
        Body::Empty if matches!(answered.status, 200 | 204) => Ok(Fenced::Stopped),
        Body::Empty | Body::Unreadable => Ok(Fenced::Unclear),
        Body::Json(answer) if is_of_another_transfer(answer, transfer_id) => Ok(Fenced::Unclear),
        Body::Json(answer) if !answered.is_success() => {
            Ok(if answer.has_no_state() { Fenced::Stopped } else { Fenced::Unclear })
        }
        Body::Json(answer) => match answer.current_state() {
            Some(CurrentState::Completed) => Err(Box::new(completed(answer, transfer_id))),
            Some(CurrentState::Aborted) => Ok(Fenced::Aborted),
            Some(CurrentState::ErrorOccurred) => Ok(Fenced::Stopped),
            Some(
                CurrentState::WaitingForParty | CurrentState::WaitingForQuote | CurrentState::WaitingForConversion,
            )
            | None => Ok(Fenced::Unclear),
        },
    }
}

/// Reads the inquiry that follows a refusal of the quote: only here "not found" is the end of the attempt, since the
/// adapter has been seen to have given it up.
pub(crate) fn confirmed(fenced: Fenced, exchange: &Exchange, transfer_id: &str) -> Reply {
    let reply = inquired(exchange, transfer_id);
    if reply.learnt != Learnt::NotFound {
        return reply;
    }
    // Where it did nothing with the refusal, its answer to the inquiry must show that the transfer has ended for it.
    let ended = matches!(exchange, Exchange::Answered(answered)
        if answered.json().and_then(Answer::current_state) == Some(CurrentState::ErrorOccurred));
    let given_up = match fenced {
        Fenced::Aborted => true,
        Fenced::Stopped => ended,
        Fenced::Unclear => false,
    };
    if given_up {
        refused_again(transfer_id, "mojaloop: the quote was refused, and the scheme knows no transfer")
    } else {
        handled(Reply::of(Learnt::Nothing, "mojaloop: the adapter was not seen to give the transfer up"), transfer_id)
    }
}

/// The first phase's good answer.
fn quoted(answer: &Answer, order: &Order, fees: &FeeLimits) -> Prepared {
    let Some(transfer_id) = answer.transfer_id() else {
        let reply = refused(
            true,
            ReasonCode::PaymentFailed,
            "mojaloop: the adapter's answer has no transferId that can be used",
        );
        return unfenced(Reply { hold: Some(Hold::NotPermitted), ..reply });
    };
    let fence = |reply: Reply| Prepared { reply: handled(reply, transfer_id), to_fence: Some(transfer_id.to_owned()) };
    match answer.current_state() {
        Some(CurrentState::WaitingForQuote) => match fees.judge(answer, order.amount) {
            Ok(()) => unfenced(handled(Reply::of(Learnt::Accepted, "mojaloop: quoted"), transfer_id)),
            Err(bad) => fence(refused(false, ReasonCode::PaymentFailed, &format!("mojaloop: {bad}"))),
        },
        Some(CurrentState::WaitingForConversion) => {
            fence(refused(false, ReasonCode::CurrencyCodeInvalid, "mojaloop: the payee's account has another currency"))
        }
        Some(CurrentState::WaitingForParty) => {
            let words =
                "mojaloop: the adapter waits for the party to be accepted; it must run with AUTO_ACCEPT_PARTY=true";
            let reply = refused(true, ReasonCode::PaymentFailed, words);
            fence(Reply { hold: Some(Hold::NotPermitted), ..reply })
        }
        Some(CurrentState::Completed) => unfenced(without_leave(completed(answer, transfer_id))),
        Some(CurrentState::Aborted) => {
            unfenced(refused_again(transfer_id, "mojaloop: the adapter aborted the transfer"))
        }
        Some(CurrentState::ErrorOccurred) | None if answer.shows_a_transfer() => {
            unfenced(without_leave(handled(Reply::of(Learnt::Nothing, ""), transfer_id)))
        }
        Some(CurrentState::ErrorOccurred) | None => {
            unfenced(handled(Reply::of(Learnt::NotSent, "mojaloop: the adapter gave no quote"), transfer_id))
        }
    }
}

/// An error before the transfer, unless the adapter shows that it went further than it was asked to.
fn quote_error(answered: &Answered, answer: &Answer) -> Reply {
    if answer.shows_a_transfer() {
        return without_leave(Reply::of(Learnt::Nothing, ""));
    }
    let invalid = answered.status == 400 && answer.code().is_none();
    if invalid {
        return refused(
            false,
            ReasonCode::PaymentFailed,
            "mojaloop: the adapter refused the request as invalid (HTTP 400)",
        );
    }
    error(answered, answer, Stage::Quote, Learnt::NotSent)
}

/// The adapter has paid, or may have, though it was asked for a quote alone. What it says stands; nobody else may be
/// paid this way.
pub(crate) fn without_leave(reply: Reply) -> Reply {
    // A payment that is under way must not be taken for the leave to pay, which "accepted" is at this stage.
    let learnt = if reply.learnt == Learnt::Accepted { Learnt::Nothing } else { reply.learnt };
    Reply { learnt, message: ACCEPTS_BY_ITSELF.to_owned(), hold: Some(Hold::NotPermitted), ..reply }
}

/// The second phase's answer by the adapter's state.
fn state(answer: &Answer, transfer_id: &str) -> Reply {
    match answer.current_state() {
        Some(CurrentState::Completed) => completed(answer, transfer_id),
        Some(CurrentState::Aborted) => refused_again(transfer_id, "mojaloop: the adapter had aborted the transfer"),
        Some(
            CurrentState::WaitingForParty
            | CurrentState::WaitingForQuote
            | CurrentState::WaitingForConversion
            | CurrentState::ErrorOccurred,
        )
        | None => handled(
            Reply::of(Learnt::Nothing, "mojaloop: the answer does not say what became of the transfer"),
            transfer_id,
        ),
    }
}

/// The inquiry's answer: what is waiting or aborted at the adapter is nothing that the scheme knows of, and no proof
/// either.
fn looked_up(answer: &Answer, transfer_id: &str) -> Reply {
    match answer.current_state() {
        Some(CurrentState::Completed) => completed(answer, transfer_id),
        Some(
            CurrentState::WaitingForParty
            | CurrentState::WaitingForQuote
            | CurrentState::WaitingForConversion
            | CurrentState::Aborted,
        ) => handled(Reply::of(Learnt::NotFound, "mojaloop: the adapter has not sent the transfer"), transfer_id),
        Some(CurrentState::ErrorOccurred) | None => state(answer, transfer_id),
    }
}

/// COMPLETED says that the scheme answered; what it answered says the transfer's own state.
fn completed(answer: &Answer, transfer_id: &str) -> Reply {
    let reply = match answer.transfer_state() {
        Some(TransferState::Committed) => {
            Reply { rail_reference: Some(transfer_id.to_owned()), ..Reply::of(Learnt::Paid, "mojaloop: committed") }
        }
        Some(TransferState::Received | TransferState::Reserved) => {
            Reply::of(Learnt::Accepted, "mojaloop: the scheme has not committed the transfer yet")
        }
        // Why is not told; another attempt is told, or paid.
        Some(TransferState::Aborted) => {
            refused(true, ReasonCode::PaymentFailed, "mojaloop: the scheme aborted the transfer")
        }
        None => Reply::of(Learnt::Nothing, "mojaloop: completed without a state of the transfer"),
    };
    handled(reply, transfer_id)
}

/// The adapter has no quote to accept, so this acceptance paid nobody.
fn no_state() -> Reply {
    refused(true, ReasonCode::PaymentFailed, "mojaloop: the adapter has forgotten the transfer")
}

/// An error with JSON: by its code, else by its HTTP status.
fn error(answered: &Answered, answer: &Answer, stage: Stage, otherwise: Learnt) -> Reply {
    let code = answer.code().filter(|_| answered.status != 504);
    let reply = code.map_or_else(|| turned_away(answered, otherwise), |code| codes::reply(&code, stage));
    with_handle(Reply { slow_down: answered.retry_after, ..reply }, answer)
}

/// An answer that is not the adapter's, or says no more than its HTTP status.
fn turned_away(answered: &Answered, learnt: Learnt) -> Reply {
    let hold = match answered.status {
        401 | 403 => Some(Hold::CredentialsRefused),
        // Not where the adapter is, or not what it takes.
        400 | 404 | 405 => Some(Hold::NotPermitted),
        _ => None,
    };
    let reply = Reply::of(learnt, format!("mojaloop: HTTP {}", answered.status));
    Reply { hold, slow_down: answered.retry_after, ..reply }
}

fn is_of_another_order(answer: &Answer, order: &Order) -> bool {
    answer.home_transaction_id().is_some_and(|id| id != order.key.to_string())
}

fn is_of_another_transfer(answer: &Answer, transfer_id: &str) -> bool {
    answer.transfer_id().is_some_and(|id| id != transfer_id)
}

fn refused(again: bool, reason: ReasonCode, words: &str) -> Reply {
    Reply { reason: Some(reason), ..Reply::of(Learnt::Refused { again }, words) }
}

fn refused_again(transfer_id: &str, words: &str) -> Reply {
    handled(refused(true, ReasonCode::PaymentFailed, words), transfer_id)
}

fn handled(reply: Reply, transfer_id: &str) -> Reply {
    Reply { handle: Some(transfer_id.to_owned()), ..reply }
}

/// An error names its transfer too, also where the adapter gave up waiting.
fn with_handle(reply: Reply, answer: &Answer) -> Reply {
    Reply { handle: answer.transfer_id().map(str::to_owned), ..reply }
}

fn unfenced(reply: Reply) -> Prepared {
    Prepared { reply, to_fence: None }
}
