//! The rail of Safaricom's Daraja API: B2C payments (version 3), whose end comes as a callback, and the queries about them.
//!
//! Our key of the attempt is sent as OriginatorConversationID, by which Daraja refuses to accept a payment twice and by which
//! it is asked. Nothing here is written down or decided.

mod answer;
mod auth;
mod balance;
mod callback;
mod credential;
mod json;
mod requests;
mod routes;

use std::time::Duration;

use gctb_backend::{Deadline, Hold, Order, PaymentBackend, Refusal, Reply};
use gctb_domain::paying::{Dedupe, Learnt, RailKind};
use gctb_domain::{FinancialAddress, Money, RailKey};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

pub use balance::AccountBalance;
pub use callback::{Callback, CallbackError, Disagreement, PaymentNews};
pub use routes::{Question, Route};

use crate::amounts::{self, AmountRules};
use crate::http::{Ended, Http, TOO_LATE};
use crate::msisdn::{Msisdn, Numbering, Payees};
use crate::settings::MpesaSettings;
use crate::setup::{self, SetupError, usable};
use crate::text;
use crate::tokens::{NoToken, Token, Tokens};
use answer::{Said, reply};
use auth::App;

/// Longest `key_prefix`: with the twelve characters of a key the id stays below twenty, Daraja's own word for its length.
const KEY_PREFIX_CHARS_MAX: usize = 7;
/// Shortest `callback_token`: 128 bits in hexadecimal.
const CALLBACK_TOKEN_CHARS_MIN: usize = 32;
/// Longest `Remarks`.
const REMARKS_CHARS_MAX: usize = 100;
/// Shortest `Remarks`.
const REMARKS_CHARS_MIN: usize = 2;
/// `IdentifierType` of a short code.
const SHORT_CODE: &str = "4";

/// The rail.
#[derive(Debug)]
pub struct Daraja {
    http: Http,
    tokens: Tokens,
    app: App,
    base_url: String,
    initiator: String,
    credential: SecretString,
    short_code: String,
    command_id: String,
    key_prefix: String,
    remarks: String,
    callback_base: SecretString,
    query_not_found_codes: Vec<String>,
    balance_account: String,
    amounts: AmountRules,
    payees: Payees,
    numbering: Numbering,
    answer_bytes_max: usize,
    call_timeout: Duration,
    slow_down: SlowDown,
}

/// How long a busy rail is left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowDown {
    /// Where it names no time.
    pub(crate) least: Duration,
    /// Whatever time it names.
    pub(crate) most: Duration,
}

impl SlowDown {
    pub(crate) fn new(settings: &MpesaSettings) -> Self {
        Self { least: settings.slow_down, most: settings.slow_down_max }
    }

    pub(crate) fn for_the(self, asked: Option<Duration>) -> Duration {
        asked.unwrap_or(self.least).clamp(self.least, self.most)
    }
}

/// How asking M-Pesa something went. Its answer comes as a [`Callback`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whether M-Pesa took the question.
    pub taken: bool,
    /// About it, for people.
    pub message: String,
    /// That no payment would be taken either.
    pub hold: Option<Hold>,
    /// How long the rail wants to be left alone.
    pub slow_down: Option<Duration>,
}

