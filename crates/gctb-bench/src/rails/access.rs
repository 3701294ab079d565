//! What one needs before one can pay over a rail: tokens, credentials, and where callbacks go. Fetched once, before the clock
//! starts.

use openssl::base64;
use openssl::error::ErrorStack;
use openssl::rsa::Padding;
use openssl::x509::X509;
use reqwest::blocking::{RequestBuilder, Response};
use serde::Deserialize;
use serde_json::json;

use super::scenario::Rail;
use super::settings::{CONSUMER_KEY, CONSUMER_SECRET, INITIATOR_PASSWORD, SIMPLE_AGENT, SIMPLE_PASSWORD};
use super::simulator::Asking;
use crate::error::BenchError;
use crate::sender::client;

/// Leave to pay over one rail of one simulator.
#[derive(Clone, Debug)]
pub(super) enum Access {
    Simple { authorization: String },
    Daraja { authorization: String, credential: String, callback_url: String },
    Mojaloop,
}

impl Access {
    /// Logs in at the simulator. `callback_url` is where the callbacks of Daraja go.
    pub(super) fn get(rail: Rail, base: &str, callback_url: &str) -> Result<Self, BenchError> {
        Ok(match rail {
            Rail::Simple => Self::Simple { authorization: simple(base)? },
            Rail::Daraja => Self::Daraja {
                authorization: daraja(base)?,
                credential: credential(&Asking::about(rail, base)?.certificate()?)?,
                callback_url: callback_url.to_owned(),
            },
            Rail::Mojaloop => Self::Mojaloop,
        })
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

fn simple(base: &str) -> Result<String, BenchError> {
    let body = json!({"email": SIMPLE_AGENT, "password": SIMPLE_PASSWORD});
    bearer(client(1)?.post(format!("{base}/api/login/agent")).json(&body))
}

fn daraja(base: &str) -> Result<String, BenchError> {
    let url = format!("{base}/oauth/v1/generate?grant_type=client_credentials");
    bearer(client(1)?.get(url).basic_auth(CONSUMER_KEY, Some(CONSUMER_SECRET)))
}

fn bearer(request: RequestBuilder) -> Result<String, BenchError> {
    let token = request.send().and_then(Response::error_for_status).and_then(Response::json::<Token>);
    let token = token.map_err(|source| BenchError::Http { doing: "log in at the rail".to_owned(), source })?;
    Ok(format!("Bearer {}", token.token))
}

/// The initiator's password, encrypted for the certificate: PKCS#1 v1.5, in base 64.
fn credential(certificate: &str) -> Result<String, BenchError> {
    let encrypt = || -> Result<String, ErrorStack> {
        let key = X509::from_pem(certificate.as_bytes())?.public_key()?.rsa()?;
        let mut encrypted = vec![0; key.size() as usize];
        let length = key.public_encrypt(INITIATOR_PASSWORD.as_bytes(), &mut encrypted, Padding::PKCS1)?;
        encrypted.truncate(length);
        Ok(base64::encode_block(&encrypted))
    };
    encrypt().map_err(BenchError::Encrypt)
}
