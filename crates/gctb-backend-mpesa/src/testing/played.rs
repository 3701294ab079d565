//! M-Pesa, both kinds, played by the simulator in a thread of this process over real HTTP.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use gctb_simulator::{RailSettings, Settings, Simulator, SimulatorError, Variant};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Certificate;
use crate::settings::MpesaSettings;

pub(crate) struct Played {
    address: SocketAddr,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), SimulatorError>>>,
    _folder: tempfile::TempDir,
}

impl Played {
    pub(crate) fn start() -> Self {
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
        let address = simulator.addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(simulator.run(async {
                stopped.await.ok();
            }))
        };
        // No connection is kept: the simulator closes one after some seconds, just when it may be used again.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { address, client, stop: Some(stop), thread: Some(std::thread::spawn(run)), _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes these the settings of somebody whom both rails know. The certificate must outlive them.
    pub(crate) async fn introduce(&self, settings: &mut MpesaSettings) -> Certificate {
        let pem = self.client.get(format!("{}/control/mpesa/certificate", self.url())).send().await;
        let certificate = Certificate::text(&pem.expect("answered").text().await.expect("a certificate"));
        let secret = |text: &str| Some(text.to_owned().into());
        let daraja = &mut settings.daraja;
        daraja.base_url = Some(self.url());
        daraja.certificate_file = Some(certificate.path());
        daraja.allow_expired_certificate = true;
        daraja.consumer_key = secret("demo-consumer-key");
        daraja.consumer_secret = secret("demo-consumer-secret");
        daraja.initiator_password = secret("demo-password#1");
        settings.simple.base_url = Some(self.url());
        settings.simple.agent_email = Some("agent@demo.example".to_owned());
        settings.simple.agent_password = secret("demo-password");
        certificate
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) {
        let answer = self.client.put(format!("{}{path}", self.url())).json(body).send().await;
        assert!(answer.expect("answered").status().is_success(), "{body}");
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.url())).send().await.expect("answered");
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
