//! What a request comes to, in the words of HTTP.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use gctb_connect::{HeaderCode, Mode, ShapeError, answer};
use gctb_db::{DbError, Fate};

use crate::pieces::{self, PIECE_BYTES, Pieces, Progress};

/// An answer in the specification's form.
pub(crate) struct Reply {
    status: StatusCode,
    body: Vec<u8>,
    /// What follows `body` where the answer is large.
    rest: Option<Box<dyn Pieces>>,
}

impl Reply {
    /// The message was taken and answered.
    pub(crate) fn taken(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, body, rest: None }
    }

    /// The message was taken, and is answered by `pieces`, after `begun`.
    ///
    /// # Errors
    /// Where the database cannot be used; nothing of the answer is sent then.
    pub(crate) fn in_pieces(begun: Vec<u8>, mut pieces: impl Pieces + 'static) -> Result<Self, DbError> {
        let mut body = begun;
        let rest: Option<Box<dyn Pieces>> = match pieces.write(&mut body, PIECE_BYTES)? {
            Progress::Done => None,
            Progress::More => Some(Box::new(pieces)),
        };
        Ok(Self { status: StatusCode::OK, body, rest })
    }

    /// The message was refused by its header. OpenG2P's client reads nothing but the HTTP status.
    pub(crate) fn refused(mode: Mode, code: HeaderCode, body: Vec<u8>) -> Self {
        let status = match mode {
            Mode::Spec => StatusCode::OK,
            Mode::OpenG2p => match code {
                HeaderCode::MessageIdDuplicate | HeaderCode::TransactionIdDuplicate => StatusCode::CONFLICT,
                HeaderCode::VersionInvalid
                | HeaderCode::MessageTsInvalid
                | HeaderCode::ActionInvalid
                | HeaderCode::ActionNotSupported
                | HeaderCode::TotalCountInvalid
                | HeaderCode::TotalCountLimitExceeded => StatusCode::UNPROCESSABLE_ENTITY,
            },
        };
        Self { status, body, rest: None }
    }

    /// The response. Whoever has not read a large one to its end after `read_max` is cut off.
    pub(crate) fn into_response(self, read_max: Duration) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.content_type(ContentType::json());
        match self.rest {
            None => response.body(self.body),
            Some(rest) => response.streaming(pieces::stream(self.body, rest, read_max)),
        }
    }
}

/// Why a request gets no answer in the specification's form. Nothing was acknowledged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The body is not JSON of the right shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The body is larger than the limit, in bytes.
    #[error("the body is larger than the limit of {limit} bytes")]
    TooLarge { limit: u32 },
    /// The sender stopped sending, or sent what HTTP does not allow.
    #[error("the body could not be received to its end")]
    Broken,
    /// The sender took too long to send the body.
    #[error("the body did not arrive within {limit:?}")]
    TooSlow { limit: Duration },
    /// All bodies in hand take the room that there is.
    #[error("the bridge has as many messages in hand as it can hold; nothing was acknowledged")]
    Busy,
    /// The database cannot be used.
    #[error("the database could not be used")]
    Database(#[from] DbError),
    /// The thread that worked on it panicked.
    #[error("the request could not be worked on to its end")]
    Interrupted,
}

impl RequestError {
    pub(crate) fn into_response(self, retry_after: Duration) -> HttpResponse {
        let (status, code, message) = self.in_words();
        let mut response = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, retry_after.as_secs().max(1)));
        }
        response.content_type(ContentType::json()).body(answer::error(code, &message))
    }

    /// A short word for the metrics.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Shape(_) | Self::Broken | Self::TooSlow { .. } => "unreadable",
            Self::TooLarge { .. } => "too_large",
            Self::Busy => "busy",
            Self::Database(_) | Self::Interrupted => "failed",
        }
    }

    fn in_words(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Shape(error) => (StatusCode::BAD_REQUEST, error.code, error.message.clone()),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "err.request.too_large", self.to_string()),
            Self::Broken => (StatusCode::BAD_REQUEST, "err.request.bad", self.to_string()),
            Self::TooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, "err.request.timeout", self.to_string()),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "err.request.too_many_requests", self.to_string()),
            Self::Database(error) => of_database(error),
            Self::Interrupted => internal(),
        }
    }
}

fn of_database(error: &DbError) -> (StatusCode, &'static str, String) {
    match error.fate() {
        Fate::Retry => (
            StatusCode::SERVICE_UNAVAILABLE,
            "err.service.unavailable",
            "the bridge cannot reach its database; nothing was acknowledged".to_owned(),
        ),
        Fate::Refused | Fate::Unknown => internal(),
    }
}

fn internal() -> (StatusCode, &'static str, String) {
    let message = "the bridge met an error of its own; nothing was acknowledged";
    (StatusCode::INTERNAL_SERVER_ERROR, "err.internal", message.to_owned())
}
