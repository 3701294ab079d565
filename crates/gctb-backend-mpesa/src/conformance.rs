//! The conformance suite on both profiles, against the simulator's M-Pesa and its books.

use std::time::Duration;

use gctb_backend::conformance::{Call, Sandbox, Trouble};
use gctb_backend::{Order, PaymentBackend, Reply};
use gctb_domain::{Currency, FinancialAddress, Money};
use gctb_simulator::testing::Played;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use crate::daraja::{Callback, Daraja, Route};
use crate::settings::MpesaSettings;
use crate::simple::Simple;
use crate::testing::played::introduce;
use crate::testing::{CALLBACK_TOKEN, Certificate, NOW, kes, settings};

mod daraja {
    gctb_backend::conformance_tests!(super::DarajaSandbox);
}

mod simple {
    gctb_backend::conformance_tests!(super::SimpleSandbox);
}

/// By when a callback must have come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what has come.
const LOOK_EVERY: Duration = Duration::from_millis(5);

struct DarajaSandbox {
    played: Played,
    rail: Daraja,
    hurried: Daraja,
    nowhere: Daraja,
    /// Takes the callbacks, for the backend to read.
    callbacks: MockServer,
    _certificate: Certificate,
}

struct SimpleSandbox {
    played: Played,
    rail: Simple,
    hurried: Simple,
    nowhere: Simple,
    _certificate: Certificate,
}

/// Settings of whom `played` knows: with the patience of the defaults, in a hurry, and at an address where nobody listens.
async fn introduced(played: &Played, callback_url: &str) -> ([MpesaSettings; 3], Certificate) {
    let mut patient = settings();
    patient.daraja.callback_url = Some(callback_url.to_owned());
    // The code that the simulator has for what it does not know.
    patient.daraja.query_not_found_codes = vec!["2032".to_owned()];
    let certificate = introduce(played, &mut patient).await;
    let mut hurried = patient.clone();
    hurried.connect_timeout = Duration::from_millis(250);
    hurried.token_timeout = Duration::from_millis(1200);
    hurried.call_timeout = Duration::from_secs(3);
    let mut nowhere = patient.clone();
    nowhere.daraja.base_url = Some("http://127.0.0.1:1".to_owned());
    nowhere.simple.base_url = nowhere.daraja.base_url.clone();
    ([patient, hurried, nowhere], certificate)
}

async fn play(played: &Played, rail: &str, trouble: Option<(Call, Trouble)>) {
    let rule = |(call, trouble)| {
        let stage = match call {
            Call::Pay => "submit",
            Call::Inquire => "inquire",
            Call::Prepare | Call::Fence => panic!("M-Pesa has one phase"),
        };
        let fault = match trouble {
            Trouble::ClosedBefore => json!("close_before"),
            Trouble::ClosedAfter => json!("close_after"),
            Trouble::NeverAnswered => json!("hang_after"),
            Trouble::ErrorAfter { status } => json!({"error_after": {"status": status}}),
            Trouble::WebPageAfter => json!("html_after"),
            Trouble::BrokenAfter => json!("malformed_json"),
            Trouble::TooManyRequests => json!({"rate_limited": {"style": "http429"}}),
        };
        json!({"rail": rail, "stage": stage, "fault": fault})
    };
    let rules: Vec<Value> = trouble.map(rule).into_iter().collect();
    played.put("/control/faults", &json!({"rules": rules})).await;
}

async fn book(played: &Played, path: &str) -> Vec<Money> {
    let read = |payment: &Value| {
        let currency = Currency::parse(payment["currency"].as_str().expect("a currency")).expect("a known one");
        Money::from_minor(payment["amount_minor"].as_i64().expect("an amount"), currency).expect("it was paid")
    };
    played.get(path).await.as_array().expect("payments").iter().map(read).collect()
}

