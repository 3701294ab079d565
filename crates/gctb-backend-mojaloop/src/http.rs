//! HTTP calls to the adapter: one request each, one bounded answer or a word on why there is none.
//!
//! It repeats nothing. reqwest would send a request again after an HTTP/2 server turned it away: that is switched off,
//! and HTTP/1.1 is all that is spoken. What remains is hyper's own: a request that waited for a kept connection which
//! closed before any byte of it was written goes over another one. That is the same request, sent once.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect, retry};
use serde::Serialize;

use crate::answer::Answer;
use crate::settings::{AdapterSettings, UnusableSetting};

/// Calls the adapter.
pub(crate) struct Adapter {
    http: Client,
    endpoint: Url,
    call_deadline: Duration,
    answer_bytes_max: usize,
    slow_down_max: Duration,
}

/// How one request ended.
pub(crate) enum Exchange {
    /// No connection: nothing has left this process.
    NotConnected,
    /// A request that may have left, and no answer: in time, or at all.
    Lost {
        /// Whether the deadline passed.
        timed_out: bool,
    },
    /// An answer.
    Answered(Answered),
}

/// An answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// How long we are asked to wait, as far as it is believed.
    pub(crate) retry_after: Option<Duration>,
}

/// What an answer holds.
pub(crate) enum Body {
    /// No byte.
    Empty,
    /// A JSON object.
    Json(Answer),
    /// Anything else: a web page, a body that broke off, one beyond the limit.
    Unreadable,
}

impl Answered {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn json(&self) -> Option<&Answer> {
        match &self.body {
            Body::Json(answer) => Some(answer),
            Body::Empty | Body::Unreadable => None,
        }
    }
}

/// Until when the calls of one step may take.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Why nobody could be made a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdapterError {
    #[error(transparent)]
    Setting(#[from] UnusableSetting),
    #[error("could not prepare HTTP calls to the Mojaloop SDK scheme adapter")]
    Http(#[source] reqwest::Error),
}

impl Adapter {
    pub(crate) fn new(settings: &AdapterSettings) -> Result<Self, AdapterError> {
        let http = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.idle_connections_max)
            .http1_only()
            .retry(retry::never())
            // Payments go to the configured place and nowhere else, whatever an answer or the environment says.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(AdapterError::Http)?;
        Ok(Self {
            http,
            endpoint: settings.endpoint()?,
            call_deadline: settings.call_deadline,
            answer_bytes_max: settings.answer_bytes_max,
            slow_down_max: settings.slow_down_max,
        })
    }

    /// How long one step may take.
    pub(crate) const fn call_deadline(&self) -> Duration {
        self.call_deadline
    }

    /// The deadline of a step that begins now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline(Instant::now() + self.call_deadline)
    }

    /// `POST /transfers`.
    pub(crate) async fn post(&self, body: &impl Serialize, deadline: Deadline) -> Exchange {
        self.call(Method::POST, None, Some(body), deadline).await
    }

    /// `PUT /transfers/{transferId}`.
    pub(crate) async fn put(&self, transfer_id: &str, body: &impl Serialize, deadline: Deadline) -> Exchange {
        self.call(Method::PUT, Some(transfer_id), Some(body), deadline).await
    }

    /// `GET /transfers/{transferId}`.
    pub(crate) async fn get(&self, transfer_id: &str, deadline: Deadline) -> Exchange {
        self.call(Method::GET, Some(transfer_id), None::<&()>, deadline).await
    }

    async fn call(
        &self,
        method: Method,
        transfer_id: Option<&str>,
        body: Option<&impl Serialize>,
        deadline: Deadline,
    ) -> Exchange {
        let Some(url) = self.url(transfer_id) else { return Exchange::NotConnected };
        let request = self.http.request(method, url).header(ACCEPT, "application/json").timeout(deadline.remaining());
        let request = match body.map(serde_json::to_vec) {
            None => request,
            Some(Ok(body)) => request.header(CONTENT_TYPE, "application/json").body(body),
            Some(Err(_)) => return Exchange::NotConnected,
        };
        match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) if error.is_connect() || error.is_builder() => Exchange::NotConnected,
            Err(error) => Exchange::Lost { timed_out: error.is_timeout() },
        }
    }

    /// None where the endpoint cannot have paths, which its check has excluded.
    fn url(&self, transfer_id: Option<&str>) -> Option<Url> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut().ok()?.pop_if_empty().push("transfers").extend(transfer_id);
        Some(url)
    }

    async fn read(&self, mut response: Response) -> Exchange {
        let status = response.status();
        let retry_after = self.retry_after(&response);
        let mut body = Vec::new();
        let read = loop {
            match response.chunk().await {
                Ok(Some(part)) if body.len() + part.len() <= self.answer_bytes_max => body.extend_from_slice(&part),
                Ok(Some(_)) => break Body::Unreadable,
                Ok(None) if body.is_empty() => break Body::Empty,
                Ok(None) => break Answer::parse(&body).map_or(Body::Unreadable, Body::Json),
                Err(error) if error.is_timeout() => return Exchange::Lost { timed_out: true },
                Err(_) => break Body::Unreadable,
            }
        };
        Exchange::Answered(Answered { status: status.as_u16(), body: read, retry_after })
    }

    /// Where we are asked to slow down: the seconds that are named, or a moment.
    fn retry_after(&self, response: &Response) -> Option<Duration> {
        let named = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let named = named.map(|seconds: u64| Duration::from_secs(seconds).min(self.slow_down_max));
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Some(named.unwrap_or(Duration::from_secs(1).min(self.slow_down_max))),
            StatusCode::SERVICE_UNAVAILABLE => named,
            _ => None,
        }
    }
}
