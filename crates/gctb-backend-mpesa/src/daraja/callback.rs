//! What M-Pesa's callbacks say, read strictly and without any effect.
//!
//! Nobody signs them. Whoever takes the news compares amount and phone number with the order first, by
//! [`PaymentNews::disagrees_with`].

use std::fmt;

use gctb_backend::Reply;
use gctb_domain::paying::Learnt;
use gctb_domain::{Money, RailKey, ReasonCode};
use serde::Deserialize;

use super::Daraja;
use super::answer::reply;
use super::balance::{AccountBalance, accounts};
use super::json::{OneOrMany, Scalar};
use super::routes::{Question, Route};
use crate::codes;
use crate::msisdn::Msisdn;
use crate::text;

/// What a callback says.
#[derive(Debug)]
pub enum Callback {
    /// About a payment.
    Payment(Box<PaymentNews>),
    /// What the payer's accounts hold, the paying one among them; empty where it could not be told.
    Balance(Vec<AccountBalance>),
}

/// News of a payment. Personal data: `Debug` shows neither amount nor payee.
pub struct PaymentNews {
    /// Which attempt.
    pub key: RailKey,
    /// What was learnt.
    pub reply: Reply,
    /// How many sends the ledger had counted when M-Pesa was asked; 0 where nobody asked.
    pub sends: i16,
    /// Whether nothing of the attempt could be under way when M-Pesa was asked. Never where nobody asked.
    pub quiet: bool,
    /// How much M-Pesa says was paid; it does not say so of every payment.
    pub amount: Option<Money>,
    /// Whom M-Pesa says it paid; it does not say so of every payment.
    pub msisdn: Option<Msisdn>,
}

/// How news differ from the order that they should be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// Another amount.
    Amount,
    /// Another payee.
    Payee,
}

impl PaymentNews {
    /// Whether the news are about something else than was ordered, as far as they say.
    pub fn disagrees_with(&self, amount: Money, payee: &Msisdn) -> Option<Disagreement> {
        if self.amount.is_some_and(|told| told != amount) {
            return Some(Disagreement::Amount);
        }
        self.msisdn.as_ref().is_some_and(|told| told != payee).then_some(Disagreement::Payee)
    }
}

impl fmt::Debug for PaymentNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentNews").field("key", &self.key).field("reply", &self.reply).finish_non_exhaustive()
    }
}

/// Why a callback is not believed. Nothing of its body is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// More than it can have to say.
    #[error("the callback is larger than mpesa.answer_bytes_max")]
    TooLarge,
    /// Not the envelope that M-Pesa sends.
    #[error("the callback is not a result of M-Pesa")]
    Malformed,
    /// Its OriginatorConversationID is none of ours.
    #[error("the callback names no payment of ours")]
    NotOurs,
    /// The path names one payment, and the body another.
    #[error("the callback's path and body name different payments")]
    OtherPayment,
    /// It names another short code than the one that pays, or does not list the account that payments are taken from.
    #[error("the callback is about another account than the one that pays")]
    OtherAccount,
    /// An amount that is missing, or no plain decimal of the configured currency.
    #[error("the amount is missing in the callback or cannot be read")]
    Amount,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    result_type: Option<Scalar>,
    result_code: Scalar,
    #[serde(rename = "OriginatorConversationID")]
    originator: Option<String>,
    #[serde(rename = "ConversationID")]
    conversation: Option<String>,
    #[serde(rename = "TransactionID")]
    transaction: Option<String>,
    result_parameters: Option<Parameters>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Parameters {
    result_parameter: OneOrMany<Parameter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    key: String,
    value: Option<Scalar>,
}

impl Outcome {
    fn read(body: &[u8]) -> Result<Self, CallbackError> {
        serde_json::from_slice::<Envelope>(body).map(|envelope| envelope.result).map_err(|_| CallbackError::Malformed)
    }

