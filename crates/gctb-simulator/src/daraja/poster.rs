//! Posts callbacks over connections that are kept: one attempt each, a bounded number at a time. It must not know what they say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::Semaphore;

use crate::rail_book::RailError;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a listener may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Callbacks answered with a success, and the others.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// Sends callbacks. Each of the server's threads has one with a client of its own; they share the bound and the counts.
#[derive(Clone)]
pub(crate) struct Poster {
    client: Client,
    sending: Arc<Semaphore>,
    posted: Arc<Posted>,
}

impl Poster {
    pub(crate) fn new(in_flight: usize) -> Result<Self, RailError> {
        let sending = Arc::new(Semaphore::new(in_flight));
        Ok(Self { client: client()?, sending, posted: Arc::default() })
    }

    /// Another poster with connections of its own and the same bound and counts.
    pub(crate) fn with_own_connections(&self) -> Self {
        // The first client was made in the same way, so a second one can only fail where nothing works any more.
        let client = client().unwrap_or_else(|_| self.client.clone());
        Self { client, sending: Arc::clone(&self.sending), posted: Arc::clone(&self.posted) }
    }

    pub(crate) fn posted(&self) -> &Posted {
        &self.posted
    }

    /// Posts once and forgets: Daraja does not repeat a callback.
    pub(crate) async fn post(&self, url: &str, body: String) {
        let Ok(_permit) = self.sending.acquire().await else { return };
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let delivered = match request.send().await {
            // The body is read, so that the connection can be used again.
            Ok(response) => response.status().is_success() && response.bytes().await.is_ok(),
            Err(_) => false,
        };
        let counter = if delivered { &self.posted.delivered } else { &self.posted.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn client() -> Result<Client, RailError> {
    Client::builder().no_proxy().connect_timeout(CONNECT_LIMIT).timeout(ANSWER_LIMIT).build().map_err(RailError::Client)
}