/// A call that has ended, token and all.
enum Heard {
    Said(Said),
    NoToken(NoToken),
    NotSent(&'static str),
    Lost(&'static str),
}

impl Daraja {
    /// A rail from the settings. `now` is in seconds since 1970, UTC: an expired certificate is refused.
    ///
    /// # Errors
    /// What is missing, expired or makes no sense, by the name of its setting.
    pub fn new(settings: &MpesaSettings, now: i64) -> Result<Self, SetupError> {
        setup::check_limits(settings)?;
        let daraja = &settings.daraja;
        let base_url = setup::required_url(daraja.base_url.as_ref(), "mpesa.daraja.base_url", settings.require_https)?;
        let key = setup::required_secret(daraja.consumer_key.as_ref(), "mpesa.daraja.consumer_key")?;
        let secret = setup::required_secret(daraja.consumer_secret.as_ref(), "mpesa.daraja.consumer_secret")?;
        let initiator = setup::required(daraja.initiator_name.as_ref(), "mpesa.daraja.initiator_name")?;
        let short_code = setup::required(daraja.short_code.as_ref(), "mpesa.daraja.short_code")?;
        let digits = short_code.bytes().all(|byte| byte.is_ascii_digit());
        usable(digits, "mpesa.daraja.short_code", "must be digits alone")?;
        check_texts(settings)?;
        Ok(Self {
            http: Http::new(settings)?,
            tokens: Tokens::new(settings),
            app: App {
                url: format!("{base_url}/oauth/v1/generate?grant_type=client_credentials"),
                key: key.clone(),
                secret: secret.clone(),
            },
            initiator: initiator.to_owned(),
            credential: credential::security_credential(daraja, now)?,
            short_code: short_code.to_owned(),
            command_id: daraja.command_id.clone(),
            key_prefix: daraja.key_prefix.clone(),
            remarks: daraja.remarks.clone(),
            callback_base: callback_base(settings)?,
            query_not_found_codes: daraja.query_not_found_codes.clone(),
            balance_account: daraja.balance_account.clone(),
            amounts: AmountRules::new(settings)?,
            payees: Payees::new(&daraja.strategy, "phone")?,
            numbering: Numbering::new(&settings.msisdn)?,
            answer_bytes_max: settings.answer_bytes_max,
            call_timeout: settings.call_timeout,
            slow_down: SlowDown::new(settings),
            base_url,
        })
    }

    /// The phone number that an address names, to compare a callback with.
    ///
    /// # Errors
    /// Where it names none that this rail pays.
    pub fn msisdn(&self, to: &FinancialAddress) -> Result<Msisdn, Refusal> {
        self.payees.msisdn(to, &self.numbering)
    }

    /// The account that payments are taken from, among those that a balance callback lists.
    pub fn paying_account<'a>(&self, accounts: &'a [AccountBalance]) -> Option<&'a AccountBalance> {
        accounts.iter().find(|account| account.name == self.balance_account)
    }

    /// Asks what the payer's accounts hold.
    pub async fn ask_balance(&self) -> Asked {
        let (result, timeout) = (self.callback_url(Route::BalanceResult), self.callback_url(Route::BalanceTimeout));
        let query = self.query("AccountBalance", None, &result, &timeout);
        self.ask("/mpesa/accountbalance/v1/query", &query).await
    }

    fn originator(&self, key: RailKey) -> String {
        format!("{}{key}", self.key_prefix)
    }

    /// The key in an OriginatorConversationID that we gave.
    fn decode(&self, originator: &str) -> Option<RailKey> {
        RailKey::parse(originator.strip_prefix(self.key_prefix.as_str())?).ok()
    }

    fn callback_url(&self, route: Route) -> String {
        format!("{}{}", self.callback_base.expose_secret(), route.path())
    }

    fn payment(&self, order: &Order, payee: &Msisdn) -> Result<Vec<u8>, serde_json::Error> {
        let narrative = text::plain_words(&order.narrative, REMARKS_CHARS_MAX);
        let remarks = if narrative.len() < REMARKS_CHARS_MIN { &self.remarks } else { &narrative };
        serde_json::to_vec(&requests::Payment {
            originator_conversation_id: &self.originator(order.key),
            initiator_name: &self.initiator,
            security_credential: self.credential.expose_secret(),
            command_id: &self.command_id,
            amount: &amounts::as_text(order.amount),
            party_a: &self.short_code,
            party_b: payee.as_str(),
            remarks,
            queue_time_out_url: &self.callback_url(Route::PaymentTimeout),
            result_url: &self.callback_url(Route::PaymentResult),
        })
    }

