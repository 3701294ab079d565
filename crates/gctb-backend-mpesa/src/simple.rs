//! The rail of the simple-mpesa simulator: login, then one deposit for each payment.
//!
//! It takes no key of ours and cannot be asked what became of a deposit, so whatever is not certain is a person's to find out.

mod answer;

use std::time::Duration;

use gctb_backend::{Deadline, Hold, Order, PaymentBackend, Refusal, Reply};
use gctb_domain::paying::{Dedupe, Learnt, RailKind};
use gctb_domain::{FinancialAddress, Money};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::amounts::{AmountRules, whole_units};
use crate::daraja::{SlowDown, refused};
use crate::http::{Answer, Ended, Http, TOO_LATE};
use crate::msisdn::Payees;
use crate::settings::MpesaSettings;
use crate::setup::{self, SetupError, usable};
use crate::tokens::{Fresh, NoToken, Token, Tokens};
use answer::{Said, nothing, read};

/// The rail.
#[derive(Debug)]
pub struct Simple {
    http: Http,
    tokens: Tokens,
    base_url: String,
    email: String,
    password: SecretString,
    customer_type: String,
    token_life: Duration,
    amounts: AmountRules,
    payees: Payees,
    call_timeout: Duration,
    slow_down: SlowDown,
}

/// `POST /api/login/agent`.
#[derive(Serialize)]
struct Login<'a> {
    email: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct LoggedIn {
    token: String,
}

/// `POST /api/transaction/deposit`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deposit<'a> {
    amount: i64,
    account_no: &'a str,
    customer_type: &'a str,
}

impl Simple {
    /// A rail from the settings.
    ///
    /// # Errors
    /// What is missing or makes no sense, by the name of its setting.
    pub fn new(settings: &MpesaSettings) -> Result<Self, SetupError> {
        setup::check_limits(settings)?;
        let simple = &settings.simple;
        let base_url = setup::required_url(simple.base_url.as_ref(), "mpesa.simple.base_url", settings.require_https)?;
        let email = setup::required(simple.agent_email.as_ref(), "mpesa.simple.agent_email")?;
        let password = setup::required_secret(simple.agent_password.as_ref(), "mpesa.simple.agent_password")?;
        let kind = simple.customer_type.as_str();
        let known = matches!(kind, "agent" | "merchant" | "subscriber");
        usable(known, "mpesa.simple.customer_type", "must be agent, merchant or subscriber")?;
        usable(!simple.token_life.is_zero(), "mpesa.simple.token_life", "must be more than nothing")?;
        Ok(Self {
            http: Http::new(settings)?,
            tokens: Tokens::new(settings),
            email: email.to_owned(),
            password: password.clone(),
            customer_type: kind.to_owned(),
            token_life: simple.token_life,
            amounts: AmountRules::new(settings)?.whole(),
            payees: Payees::new(&simple.strategy, "email")?,
            call_timeout: settings.call_timeout,
            slow_down: SlowDown::new(settings),
            base_url,
        })
    }

    fn deposit(&self, order: &Order) -> Result<Vec<u8>, Refusal> {
        self.amounts.check(order.amount)?;
        let account_no = self.payees.name(&order.to)?;
        // The check has refused what is not whole.
        let amount = whole_units(order.amount).unwrap_or_default();
        let deposit = Deposit { amount, account_no, customer_type: &self.customer_type };
        serde_json::to_vec(&deposit).map_err(|_| Refusal {
            reason: gctb_domain::ReasonCode::PayeeFaInvalid,
            message: "the deposit could not be written".to_owned(),
        })
    }

