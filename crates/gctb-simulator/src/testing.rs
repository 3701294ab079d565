//! For tests only: the simulator in a thread of the test's process, over real HTTP, with a folder and books of its own.
//!
//! It shares no code with the bridge either: what is common to the tests of several crates, and about the simulator alone.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{RailSettings, Settings, Simulator, SimulatorError, Variant};

/// A simulator that runs, on a port that was free. It ends with this, and its folder with it.
pub struct Played {
    addr: SocketAddr,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), SimulatorError>>>,
    _folder: TempDir,
}

impl Played {
    /// Starts one.
    ///
    /// # Panics
    /// Where it cannot start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let simulator = Simulator::open(&settings(&folder)).expect("it opens");
        let addr = simulator.addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(simulator.run(async {
                stopped.await.ok();
            }))
        };
        // No connection is kept: the simulator closes one after some seconds, just when it may be used again.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { addr, client, stop: Some(stop), thread: Some(std::thread::spawn(run)), _folder: folder }
    }

    /// Where it is, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it answers to a GET of this path.
    ///
    /// # Panics
    /// Where it does not answer, or says no.
    pub async fn text(&self, path: &str) -> String {
        answered(self.client.get(format!("{}{path}", self.url()))).await
    }

    /// The same as JSON.
    ///
    /// # Panics
    /// Where it does not answer, says no, or answers with anything else.
    pub async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).expect("JSON")
    }

    /// Puts JSON at this path.
    ///
    /// # Panics
    /// Where it does not answer, or says no.
    pub async fn put(&self, path: &str, body: &Value) {
        answered(self.client.put(format!("{}{path}", self.url())).json(body)).await;
    }

    /// How often its rails have given a fault, since the faults were put.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn faults_given(&self) -> usize {
        let view = self.get("/control/faults").await;
        let given = view["given"].as_array().expect("a list").iter();
        given.map(|given| usize::try_from(given["times"].as_u64().expect("a count")).expect("few")).sum()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(Ok(())))), "the simulator ended badly");
    }
}

async fn answered(request: RequestBuilder) -> String {
    let answer = request.send().await.expect("answered");
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert!(status.is_success(), "{status}: {text}");
    text
}

fn settings(folder: &TempDir) -> Settings {
    Settings {
        bind: "127.0.0.1:0".parse().expect("an address"),
        open: false,
        bank_root: folder.path().to_owned(),
        book: folder.path().join("book.jsonl"),
        bank_poll: Duration::from_secs(1),
        bank_delay: Duration::from_secs(1),
        reject_percent: 0,
        mapper_variant: Variant::Spar23,
        rails: RailSettings::default(),
    }
}
