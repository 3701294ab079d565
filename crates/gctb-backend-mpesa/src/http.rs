//! One HTTP call to a rail, within a deadline, and what is certain when it has ended.
//!
//! It never repeats a call. Three things could do so behind our back, and none does:
//! - reqwest repeats what the protocol hands back unprocessed: switched off by `retry::never`;
//! - HTTP/2 would hand back such requests: only HTTP/1.1 is spoken;
//! - hyper-util takes another connection where a kept one was found closed **before** the first byte of the request was
//!   written. That is no second request, since there was no first. A connection that breaks later is an error here.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response, redirect, retry};
use tokio::time::Instant;

use crate::settings::MpesaSettings;
use crate::setup::SetupError;

/// Why nothing was sent although there is a token.
pub(crate) const TOO_LATE: &str = "not sent: the call's time was over before there was a token";

/// Makes calls.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    answer_bytes_max: usize,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// There was no connection: nothing has left this process.
    NotSent(&'static str),
    /// The request may have been read, and nobody knows what became of it.
    Lost(&'static str),
    /// An answer, whatever it says.
    Answered(Answer),
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whole seconds of the header `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(settings: &MpesaSettings) -> Result<Self, SetupError> {
        let client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .pool_max_idle_per_host(settings.idle_connections_max)
            .pool_idle_timeout(settings.idle_connection_timeout)
            .tcp_nodelay(true)
            .http1_only()
            .retry(retry::never())
            // Payments go to the configured place and nowhere else, whatever an answer or the environment says.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(SetupError::Http)?;
        Ok(Self { client, answer_bytes_max: settings.answer_bytes_max })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request and reads its answer, both before `deadline`.
    pub(crate) async fn call(&self, request: RequestBuilder, deadline: Instant) -> Ended {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ended::NotSent("no time was left for the call");
        }
        match request.timeout(left).send().await {
            Ok(response) => self.read(response).await,
            Err(error) => ended(&error),
        }
    }

    async fn read(&self, mut response: Response) -> Ended {
        let status = response.status().as_u16();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(part)) if body.len() + part.len() > self.answer_bytes_max => {
                    return Ended::Lost("the answer is larger than mpesa.answer_bytes_max");
                }
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) => {
                    return Ended::Answered(Answer { status, retry_after: seconds.map(Duration::from_secs), body });
                }
                // The request was read: whatever stopped the answer says nothing about the payment.
                Err(_) => return Ended::Lost("the answer broke off"),
            }
        }
    }
}

/// What an error leaves certain. Only a connection that was never made proves that nothing was sent: name, address, TLS.
fn ended(error: &reqwest::Error) -> Ended {
    if error.is_connect() {
        Ended::NotSent("the rail could not be connected to")
    } else if error.is_timeout() {
        Ended::Lost("the rail did not answer in time")
    } else {
        Ended::Lost("the connection to the rail broke")
    }
}