    /// The value of a parameter, whose name may be written with blanks.
    fn parameter(&self, name: &str) -> Option<&str> {
        let named = |parameter: &&Parameter| parameter.key.replace(' ', "").eq_ignore_ascii_case(name);
        let parameters = self.result_parameters.iter().flat_map(|parameters| &parameters.result_parameter.0);
        let value = parameters.filter(named).find_map(|parameter| parameter.value.as_ref());
        value.map(|value| value.0.trim()).filter(|value| !value.is_empty())
    }

    /// Whether this is M-Pesa's last word: 0, and not 1, "waiting for further messages", or something unheard of.
    fn is_final(&self) -> bool {
        self.result_type.as_ref().is_some_and(|kind| kind.0.trim() == "0")
    }

    fn code(&self) -> &str {
        self.result_code.0.trim()
    }
}

impl Daraja {
    /// Reads a callback that came on this route.
    ///
    /// # Errors
    /// Where it cannot be believed: it is kept for a person, and moves nothing.
    pub fn callback(&self, route: Route, body: &[u8]) -> Result<Callback, CallbackError> {
        if body.len() > self.answer_bytes_max {
            return Err(CallbackError::TooLarge);
        }
        let news = match route {
            Route::PaymentResult => self.payment_result(&Outcome::read(body)?)?,
            Route::PaymentTimeout => self.payment_timeout(&Outcome::read(body)?)?,
            Route::StatusResult(question) => self.status_result(question, &Outcome::read(body)?)?,
            // What such a body holds is documented nowhere; the path says all that there is to know.
            Route::StatusTimeout(question) => {
                asked(question, Reply::of(Learnt::Nothing, "mpesa: the status query waited too long"))
            }
            Route::BalanceResult => return self.balance_result(&Outcome::read(body)?),
            Route::BalanceTimeout => return Ok(Callback::Balance(Vec::new())),
        };
        Ok(Callback::Payment(Box::new(news)))
    }

    fn payment_result(&self, outcome: &Outcome) -> Result<PaymentNews, CallbackError> {
        let key = self.key_of(outcome)?;
        let handle = outcome.conversation.as_deref().and_then(text::reference);
        let mut news = if outcome.is_final() {
            let meaning = codes::result(outcome.code());
            let message = format!("mpesa:{} {}", text::code(outcome.code()), meaning.words);
            let slow_down = meaning.slow_down.then_some(self.slow_down.least);
            unasked(key, reply(meaning, message, slow_down))
        } else {
            nothing(key, "the rail will say more later")
        };
        news.reply.handle = handle;
        let receipt = outcome.transaction.as_deref().or_else(|| outcome.parameter("TransactionReceipt"));
        let news = self.tell(news, outcome, receipt, "TransactionAmount", "ReceiverPartyPublicName")?;
        // M-Pesa always says how much it paid. Who does not is asked, or is not M-Pesa.
        let is_whole = news.reply.learnt != Learnt::Paid || news.amount.is_some();
        if is_whole { Ok(news) } else { Err(CallbackError::Amount) }
    }

    /// A payment that waited too long in the queue may still be paid, whatever code the callback carries.
    fn payment_timeout(&self, outcome: &Outcome) -> Result<PaymentNews, CallbackError> {
        Ok(nothing(self.key_of(outcome)?, "the payment waited too long in the rail's queue"))
    }

    fn status_result(&self, question: Question, outcome: &Outcome) -> Result<PaymentNews, CallbackError> {
        // The id beside the code is the query's; the payment's stands among the parameters.
        if let Some(told) = outcome.parameter("OriginatorConversationID")
            && self.decode(told) != Some(question.key)
        {
            return Err(CallbackError::OtherPayment);
        }
        // "600992 - A NAME", as of the payee. What is no number names no short code.
        let payer = outcome.parameter("DebitPartyName").and_then(|told| told.split(" - ").next()).map(str::trim);
        let names_a_code = |told: &&str| !told.is_empty() && told.bytes().all(|byte| byte.is_ascii_digit());
        if payer.filter(names_a_code).is_some_and(|told| told != self.short_code) {
            return Err(CallbackError::OtherAccount);
        }
        let news = asked(question, self.status_reply(outcome));
        self.tell(news, outcome, outcome.parameter("ReceiptNo"), "Amount", "CreditPartyName")
    }

