//! What Daraja's gateway refuses on the spot: nothing was taken in hand. It must not know why.

use serde_json::json;

use crate::rail_faults::Answer;

/// A refusal: the HTTP status, Daraja's code and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A field that is missing or not of its form.
    pub(super) fn field(name: &str) -> Self {
        Self::new(400, "400.002.02", format!("Bad Request - Invalid {name}"))
    }

    pub(super) fn payload() -> Self {
        Self::new(400, "400.002.05", "Invalid Request Payload")
    }

    pub(super) fn header() -> Self {
        Self::new(404, "404.001.04", "Invalid Authentication Header")
    }

    /// A token that was never given out, or was forgotten.
    pub(super) fn unknown_token() -> Self {
        Self::new(404, "404.001.03", "Invalid Access Token")
    }

    /// A token that was good once.
    pub(super) fn expired_token() -> Self {
        Self::new(401, "401.003.01", "Error Occurred - Invalid Access Token")
    }

    pub(super) fn authentication_type() -> Self {
        Self::new(400, "400.008.01", "Invalid Authentication passed")
    }

    pub(super) fn grant_type() -> Self {
        Self::new(400, "400.008.02", "Invalid grant type passed")
    }

    pub(super) fn method() -> Self {
        Self::new(405, "405.001", "Method Not Allowed")
    }

    pub(super) fn duplicate() -> Self {
        Self::new(500, "500.002.1001", "Duplicate OriginatorConversationID.")
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "500.001.1001", "Internal Server Error")
    }

    pub(super) fn answer(&self, request_id: &str) -> Answer {
        let Self { status, code, message } = self;
        Answer::json(*status, &json!({"requestId": request_id, "errorCode": code, "errorMessage": message}))
    }
}
