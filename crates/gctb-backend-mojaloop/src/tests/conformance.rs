//! The conformance suite, against the simulator's scheme and its book.

use std::thread::JoinHandle;
use std::time::Duration;

use gctb_backend::Order;
use gctb_backend::conformance::{Call, Sandbox, Trouble};
use gctb_domain::{Currency, FinancialAddress, Money};
use gctb_simulator::{RailSettings, Settings, Simulator, SimulatorError, Variant};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::play::rail;
use crate::MojaloopRail;

gctb_backend::conformance_tests!(Played);

/// How long the backends wait for one call: longer than a busy machine takes, and where no answer comes.
const PATIENT: Duration = Duration::from_secs(60);
const HURRIED: Duration = Duration::from_secs(2);

/// The adapter and its scheme, played by the simulator in a thread of this process over real HTTP.
struct Played {
    url: String,
    rail: MojaloopRail,
    hurried: MojaloopRail,
    nowhere: MojaloopRail,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), SimulatorError>>>,
    _folder: tempfile::TempDir,
}

impl Played {
    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.expect("answered");
        answer.json().await.expect("JSON")
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(Ok(())))), "the simulator ended badly");
    }
}

impl Sandbox for Played {
    type Rail = MojaloopRail;

    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            bind: "127.0.0.1:0".parse().expect("an address"),
            open: false,
            bank_root: folder.path().to_owned(),
            book: folder.path().join("book.jsonl"),
            bank_poll: Duration::from_secs(1),
            bank_delay: Duration::from_secs(1),
            reject_percent: 0,
            mapper_variant: Variant::Spar23,
            rails: RailSettings::default(),
        };
        let simulator = Simulator::open(&settings).expect("it opens");
        let url = format!("http://{}", simulator.addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(simulator.run(async {
                stopped.await.ok();
            }))
        };
        Self {
            rail: rail(&url, PATIENT),
            hurried: rail(&url, HURRIED),
            nowhere: rail("http://127.0.0.1:1", PATIENT),
            url,
            // No connection is kept: the simulator closes one after some seconds, just when it may be used again.
            client: reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client"),
            stop: Some(stop),
            thread: Some(std::thread::spawn(run)),
            _folder: folder,
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
        let payments = self.get(&format!("/rails/mojaloop/book/MSISDN:{msisdn}")).await;
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
        let plan = json!({"rules": rules});
        let answer = self.client.put(format!("{}/control/faults", self.url)).json(&plan).send().await;
        assert!(answer.expect("answered").status().is_success(), "{plan}");
    }

    async fn troubled(&self) -> usize {
        let view = self.get("/control/faults").await;
        let given = view["given"].as_array().expect("a list").iter();
        given.map(|given| usize::try_from(given["times"].as_u64().expect("a count")).expect("few")).sum()
    }
}
