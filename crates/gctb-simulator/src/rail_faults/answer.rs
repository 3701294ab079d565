//! Answers a call as its fault wants: late, spoilt, in drips, or never. It must not know what the answer says.

use std::io;
use std::time::Duration;

use actix_web::body::{BodyStream, SizedStream};
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, rt};
use futures_util::stream;
use serde_json::Value;
use tokio::time::sleep;

use super::dialect;
use super::plan::{Fault, Rail};

/// How long a call that is never answered is held at most; then its connection is closed.
const HANG_LIMIT: Duration = Duration::from_secs(600);
const DRIPS: usize = 8;
/// Fields that carry codes, whose type [`Fault::WrongTypes`] changes.
const CODES: [&str; 6] = ["ResponseCode", "ResultCode", "ResultType", "statusCode", "status", "expires_in"];
const PAGE: &str =
    "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>";

/// What a rail answers to a call: a status and JSON, or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) retry_after: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string())
    }

    /// An answer whose JSON is written already.
    pub(crate) fn text(status: u16, body: String) -> Self {
        Self { status, body, retry_after: false }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::text(status, String::new())
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if self.retry_after {
            response.insert_header((RETRY_AFTER, "1"));
        }
        if self.body.is_empty() {
            response.finish()
        } else {
            response.content_type(ContentType::json()).body(self.body)
        }
    }
}

/// Answers one call: waits, lets `work` be done or not, and gives its answer, spoilt or not.
pub(crate) async fn play(
    rail: Rail,
    wait_ms: u64,
    fault: Option<Fault>,
    work: impl FnOnce() -> Answer + 'static,
) -> HttpResponse {
    let delay_ms = if let Some(Fault::Delay { ms }) = &fault { *ms } else { 0 };
    let late_ms = wait_ms + delay_ms;
    if late_ms == 0 {
        return at_once(rail, fault, work).await;
    }
    // A task of its own: a caller who loses patience does not take the request back, money moves all the same.
    let late = rt::spawn(async move {
        pause(late_ms).await;
        at_once(rail, fault, work).await
    });
    late.await.unwrap_or_else(|_| HttpResponse::InternalServerError().finish())
}

async fn at_once(rail: Rail, fault: Option<Fault>, work: impl FnOnce() -> Answer) -> HttpResponse {
    let Some(fault) = fault else { return work().into_response() };
    match fault {
        Fault::HangBefore => hang().await,
        Fault::HangAfter => {
            work();
            hang().await
        }
        Fault::CloseBefore => closed(),
        Fault::CloseAfter => {
            work();
            closed()
        }
        Fault::ErrorBefore { status } => dialect::failed(rail, status).into_response(),
        Fault::ErrorAfter { status } => {
            work();
            dialect::failed(rail, status).into_response()
        }
        Fault::HtmlBefore => HttpResponse::BadGateway().content_type(ContentType::html()).body(PAGE),
        Fault::HtmlAfter => {
            work();
            HttpResponse::Ok().content_type(ContentType::html()).body(PAGE)
        }
        Fault::MalformedJson => {
            let answer = work();
            Answer { body: broken_off(&answer.body), ..answer }.into_response()
        }
        Fault::WrongTypes => {
            let answer = work();
            Answer { body: wrong_types(&answer.body), ..answer }.into_response()
        }
        Fault::RateLimited { style } => dialect::rate_limited(rail, style).into_response(),
        Fault::ExpiredToken => dialect::expired_token(rail).into_response(),
        Fault::SlowDrip { ms } => dripping(work(), ms),
        // The delay is over. The others are played where the transfer's state is made and where callbacks are sent.
        Fault::Delay { .. }
        | Fault::TransferState { .. }
        | Fault::CallbackLost
        | Fault::CallbackDuplicated
        | Fault::CallbackDelayed { .. }
        | Fault::TimeoutCallback { .. } => work().into_response(),
    }
}

/// Waits so many milliseconds; none at all for 0, not even a turn of the timer.
pub(crate) async fn pause(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}

/// JSON that ends after two thirds.
pub(crate) fn broken_off(json: &str) -> String {
    let mut end = json.len() * 2 / 3;
    while !json.is_char_boundary(end) {
        end -= 1;
    }
    json[..end].to_owned()
}

/// JSON whose codes have the other type: numbers as texts, texts of digits as numbers.
pub(crate) fn wrong_types(json: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(json) else { return json.to_owned() };
    turn(&mut value);
    value.to_string()
}

fn turn(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if CODES.contains(&name.as_str()) { turn_code(field) } else { turn(field) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(turn),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn turn_code(code: &mut Value) {
    let turned = match &*code {
        Value::Number(number) => Some(Value::String(number.to_string())),
        Value::String(text) => text.parse::<u64>().ok().map(Value::from),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    if let Some(turned) = turned {
        *code = turned;
    }
}

async fn hang() -> HttpResponse {
    sleep(HANG_LIMIT).await;
    closed()
}

/// Closes the connection without a byte: the server drops a connection whose body fails before it was flushed.
fn closed() -> HttpResponse {
    let broken = stream::once(std::future::ready(Err::<Bytes, _>(io::Error::other("closed on purpose"))));
    HttpResponse::Ok().body(BodyStream::new(broken))
}

fn dripping(answer: Answer, ms: u64) -> HttpResponse {
    let bytes = Bytes::from(answer.body.clone());
    let total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let piece = bytes.len().div_ceil(DRIPS).max(1);
    let drips = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        pause(ms).await;
        let drip = rest.split_to(piece.min(rest.len()));
        Some((Ok::<_, io::Error>(drip), rest))
    });
    let mut response = Answer { body: String::new(), ..answer }.into_response();
    response.headers_mut().insert(
        actix_web::http::header::CONTENT_TYPE,
        actix_web::http::header::HeaderValue::from_static("application/json"),
    );
    response.set_body(SizedStream::new(total, Box::pin(drips))).map_into_boxed_body()
}
