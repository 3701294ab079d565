//! What simple-mpesa refuses, in its words. It must not know when.

use serde_json::{Value, json};

use crate::rail_faults::Answer;

/// A refusal: its HTTP status and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    body: Value,
}

impl Refusal {
    /// Fields that are missing or not of their form: an array, unlike every other refusal.
    pub(super) fn fields(messages: &[String]) -> Self {
        let item = |message: &String| json!({"error": "Validation Error", "message": message, "status": 400});
        Self { status: 400, body: messages.iter().map(item).collect() }
    }

    pub(super) fn request(message: &str) -> Self {
        Self { status: 400, body: json!({"error": "could not process request", "message": message, "status": 400}) }
    }

    pub(super) fn float(amount: u64, balance: i128) -> Self {
        Self::request(&format!("cannot debit amount, account balance not enough. Amount: {amount} Balance: {balance}"))
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self { status: 401, body: json!({"error": "unauthorized", "message": message, "status": 401}) }
    }

    pub(super) fn internal() -> Self {
        Self { status: 500, body: json!({"error": "internal error", "message": "something went wrong", "status": 500}) }
    }

    pub(super) fn answer(&self) -> Answer {
        Answer::json(self.status, &self.body)
    }
}
