//! The adapter of the stories: answers by method and path, and what it was asked.

use std::time::Duration;

use gctb_backend::Order;
use gctb_domain::{BatchNo, Currency, FinancialAddress, Money, RailKey, Seq};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::MojaloopRail;
use crate::settings::tests::defaults;

/// The transfer of the stories.
pub(super) const ID: &str = "01J9ZQ6Y2M8K5T7V3N4R0W1XAB";

/// An adapter and a rail that calls it.
pub(super) struct Play {
    pub(super) adapter: MockServer,
    pub(super) rail: MojaloopRail,
}

impl Play {
    pub(super) async fn new() -> Self {
        let adapter = MockServer::start().await;
        let rail = rail(&adapter.uri(), Duration::from_secs(20));
        Self { adapter, rail }
    }

    /// From now on `verb` on /transfers, or on the transfer of the stories, is answered like this.
    pub(super) async fn answers(&self, verb: &str, answer: ResponseTemplate) -> &Self {
        let place = if verb == "POST" { "/transfers".to_owned() } else { format!("/transfers/{ID}") };
        Mock::given(method(verb)).and(path(place)).respond_with(answer).mount(&self.adapter).await;
        self
    }

    /// The same, and everything that was said before is forgotten.
    pub(super) async fn answers_only(&self, verb: &str, answer: ResponseTemplate) -> &Self {
        self.adapter.reset().await;
        self.answers(verb, answer).await
    }

    /// Every request so far, as its method and body.
    pub(super) async fn asked(&self) -> Vec<(String, Value)> {
        let requests = self.adapter.received_requests().await.expect("they are recorded");
        let body = |body: &[u8]| serde_json::from_slice(body).unwrap_or(Value::Null);
        requests.iter().map(|request| (request.method.to_string(), body(&request.body))).collect()
    }
}

/// A rail that has seen the adapter at `url` wait for an acceptance.
pub(super) fn rail(url: &str, deadline: Duration) -> MojaloopRail {
    let rail = fresh_rail(url, deadline);
    rail.waits.store(true, std::sync::atomic::Ordering::Relaxed);
    rail
}

/// A rail that calls the adapter at `url`, allows 2.50 KES of fees and waits no longer than `deadline` for a step.
pub(super) fn fresh_rail(url: &str, deadline: Duration) -> MojaloopRail {
    let mut settings = defaults();
    settings.adapter.url = url.to_owned();
    settings.adapter.connect_timeout = deadline / 2;
    settings.adapter.call_deadline = deadline;
    settings.adapter.answer_bytes_max = 20_000;
    settings.fees.max.insert("KES".to_owned(), "2.50".to_owned());
    MojaloopRail::new(&settings).expect("the settings make sense")
}

/// 1000.50 KES for somebody, not yet prepared.
pub(super) fn order() -> Order {
    Order {
        key: RailKey::new(BatchNo(7), Seq(3), 1).expect("fits"),
        handle: None,
        to: FinancialAddress::parse("phone:+254700000001").expect("an address"),
        amount: Money::parse("1000.50", Currency::parse("KES").expect("a currency")).expect("an amount"),
        payee_name: "Jané Doe".to_owned(),
        narrative: "Farmer relief".to_owned(),
        sends: 1,
        quiet: false,
    }
}

/// The same, prepared.
pub(super) fn prepared() -> Order {
    Order { handle: Some(ID.to_owned()), ..order() }
}

pub(super) fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// A transfer in this state of the adapter.
pub(super) fn in_state(state: &str) -> Value {
    json!({"transferId": ID, "homeTransactionId": order().key.to_string(), "currentState": state})
}

/// A quote for `amount` KES with this fee.
pub(super) fn quote(amount: &str, fee: &str) -> Value {
    let kes = |amount: &str| json!({"amount": amount, "currency": "KES"});
    let mut answer = in_state("WAITING_FOR_QUOTE_ACCEPTANCE");
    answer["quoteResponse"] = json!({"body": {"transferAmount": kes(amount), "payeeFspFee": kes(fee)}, "headers": {}});
    answer
}

/// COMPLETED with the scheme's own state of the transfer.
pub(super) fn completed(state: &str) -> Value {
    let mut answer = in_state("COMPLETED");
    answer["fulfil"] = json!({"body": {"transferState": state, "fulfilment": "…"}, "headers": {}});
    answer
}

/// An error of the scheme, as the adapter passes it on.
pub(super) fn error(code: &str) -> ResponseTemplate {
    let information =
        json!({"errorInformation": {"errorCode": code, "errorDescription": "phone:+254700000001 of Jané Doe"}});
    ResponseTemplate::new(500).set_body_json(json!({
        "message": "Got an error response resolving party: phone:+254700000001",
        "statusCode": code,
        "transferState": {
            "transferId": ID,
            "currentState": "ERROR_OCCURRED",
            "lastError": {"httpStatusCode": 500, "mojaloopError": information},
        },
    }))
}

/// An error without a code of the scheme: the adapter's own.
pub(super) fn own_error(status: u16, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "message": message,
        "statusCode": status.to_string(),
        "transferState": {"transferId": ID, "currentState": "ERROR_OCCURRED", "lastError": {"httpStatusCode": status}},
    }))
}

pub(super) fn html(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw("<html><h1>Bad Gateway</h1></html>", "text/html")
}

/// The adapter has no state of the transfer.
pub(super) fn forgotten() -> ResponseTemplate {
    let message = format!("No cached data found for transferId: {ID}");
    ResponseTemplate::new(500).set_body_json(json!({"message": message, "transferState": {}, "statusCode": "500"}))
}
