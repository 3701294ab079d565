//! Plain HTTP with an end to everything: time-outs, retries, and the size of an answer.
//!
//! It only sends requests that may be repeated: a batch that was already accepted is answered as the first time, and
//! everything else only reads, or puts what may be put again. It must not know what is in them.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::CliError;

/// Time for one request and its answer. A batch of 100,000 is accepted within a few seconds.
const CALL_TIME_MAX: Duration = Duration::from_secs(120);
/// Tries of one request, while the service is not there or busy.
const TRIES: u32 = 6;
/// Pause before the second try; it doubles with each further one (together about 8 s).
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The answer to a batch of 100,000 has about 40 MiB.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// An HTTP client with this command's limits.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client);

impl Http {
    /// # Errors
    /// Where the system's TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, CliError> {
        Client::builder().timeout(CALL_TIME_MAX).build().map(Self).map_err(CliError::Client)
    }

    /// Posts JSON and reads the JSON answer.
    pub(crate) async fn post<A: DeserializeOwned>(&self, url: &str, body: Vec<u8>) -> Result<A, CliError> {
        let body = reqwest::Body::from(body);
        let request = self.0.post(url).header("content-type", "application/json").body(body);
        json(url, &self.exchange(url, request).await?)
    }

    /// Puts JSON and reads the JSON answer.
    pub(crate) async fn put<A: DeserializeOwned>(&self, url: &str, body: Vec<u8>) -> Result<A, CliError> {
        let body = reqwest::Body::from(body);
        let request = self.0.put(url).header("content-type", "application/json").body(body);
        json(url, &self.exchange(url, request).await?)
    }

    /// Reads JSON.
    pub(crate) async fn get<A: DeserializeOwned>(&self, url: &str) -> Result<A, CliError> {
        json(url, &self.exchange(url, self.0.get(url)).await?)
    }

    async fn exchange(&self, url: &str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CliError> {
        let mut pause = FIRST_PAUSE;
        for number in 1..TRIES {
            // The body is in memory, so the request can always be repeated.
            let Some(request) = request.try_clone() else { break };
            match request.send().await {
                Ok(answer) if !is_busy(answer.status()) => return read(url, answer).await,
                Ok(_) | Err(_) if number == 1 => eprintln!("gctb: no answer from {url} yet, trying again"),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let answer = request.send().await.map_err(|source| unreachable_at(url, source))?;
        read(url, answer).await
    }
}

const fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY)
}

async fn read(url: &str, mut answer: Response) -> Result<Vec<u8>, CliError> {
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|source| unreachable_at(url, source))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(CliError::AnswerTooLarge { url: url.into(), limit_mib: ANSWER_BYTES_MAX >> 20 });
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(bytes);
    }
    Err(CliError::Refused { url: url.into(), status: status.as_u16(), words: words_of(&bytes) })
}

fn json<A: DeserializeOwned>(url: &str, bytes: &[u8]) -> Result<A, CliError> {
    serde_json::from_slice(bytes).map_err(|source| CliError::UnreadableAnswer { url: url.into(), source })
}

fn unreachable_at(url: &str, source: reqwest::Error) -> CliError {
    CliError::Unreachable { url: url.into(), source: source.without_url() }
}

/// What a refusal says, in one of its forms: the `errors` of an HTTP error, the header of a refused message, the simulator's
/// `error`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Option<String>,
    errors: Vec<Fault>,
    header: Fault,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
    #[serde(alias = "status_reason_code")]
    code: Option<String>,
    #[serde(alias = "status_reason_message")]
    message: Option<String>,
}

/// `: code: message` for the end of a sentence; nothing where the body has neither.
fn words_of(body: &[u8]) -> String {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let faults = refusal.errors.into_iter().chain([refusal.header]);
    let words = faults.flat_map(|fault| [fault.code, fault.message]).chain([refusal.error]).flatten();
    words.map(|words| format!(": {words}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_service() {
        let table = [
            (
                r#"{"errors":[{"code":"err.request.bad","message":"message.disbursements is missing"}]}"#,
                ": err.request.bad: message.disbursements is missing",
            ),
            (
                r#"{"signature":"","header":{"message_id":"m","status":"rjct","status_reason_code":"rjct.version.invalid"}}"#,
                ": rjct.version.invalid",
            ),
            (r#"{"error":"seed: invalid type at line 1"}"#, ": seed: invalid type at line 1"),
            ("<html>gateway</html>", ""),
            ("", ""),
        ];
        for (body, expected) in table {
            assert_eq!(words_of(body.as_bytes()), expected, "{body}");
        }
    }
}
