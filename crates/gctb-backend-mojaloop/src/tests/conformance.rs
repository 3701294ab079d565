//! The conformance suite, against the simulator's scheme and its book.

use std::time::Duration;

use gctb_backend::Order;
use gctb_backend::conformance::{Call, Sandbox, Trouble};
use gctb_domain::{Currency, FinancialAddress, Money};
use gctb_simulator::testing::Played;
use serde_json::{Value, json};

use super::play::rail;
use crate::MojaloopRail;

gctb_backend::conformance_tests!(Scheme);

/// How long the backends wait for one call: longer than a busy machine takes, and where no answer comes.
const PATIENT: Duration = Duration::from_secs(60);
const HURRIED: Duration = Duration::from_secs(2);

/// The adapter and its scheme, played by the simulator, and backends that call it.
struct Scheme {
    played: Played,
    rail: MojaloopRail,
    hurried: MojaloopRail,
    nowhere: MojaloopRail,
}

impl Sandbox for Scheme {
    type Rail = MojaloopRail;

    async fn start() -> Self {
        let played = Played::start();
        Self {
            rail: rail(&played.url(), PATIENT),
            hurried: rail(&played.url(), HURRIED),
            nowhere: rail("http://127.0.0.1:1", PATIENT),
            played,
        }
    }

    fn rail(&self) -> &MojaloopRail {
        &self.rail
    }

    fn hurried(&self) -> &MojaloopRail {
        &self.hurried
    }

    fn nowhere(&self) -> &MojaloopRail {
        &self.nowhere
    }

    fn amount(&self) -> Money {
        Money::parse("1000.51", Currency::parse("KES").expect("a currency")).expect("an amount")
    }

    fn payee(&self, number: i32) -> FinancialAddress {
        FinancialAddress::parse(&format!("phone:+2547059128{number:02}")).expect("an address")
    }

    fn impossible_payee(&self) -> FinancialAddress {
        FinancialAddress::parse("cowrie-shells:1234567").expect("an address")
    }

    async fn book(&self, order: &Order) -> Vec<Money> {
        let read = |payment: &Value| {
            let currency = Currency::parse(payment["currency"].as_str().expect("a currency")).expect("a known one");
            Money::from_minor(payment["amount_minor"].as_i64().expect("an amount"), currency).expect("it was paid")
        };
        let msisdn = order.to.as_str().trim_start_matches("phone:+");
        let payments = self.played.get(&format!("/rails/mojaloop/book/MSISDN:{msisdn}")).await;
        payments.as_array().expect("payments").iter().map(read).collect()
    }

    async fn play(&self, trouble: Option<(Call, Trouble)>) {
        let rule = |(call, trouble)| {
            let stage = match call {
                Call::Prepare => "prepare",
                Call::Pay | Call::Fence => "commit",
                Call::Inquire => "inquire",
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
            json!({"rail": "mojaloop", "stage": stage, "fault": fault})
        };
        let rules: Vec<Value> = trouble.map(rule).into_iter().collect();
        self.played.put("/control/faults", &json!({"rules": rules})).await;
    }

    async fn troubled(&self) -> usize {
        self.played.faults_given().await
    }
}