    fn query<'a>(
        &'a self,
        command_id: &'a str,
        about: Option<&'a str>,
        result_url: &'a str,
        queue_time_out_url: &'a str,
    ) -> requests::Query<'a> {
        requests::Query {
            initiator: &self.initiator,
            security_credential: self.credential.expose_secret(),
            command_id,
            original_conversation_id: about,
            party_a: &self.short_code,
            identifier_type: SHORT_CODE,
            result_url,
            queue_time_out_url,
            remarks: "OK",
        }
    }

    async fn ask(&self, path: &str, query: &requests::Query<'_>) -> Asked {
        let not_taken =
            |message: &str| Asked { taken: false, message: message.to_owned(), hold: None, slow_down: None };
        let Ok(body) = serde_json::to_vec(query) else { return not_taken("the question could not be written") };
        match self.post(path, &body, None).await {
            Heard::Said(Said::Queued { .. }) => Asked { taken: true, ..not_taken("the answer comes by callback") },
            Heard::Said(Said::Other { meaning, message, retry_after }) => {
                let slow_down = self.slow_down_of(meaning, retry_after);
                Asked { taken: false, message, hold: meaning.hold, slow_down }
            }
            Heard::NoToken(why) => Asked { hold: why.hold, ..not_taken(why.message) },
            Heard::NotSent(why) | Heard::Lost(why) => not_taken(why),
        }
    }

    /// One POST with the token. Where the gateway refuses the token, it has looked at nothing else: the same body goes once
    /// more with a new one.
    async fn post(&self, path: &str, body: &[u8], originator: Option<&str>) -> Heard {
        let deadline = Deadline::after(self.call_timeout);
        let token = match self.token(deadline.at()).await {
            Ok(token) => token,
            Err(why) => return Heard::NoToken(why),
        };
        let first = self.post_with(&token, path, body, originator, deadline).await;
        if !token_refused(&first) {
            return first;
        }
        self.tokens.refused(&token).await;
        match self.token(deadline.at()).await {
            Ok(token) => self.post_with(&token, path, body, originator, deadline).await,
            Err(why) => Heard::NoToken(why),
        }
    }

    async fn post_with(
        &self,
        token: &Token,
        path: &str,
        body: &[u8],
        originator: Option<&str>,
        deadline: Deadline,
    ) -> Heard {
        if deadline.is_over() {
            return Heard::NotSent(TOO_LATE);
        }
        let request = self
            .http
            .client()
            .post(format!("{}{path}", self.base_url))
            .header(AUTHORIZATION, token.header.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body.to_vec());
        match self.http.call(request, deadline.at()).await {
            Ended::Answered(answer) => Heard::Said(answer::read(&answer, originator)),
            Ended::NotSent(why) => Heard::NotSent(why),
            Ended::Lost(why) => Heard::Lost(why),
        }
    }

    async fn token(&self, deadline: Instant) -> Result<Token, NoToken> {
        self.tokens.get_before(deadline, |deadline| self.app.token(&self.http, deadline)).await
    }

    fn slow_down_of(&self, meaning: crate::codes::Meaning, asked: Option<Duration>) -> Option<Duration> {
        // A new token that is refused, too: somebody else fetches tokens for this app, or a limit of it is reached.
        let wanted = meaning.slow_down || meaning.token_refused;
        wanted.then(|| self.slow_down.for_the(asked))
    }
}

impl PaymentBackend for Daraja {
    /// Nothing is promised about keys that were refused, so the key protects only what was accepted.
    fn kind(&self) -> RailKind {
        RailKind { dedupes: Dedupe::OncePaid, can_be_asked: true, two_phase: false }
    }

    fn deadline(&self) -> Duration {
        self.call_timeout
    }

    fn check(&self, to: &FinancialAddress, amount: Money) -> Result<(), Refusal> {
        self.amounts.check(amount)?;
        self.msisdn(to).map(|_| ())
    }

