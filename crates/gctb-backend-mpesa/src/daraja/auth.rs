//! Fetching an access token by the app's key and secret. No payment is touched here.

use std::time::Duration;

use gctb_backend::Hold;
use reqwest::header::ACCEPT;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use super::json::Scalar;
use crate::http::{Answer, Ended, Http};
use crate::tokens::{Fresh, NoToken};

/// The longest life of a token that is believed.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The app's key and secret, and where they are shown.
#[derive(Debug)]
pub(super) struct App {
    pub(super) url: String,
    pub(super) key: SecretString,
    pub(super) secret: SecretString,
}

#[derive(Deserialize)]
struct Body {
    access_token: String,
    expires_in: Scalar,
}

impl App {
    pub(super) async fn token(&self, http: &Http, deadline: Instant) -> Result<Fresh, NoToken> {
        let request = http
            .client()
            .get(&self.url)
            .header(ACCEPT, "application/json")
            .basic_auth(self.key.expose_secret(), Some(self.secret.expose_secret()));
        match http.call(request, deadline).await {
            Ended::Answered(answer) => read(&answer),
            Ended::NotSent(_) | Ended::Lost(_) => Err(none("no access token could be fetched")),
        }
    }
}

fn read(answer: &Answer) -> Result<Fresh, NoToken> {
    match answer.status {
        200 => fresh(&answer.body).ok_or(none("the answer to the login cannot be read")),
        // A wrong key or secret: 400, often without a body, or 401.
        400 | 401 => {
            Err(NoToken { message: "the rail refused the app's key or secret", hold: Some(Hold::CredentialsRefused) })
        }
        _ => Err(none("the rail gave no access token")),
    }
}

fn fresh(body: &[u8]) -> Option<Fresh> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let life = body.expires_in.0.trim().parse().ok().map(Duration::from_secs)?;
    Fresh::new(&body.access_token, life.min(LIFE_MAX)).filter(|_| !life.is_zero())
}

fn none(message: &'static str) -> NoToken {
    NoToken { message, hold: None }
}