impl DarajaSandbox {
    /// What the answers to status queries about this payment were so far, in the order in which they came.
    async fn answers(&self, order: &Order) -> Vec<Reply> {
        let requests = self.callbacks.received_requests().await.expect("they are recorded");
        let read = |request: wiremock::Request| {
            let path = request.url.path().strip_prefix("/mpesa/")?.strip_prefix(CALLBACK_TOKEN)?;
            let route = Route::parse(path).filter(|route| matches!(route, Route::StatusResult(_)))?;
            match self.rail.callback(route, &request.body) {
                Ok(Callback::Payment(news)) if news.key == order.key => Some(news.reply),
                Ok(Callback::Payment(_) | Callback::Balance(_)) | Err(_) => None,
            }
        };
        requests.into_iter().filter_map(read).collect()
    }
}

impl Sandbox for DarajaSandbox {
    type Rail = Daraja;

    async fn start() -> Self {
        let (played, callbacks) = (Played::start(), MockServer::start().await);
        Mock::given(matchers::method("POST")).respond_with(ResponseTemplate::new(200)).mount(&callbacks).await;
        let (settings, certificate) = introduced(&played, &format!("{}/mpesa", callbacks.uri())).await;
        let [rail, hurried, nowhere] = settings.map(|settings| Daraja::new(&settings, NOW).expect("good settings"));
        Self { played, rail, hurried, nowhere, callbacks, _certificate: certificate }
    }

    fn rail(&self) -> &Daraja {
        &self.rail
    }

    fn hurried(&self) -> &Daraja {
        &self.hurried
    }

    fn nowhere(&self) -> &Daraja {
        &self.nowhere
    }

    fn amount(&self) -> Money {
        kes("1234")
    }

    fn payee(&self, number: i32) -> FinancialAddress {
        FinancialAddress::parse(&format!("tel:+2547059128{number:02}")).expect("an address")
    }

    fn impossible_payee(&self) -> FinancialAddress {
        FinancialAddress::parse("tel:+4915123456789").expect("an address")
    }

    /// It pays after it has acknowledged: so it is waited for.
    async fn book(&self, order: &Order) -> Vec<Money> {
        let quiet = async {
            while self.played.get("/control/mpesa").await["in_hand"] != json!(0) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, quiet).await.expect("it ends what it has in hand");
        let account = order.to.as_str().trim_start_matches("tel:+");
        book(&self.played, &format!("/rails/mpesa/book/{account}")).await
    }

    async fn play(&self, trouble: Option<(Call, Trouble)>) {
        play(&self.played, "mpesa", trouble).await;
    }

    async fn troubled(&self) -> usize {
        self.played.faults_given().await
    }

    async fn ask(&self, order: &Order) -> Reply {
        let before = self.answers(order).await.len();
        let asked = self.rail.inquire(order).await;
        let answered = async {
            loop {
                if let Some(reply) = self.answers(order).await.into_iter().nth(before) {
                    return reply;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        answered.unwrap_or_else(|_| panic!("no callback came: {}", asked.message))
    }
}

impl Sandbox for SimpleSandbox {
    type Rail = Simple;

    async fn start() -> Self {
        let played = Played::start();
        let (settings, certificate) = introduced(&played, "http://127.0.0.1:1").await;
        let [rail, hurried, nowhere] = settings.map(|settings| Simple::new(&settings).expect("good settings"));
        Self { played, rail, hurried, nowhere, _certificate: certificate }
    }

    fn rail(&self) -> &Simple {
        &self.rail
    }

    fn hurried(&self) -> &Simple {
        &self.hurried
    }

    fn nowhere(&self) -> &Simple {
        &self.nowhere
    }

    fn amount(&self) -> Money {
        kes("1234")
    }

    fn payee(&self, number: i32) -> FinancialAddress {
        FinancialAddress::parse(&format!("email:wanjiru.kamau{number}@x.example.mpesa")).expect("an address")
    }

    fn impossible_payee(&self) -> FinancialAddress {
        FinancialAddress::parse("tel:+254705912645").expect("an address")
    }

    async fn book(&self, order: &Order) -> Vec<Money> {
        let account = order.to.as_str().trim_start_matches("email:").trim_end_matches(".mpesa");
        book(&self.played, &format!("/rails/simple-mpesa/book/{account}")).await
    }

    async fn play(&self, trouble: Option<(Call, Trouble)>) {
        play(&self.played, "simple-mpesa", trouble).await;
    }

    async fn troubled(&self) -> usize {
        self.played.faults_given().await
    }
}
