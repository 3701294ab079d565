//! The simulator as the bridge meets it: a real process-wide server on loopback, real HTTP, real files.
//!
//! The client is a plain socket, so that nothing but the simulator is under test.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Parser;
use gctb_simulator::{Settings, Simulator, SimulatorError};
use serde_json::{Value, json};
use tokio::sync::oneshot;

struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), SimulatorError>>,
}

impl Running {
    fn start(root: &Path) -> Self {
        let simulator = Simulator::open(&settings(root, "127.0.0.1:0")).expect("opens");
        let addr = simulator.addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(simulator.run(async {
                stopped.await.ok();
            }))
        });
        Self { addr, stop, thread }
    }

    fn stop(self) {
        self.stop.send(()).expect("still running");
        self.thread.join().expect("no panic").expect("a clean end");
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.addr).expect("connected");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, text) = self.ask(method, path, &body.to_string());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

fn settings(root: &Path, bind: &str) -> Settings {
    let root_text = root.to_str().expect("UTF-8");
    let book = root.join("book.jsonl");
    let book = book.to_str().expect("UTF-8");
    let poll = ["--bank-poll", "5ms", "--bank-delay", "5ms"];
    let arguments = ["gctb-simulator", "--bind", bind, "--bank-root", root_text, "--book", book];
    Settings::try_parse_from(arguments.into_iter().chain(poll)).expect("good settings")
}

#[test]
fn a_file_laid_down_is_paid_and_answered_and_the_book_shows_it() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let simulator = Running::start(root.path());
    assert_eq!(simulator.ask("GET", "/healthz", "").0, 200);

    let file = "batch_ref,line_no,payment_ref,debit_account,beneficiary_name,beneficiary_account,bank_code,branch_code,amount,currency,execution_date,narrative\r\n\
                b7,1,PAY-1,900100,A Person,1234567,bank1,branch1,12.30,KES,2026-07-01,grant\r\n\
                #TRAILER,1,12.30\r\n";
    let hidden = root.path().join("outgoing/.b7.csv");
    fs::write(&hidden, file).expect("written");
    fs::rename(hidden, root.path().join("outgoing/b7.csv")).expect("renamed");

    let response = root.path().join("incoming/b7.response.csv");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !response.exists() {
        assert!(Instant::now() < deadline, "no response came");
        std::thread::yield_now();
    }
    assert!(fs::read_to_string(response).expect("readable").ends_with("#TRAILER,1,12.30\n"));

    let summary = simulator.json("GET", "/bank/summary", &Value::Null);
    assert_eq!((&summary["payments"], &summary["sums"]), (&json!(1), &json!({"KES": "12.30"})));
    let book = simulator.json("GET", "/bank/book?offset=0&limit=10", &Value::Null);
    assert_eq!(book[0]["payment_ref"], "PAY-1");
    assert_eq!(simulator.json("GET", "/bank/book/PAY-1", &Value::Null), book);
    assert_eq!(simulator.json("POST", "/bank/respond-rest", &Value::Null), json!({"files": 0, "lines": 0}));
    simulator.stop();
}

#[test]
fn the_mapper_answers_and_its_switches_work() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let simulator = Running::start(root.path());
    let request = json!({"signature": "", "header": {"message_id": "m-1", "message_ts": "2026-07-01T08:30:00.000Z", "action": "resolve",
        "sender_id": "bridge", "total_count": 1}, "message": {"transaction_id": "t-1", "resolve_request": [
        {"reference_id": "r-1", "timestamp": "2026-07-01T08:30:00.000Z", "id": "token:ABC@nationalId", "scope": "details"}]}});
    let answer = simulator.json("POST", "/mapper/sync/resolve", &request);
    assert_eq!(answer["message"]["resolve_response"][0]["status_reason_code"], "succ.id.active");

    let (status, refusal) = simulator.ask("POST", "/mapper/sync/resolve", "{}");
    assert_eq!(status, 400);
    assert!(refusal.contains("MPR-REQ-400"));

    simulator.json("PUT", "/control/mapper", &json!({"mode": "down"}));
    assert_eq!(simulator.ask("POST", "/mapper/sync/resolve", &request.to_string()).0, 503);
    assert_eq!(simulator.json("GET", "/control/mapper", &Value::Null)["calls"], 3);

    assert_eq!(simulator.ask("PUT", "/control/bank", r#"{"respond": "nonsense"}"#).0, 400);
    assert_eq!(simulator.json("PUT", "/control/bank", &json!({"paused": true}))["paused"], true);
    simulator.stop();
}

#[test]
fn it_is_reachable_from_elsewhere_only_where_that_is_asked_for() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut settings = settings(root.path(), "0.0.0.0:0");
    assert!(matches!(Simulator::open(&settings).err(), Some(SimulatorError::NotLoopback(_))));
    settings.open = true;
    assert!(Simulator::open(&settings).is_ok());
}
