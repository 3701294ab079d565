//! One call of the mapper's synchronous resolve API over HTTP.
//!
//! It neither repeats nor decides anything. Resolving only reads, so every call may be repeated under new ids. References
//! are our own, made per call: the mapper never sees a sender's. No two calls share one: an answer that belongs to another
//! call, as a cache in between may give it, must not say that a person's money goes to another's account.

use std::time::{Duration, Instant};

use gctb_connect::resolve::{self, Outcome, ResolveCall, ResolveError};
use gctb_domain::FinancialAddress;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, Url, redirect};
use uuid::Uuid;

use crate::clock::Clock;
use crate::settings::{MapperSettings, UnusableSetting};

/// Calls the mapper.
pub(crate) struct MapperClient {
    http: Client,
    url: Url,
    sender_id: String,
    receiver_id: String,
    answer_bytes_max: usize,
    clock: Clock,
}

/// A call that has ended.
pub(crate) struct Ended {
    /// The ids that were asked about.
    pub(crate) ids: Vec<FinancialAddress>,
    /// An outcome for each of them, in their order.
    pub(crate) result: Result<Vec<Outcome>, CallError>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Why nobody could be made a client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The settings cannot be used.
    #[error(transparent)]
    Setting(#[from] UnusableSetting),
    /// The TLS library, for one, is missing.
    #[error("could not prepare HTTP calls to the ID account mapper")]
    Http(#[source] reqwest::Error),
}

/// Why a call taught nothing about any id.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or one that broke.
    #[error("the ID account mapper could not be reached")]
    Unreachable(#[source] reqwest::Error),
    /// No answer within mapper.call_timeout.
    #[error("the ID account mapper did not answer in time (setting mapper.call_timeout)")]
    TimedOut,
    /// An answer that is none.
    #[error("the ID account mapper answered with the HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// More than it can have to say.
    #[error("the ID account mapper's answer has more than {max} bytes (setting mapper.answer_bytes_max)")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// An answer that names no reference of this call, as a cache in between may give it.
    #[error("the ID account mapper's answer belongs to another call")]
    OtherCall,
    /// An answer in another form, a web page for example.
    #[error("the ID account mapper's answer cannot be used")]
    Unusable(#[source] ResolveError),
}

impl CallError {
    /// Whether one id may be what the mapper fails on, so that asking for fewer at once can help. A mapper that is away
    /// or busy fails on all of them alike.
    pub(crate) fn may_be_one_id(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut | Self::OtherCall => false,
            Self::Status { status } => !matches!(status, 401..=404 | 408 | 429 | 502..=504),
            Self::TooLarge { .. } | Self::Unusable(_) => true,
        }
    }

    /// The name for the metrics.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Status { .. } => "http_status",
            Self::TooLarge { .. } => "too_large",
            Self::OtherCall => "other_call",
            Self::Unusable(_) => "unusable",
        }
    }
}

impl MapperClient {
    pub(crate) fn new(settings: &MapperSettings, clock: Clock) -> Result<Self, ClientError> {
        let http = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.call_timeout)
            // Ids go to the configured place and nowhere else, whatever an answer or the environment says.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self {
            http,
            url: settings.endpoint()?,
            sender_id: settings.sender_id.clone(),
            receiver_id: settings.receiver_id.clone(),
            answer_bytes_max: settings.answer_bytes_max,
            clock,
        })
    }

    /// Asks about `ids`, which must differ from each other.
    pub(crate) async fn call(&self, ids: Vec<FinancialAddress>) -> Ended {
        let began = (self.clock.instant)();
        let result = self.resolve(&ids).await;
        let now: Instant = (self.clock.instant)();
        Ended { ids, result, took: now.saturating_duration_since(began) }
    }

    async fn resolve(&self, ids: &[FinancialAddress]) -> Result<Vec<Outcome>, CallError> {
        let call = Uuid::new_v4().simple().to_string();
        let references: Vec<String> = (1..=ids.len()).map(|n| format!("{call}-{n}")).collect();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let items: Vec<(&str, &FinancialAddress)> = references.iter().copied().zip(ids).collect();
        let mut request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(self.body(&items));
        if let Some(traceparent) = gctb_runtime::trace::current_traceparent() {
            request = request.header(gctb_events::header::TRACEPARENT, traceparent);
        }
        let response = request.send().await.map_err(broken)?;
        let answered = resolve::answer(&self.read(response).await?).map_err(CallError::Unusable)?;
        // An empty answer is one that leaves all ids out: that may be the one id that was asked about.
        if !answered.is_empty() && !answered.iter().any(|(reference, _)| reference.starts_with(&call)) {
            return Err(CallError::OtherCall);
        }
        Ok(resolve::by_reference(&references, answered))
    }

    fn body(&self, items: &[(&str, &FinancialAddress)]) -> Vec<u8> {
        let (message_id, transaction_id) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let call = ResolveCall {
            message_id: &message_id,
            transaction_id: &transaction_id,
            sender_id: &self.sender_id,
            receiver_id: &self.receiver_id,
            at: (self.clock.time)(),
        };
        resolve::request(&call, items)
    }

    /// The body of a good answer, as far as the limit allows.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, CallError> {
        if !response.status().is_success() {
            return Err(CallError::Status { status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if body.len() + part.len() > self.answer_bytes_max {
                return Err(CallError::TooLarge { max: self.answer_bytes_max });
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }
}

fn broken(error: reqwest::Error) -> CallError {
    if error.is_timeout() { CallError::TimedOut } else { CallError::Unreachable(error.without_url()) }
}
