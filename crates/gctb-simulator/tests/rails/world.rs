//! The running program and a client for it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use openssl::base64::encode_block;
use openssl::rsa::Padding;
use openssl::x509::X509;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything that must come about may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    child: Child,
    pub(crate) base: String,
    folder: Option<TempDir>,
    pub(crate) client: Client,
    log: Arc<Mutex<String>>,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary directory"), &[])
    }

    /// Starts the program on what an earlier one left.
    pub(crate) fn start_in(folder: TempDir, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gctb-simulator"))
            .args(["--bind", "127.0.0.1:0", "--bank-root", "bank", "--book", "book.jsonl"])
            .args(options)
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let log = Arc::new(Mutex::new(String::new()));
        let addr = loop {
            let line = lines.next().expect("the program gets ready");
            let line: Value = serde_json::from_str(&line).expect("a line of its log");
            if let Some(addr) = line["fields"]["addr"].as_str() {
                break addr.to_owned();
            }
        };
        let kept = Arc::clone(&log);
        thread::spawn(move || lines.for_each(|line| kept.lock().expect("not poisoned").push_str(&line)));
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { child, base: format!("http://{addr}"), folder: Some(folder), client, log }
    }

    /// Kills the program, as `kill -9` does, and gives what it leaves.
    pub(crate) fn kill(mut self) -> TempDir {
        self.folder.take().expect("still there")
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// What the program has used so far: milliseconds of CPU, and KiB of memory that it holds now.
    pub(crate) fn used(&self) -> (u64, u64) {
        /// Linux counts CPU time in hundredths of a second.
        const MS_PER_TICK: u64 = 10;
        let file = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("readable");
        let stat = file("stat");
        // After the name, which may hold blanks, user and system time are fields 12 and 13.
        let fields = stat.rsplit_once(") ").expect("fields after the name").1.split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("a number")).sum();
        let status = file("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        let kib = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        (ticks * MS_PER_TICK, kib)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    /// Puts a document of faults and knobs in force.
    pub(crate) async fn faults(&self, plan: &Value) {
        let (status, text) = self.put("/control/faults", plan).await;
        assert_eq!(status, 200, "{text}");
    }

    /// How often faults were given since the document is in force.
    pub(crate) async fn given(&self) -> u64 {
        let view = self.get("/control/faults").await.1;
        view["given"].as_array().expect("a list").iter().filter_map(|given| given["times"].as_u64()).sum()
    }

    pub(crate) async fn summary(&self, rail: &str) -> Value {
        self.get(&format!("/rails/{rail}/summary")).await.1
    }

    /// How often a key or account was paid, by the book.
    pub(crate) async fn times_paid(&self, rail: &str, key: &str) -> usize {
        self.get(&format!("/rails/{rail}/book/{key}")).await.1.as_array().expect("a list").len()
    }

    /// Waits until the book has so many payments.
    pub(crate) async fn wait_for_payments(&self, rail: &str, payments: u64) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let summary = self.summary(rail).await;
            if summary["payments"] == payments {
                return summary;
            }
            assert!(Instant::now() < deadline, "{summary}");
            tokio::task::yield_now().await;
        }
    }

    /// The initiator's password, encrypted for the simulator's certificate.
    pub(crate) async fn credential(&self, password: &str) -> String {
        let pem = self.request(Method::GET, "/control/mpesa/certificate").send().await.expect("answered");
        let pem = pem.bytes().await.expect("a body");
        let key = X509::from_pem(&pem).and_then(|pem| pem.public_key()).and_then(|key| key.rsa()).expect("a key");
        let mut cipher = vec![0; 256];
        key.public_encrypt(password.as_bytes(), &mut cipher, Padding::PKCS1).expect("encrypted");
        encode_block(&cipher)
    }

    /// A token of Daraja.
    pub(crate) async fn daraja_token(&self) -> String {
        let (status, answer) = self.oauth("demo-consumer-key:demo-consumer-secret").await;
        assert_eq!(status, 200);
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    pub(crate) async fn oauth(&self, user: &str) -> (u16, Value) {
        let basic = format!("Basic {}", encode_block(user.as_bytes()));
        let path = "/oauth/v1/generate?grant_type=client_credentials";
        answer(self.request(Method::GET, path).header("Authorization", basic)).await
    }

    /// A token of simple-mpesa.
    pub(crate) async fn agent_token(&self) -> String {
        let (status, answer) =
            self.post("/api/login/agent", &json!({"email": "agent@demo.example", "password": "demo-password"})).await;
        assert_eq!((status, &answer["userType"]), (200, &json!("agent")));
        answer["token"].as_str().expect("a token").to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a request: the status, and the body as JSON where it is, else as text.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    try_answer(request).await.expect("answered")
}

pub(crate) async fn try_answer(request: RequestBuilder) -> Result<(u16, Value), reqwest::Error> {
    let response = request.timeout(PATIENCE).send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