    /// A code other than 0 is about the query, never about the payment: it may hold the rail, and decides nothing.
    fn status_reply(&self, outcome: &Outcome) -> Reply {
        let code = outcome.code();
        let about =
            |learnt, words: &str| Reply::of(learnt, format!("mpesa:{} status query: {words}", text::code(code)));
        if !outcome.is_final() {
            return about(Learnt::Nothing, "the rail will say more later");
        }
        if code != "0" {
            let not_found = self.query_not_found_codes.iter().any(|known| known == code);
            let learnt = if not_found { Learnt::NotFound } else { Learnt::Nothing };
            let meaning = codes::result(code);
            let mut reply = about(learnt, if not_found { "the payment is not known" } else { meaning.words });
            // Short of funds is no answer to a question.
            reply.hold = meaning.hold.filter(|hold| *hold != gctb_backend::Hold::NoFunds);
            reply.slow_down = meaning.slow_down.then_some(self.slow_down.least);
            return reply;
        }
        let words = outcome.parameter("TransactionStatus").unwrap_or_default().to_ascii_lowercase();
        match words.as_str() {
            "completed" => about(Learnt::Paid, "completed"),
            "cancelled" => refused(about(Learnt::Refused { again: true }, "cancelled")),
            "declined" => refused(about(Learnt::Refused { again: true }, "declined")),
            "expired" => refused(about(Learnt::Refused { again: true }, "expired")),
            "initiated" | "authorized" | "pending authorized" => about(Learnt::Accepted, "not ended yet"),
            _ => about(Learnt::Nothing, "a state that is not known here"),
        }
    }

    fn balance_result(&self, outcome: &Outcome) -> Result<Callback, CallbackError> {
        let told = outcome.parameter("AccountBalance").filter(|_| outcome.is_final() && outcome.code() == "0");
        let Some(told) = told else { return Ok(Callback::Balance(Vec::new())) };
        let accounts = accounts(told, self.amounts.currency()).ok_or(CallbackError::Amount)?;
        self.paying_account(&accounts).ok_or(CallbackError::OtherAccount)?;
        Ok(Callback::Balance(accounts))
    }

    /// Adds what a result tells beside its code.
    fn tell(
        &self,
        mut news: PaymentNews,
        outcome: &Outcome,
        receipt: Option<&str>,
        amount: &str,
        payee: &str,
    ) -> Result<PaymentNews, CallbackError> {
        news.reply.rail_reference = receipt.and_then(text::reference);
        let currency = self.amounts.currency();
        let amount = outcome.parameter(amount).map(|told| Money::parse(told, currency)).transpose();
        news.amount = amount.map_err(|_| CallbackError::Amount)?;
        // "254705912645 - A NAME": the name is not looked at, and a masked number is none.
        let payee = outcome.parameter(payee).and_then(|told| told.split(" - ").next());
        news.msisdn = payee.and_then(|told| self.numbering.read(told.trim()));
        Ok(news)
    }

    fn key_of(&self, outcome: &Outcome) -> Result<RailKey, CallbackError> {
        outcome.originator.as_deref().and_then(|told| self.decode(told)).ok_or(CallbackError::NotOurs)
    }
}

fn nothing(key: RailKey, words: &str) -> PaymentNews {
    unasked(key, Reply::of(Learnt::Nothing, format!("mpesa: {words}")))
}

/// What M-Pesa says by itself. Nobody knows how the ledger stood when it was written.
fn unasked(key: RailKey, reply: Reply) -> PaymentNews {
    PaymentNews { key, reply, sends: 0, quiet: false, amount: None, msisdn: None }
}

fn asked(question: Question, reply: Reply) -> PaymentNews {
    let Question { key, sends, quiet } = question;
    PaymentNews { key, reply, sends, quiet, amount: None, msisdn: None }
}

fn refused(reply: Reply) -> Reply {
    Reply { reason: Some(ReasonCode::PaymentFailed), ..reply }
}

#[cfg(test)]
mod tests;