    async fn pay(&self, order: &Order) -> Reply {
        let payee = match self.amounts.check(order.amount).and_then(|()| self.msisdn(&order.to)) {
            Ok(payee) => payee,
            Err(refusal) => return refused(refusal),
        };
        let Ok(body) = self.payment(order, &payee) else {
            return Reply::of(Learnt::NotSent, "the payment could not be written");
        };
        let originator = self.originator(order.key);
        match self.post("/mpesa/b2c/v3/paymentrequest", &body, Some(&originator)).await {
            Heard::Said(Said::Queued { conversation }) => {
                Reply { handle: conversation, ..Reply::of(Learnt::Accepted, "mpesa:0 accepted") }
            }
            Heard::Said(Said::Other { meaning, message, retry_after }) => {
                reply(meaning, message, self.slow_down_of(meaning, retry_after))
            }
            Heard::NoToken(why) => Reply {
                hold: why.hold,
                slow_down: Some(self.slow_down.least),
                ..Reply::of(Learnt::NotSent, why.message)
            },
            Heard::NotSent(why) => Reply::of(Learnt::NotSent, why),
            Heard::Lost(why) => Reply::of(Learnt::Nothing, why),
        }
    }

    /// Whatever is said at once is about the question. Its answer comes by callback; so this never says more than nothing, and
    /// above all not that the payment was not sent.
    async fn inquire(&self, order: &Order) -> Reply {
        let about = self.originator(order.key);
        let question = Question { key: order.key, sends: order.sends, quiet: order.quiet };
        let (result, timeout) = (Route::StatusResult(question), Route::StatusTimeout(question));
        let (result, timeout) = (self.callback_url(result), self.callback_url(timeout));
        let query = self.query("TransactionStatusQuery", Some(&about), &result, &timeout);
        let asked = self.ask("/mpesa/transactionstatus/v1/query", &query).await;
        let nothing = Reply::of(Learnt::Nothing, asked.message);
        Reply { answered: asked.taken, hold: asked.hold, slow_down: asked.slow_down, ..nothing }
    }
}

/// Nothing was sent, and nothing ever would be.
pub(crate) fn refused(refusal: Refusal) -> Reply {
    let reply = Reply::of(Learnt::Refused { again: false }, refusal.message);
    Reply { reason: Some(refusal.reason), ..reply }
}

fn token_refused(heard: &Heard) -> bool {
    matches!(heard, Heard::Said(Said::Other { meaning, .. }) if meaning.token_refused)
}

fn check_texts(settings: &MpesaSettings) -> Result<(), SetupError> {
    let daraja = &settings.daraja;
    let prefix = &daraja.key_prefix;
    let fits = prefix.len() <= KEY_PREFIX_CHARS_MAX && prefix.bytes().all(is_plain);
    usable(fits, "mpesa.daraja.key_prefix", "must be at most 7 letters, digits, _ or -")?;
    let remarks = (REMARKS_CHARS_MIN..=REMARKS_CHARS_MAX).contains(&daraja.remarks.len())
        && text::plain_words(&daraja.remarks, REMARKS_CHARS_MAX) == daraja.remarks;
    usable(remarks, "mpesa.daraja.remarks", "must be 2 to 100 letters, digits, blanks and simple punctuation")?;
    let command = matches!(daraja.command_id.as_str(), "BusinessPayment" | "SalaryPayment" | "PromotionPayment");
    usable(command, "mpesa.daraja.command_id", "must be BusinessPayment, SalaryPayment or PromotionPayment")?;
    let codes = daraja.query_not_found_codes.iter().all(|code| !code.is_empty() && code != "0");
    usable(codes, "mpesa.daraja.query_not_found_codes", "must not have 0 or an empty code")
}

/// The callbacks' URL with its secret part, to which the routes are added.
fn callback_base(settings: &MpesaSettings) -> Result<SecretString, SetupError> {
    let daraja = &settings.daraja;
    let url = setup::required_url(daraja.callback_url.as_ref(), "mpesa.daraja.callback_url", settings.require_https)?;
    let token = setup::required_secret(daraja.callback_token.as_ref(), "mpesa.daraja.callback_token")?.expose_secret();
    let fits = token.len() >= CALLBACK_TOKEN_CHARS_MIN && token.bytes().all(is_plain);
    usable(fits, "mpesa.daraja.callback_token", "must be at least 32 letters, digits, _ or -")?;
    Ok(format!("{url}/{token}").into())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests;