    /// One deposit. Where the login is refused, the deposit was not looked at: the same goes once more after a new login.
    async fn pay_within(&self, body: &[u8], deadline: Deadline) -> Reply {
        let token = match self.token(deadline.at()).await {
            Ok(token) => token,
            Err(why) => return self.not_logged_in(why),
        };
        match self.send(&token, body, deadline).await {
            Said::About(reply) => return reply,
            Said::LoginRefused => self.tokens.refused(&token).await,
        }
        let token = match self.token(deadline.at()).await {
            Ok(token) => token,
            Err(why) => return self.not_logged_in(why),
        };
        match self.send(&token, body, deadline).await {
            Said::About(reply) => reply,
            Said::LoginRefused => self.not_logged_in(NoToken {
                message: "simple-mpesa: a new login was refused",
                hold: Some(Hold::CredentialsRefused),
            }),
        }
    }

    async fn send(&self, token: &Token, body: &[u8], deadline: Deadline) -> Said {
        if deadline.is_over() {
            return Said::About(Reply::of(Learnt::NotSent, TOO_LATE));
        }
        let request = self
            .http
            .client()
            .post(format!("{}/api/transaction/deposit", self.base_url))
            .header(AUTHORIZATION, token.header.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body.to_vec());
        match self.http.call(request, deadline.at()).await {
            Ended::Answered(answer) => match read(&answer) {
                Said::About(reply) => Said::About(self.at_ease(reply, &answer)),
                Said::LoginRefused => Said::LoginRefused,
            },
            Ended::NotSent(why) => Said::About(Reply::of(Learnt::NotSent, why)),
            Ended::Lost(why) => Said::About(nothing(why)),
        }
    }

    /// Leaves a busy rail alone.
    fn at_ease(&self, mut reply: Reply, answer: &Answer) -> Reply {
        if matches!(answer.status, 429 | 502..=504) {
            reply.slow_down = Some(self.slow_down.for_the(answer.retry_after));
        }
        reply
    }

    fn not_logged_in(&self, why: NoToken) -> Reply {
        let reply = Reply::of(Learnt::NotSent, why.message);
        Reply { hold: why.hold, slow_down: Some(self.slow_down.for_the(None)), ..reply }
    }

    async fn token(&self, deadline: Instant) -> Result<Token, NoToken> {
        self.tokens.get_before(deadline, |deadline| self.log_in(deadline)).await
    }

    async fn log_in(&self, deadline: Instant) -> Result<Fresh, NoToken> {
        let login = Login { email: &self.email, password: self.password.expose_secret() };
        let request = self.http.client().post(format!("{}/api/login/agent", self.base_url)).json(&login);
        let answer = match self.http.call(request, deadline).await {
            Ended::Answered(answer) => answer,
            Ended::NotSent(_) | Ended::Lost(_) => return Err(no_token("simple-mpesa: the login could not be reached")),
        };
        match answer.status {
            200 => {
                let token = serde_json::from_slice::<LoggedIn>(&answer.body).ok();
                let fresh = token.and_then(|body| Fresh::new(&body.token, self.token_life));
                fresh.ok_or(no_token("simple-mpesa: the answer to the login cannot be read"))
            }
            // An unknown e-mail, or a wrong password.
            400 | 401 => Err(NoToken {
                message: "simple-mpesa: the agent's e-mail or password was refused",
                hold: Some(Hold::CredentialsRefused),
            }),
            _ => Err(no_token("simple-mpesa: no login")),
        }
    }
}

fn no_token(message: &'static str) -> NoToken {
    NoToken { message, hold: None }
}

impl PaymentBackend for Simple {
    fn kind(&self) -> RailKind {
        RailKind { dedupes: Dedupe::Never, can_be_asked: false, two_phase: false }
    }

    fn deadline(&self) -> Duration {
        self.call_timeout
    }

    fn check(&self, to: &FinancialAddress, amount: Money) -> Result<(), Refusal> {
        self.amounts.check(amount)?;
        self.payees.name(to).map(|_| ())
    }

    async fn pay(&self, order: &Order) -> Reply {
        match self.deposit(order) {
            Ok(body) => self.pay_within(&body, Deadline::after(self.call_timeout)).await,
            Err(refusal) => refused(refusal),
        }
    }

    async fn inquire(&self, _order: &Order) -> Reply {
        nothing("it cannot be asked what became of a deposit")
    }
}

#[cfg(test)]
mod tests;
