//! The program itself: it starts from its environment, takes a batch while Kafka is away, and ends when it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use gctb_testkit::eventually;
use serde_json::{Value, json};

/// A running gctb-api, ended when it is dropped.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(database_url: &str) -> Self {
        let mut child = command(database_url).stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let address = lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find_map(|line| line["address"].as_str().map(str::to_owned))
            .expect("the program says where it listens");
        Self { child, address }
    }

    fn call(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gctb-api"));
    command
        .env("GCTB_API__HTTP__BIND", "127.0.0.1:0")
        .env("GCTB_API__DATABASE__URL", database_url)
        .env("GCTB_API__KAFKA__BROKERS", "127.0.0.1:1")
        .env("GCTB_API__KAFKA__MESSAGE_TIMEOUT", "1s")
        .env("GCTB_API__DURABILITY__REQUIRED", "false");
    command
}

#[test]
fn i8_the_program_takes_batches_while_kafka_is_away_and_ends_when_told_to() {
    let Some(database) =
        gctb_testkit::database("i8_the_program_takes_batches_while_kafka_is_away_and_ends_when_told_to")
    else {
        return;
    };
    let mut program = Program::start(database.url());
    eventually("the program to be ready", || program.call("GET", "/readyz", "").0.contains("200").then_some(()));
    let message = json!({"signature": "", "header": {"message_id": "m-1", "message_ts": "2026-07-01 08:30:00", "action": "disburse",
        "sender_id": "payments.openg2p.org"}, "message": {"transaction_id": "t-1", "disbursements": [{"reference_id": "r-1",
        "payer_fa": "account:1@a.b.bank_acc", "payee_fa": "token:ABC123@nationalId", "amount": "1000.0", "currency_code": "KES"}]}});
    let (status, body) = program.call("POST", "/disburse/sync/disburse", &message.to_string());
    assert!(status.contains("200") && body.contains("\"rcvd\""), "{status}");
    assert_eq!(database.value("SELECT count(*)::text AS value FROM outbox"), "1", "the message to Kafka waits");
    assert!(program.call("GET", "/healthz", "").0.contains("200"));
    let metrics = program.call("GET", "/metrics", "").1;
    assert!(metrics.contains("gctb_disburse_messages_total{outcome=\"stored\""), "{metrics}");

    let kill = format!("kill {}", program.child.id());
    let told = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
    assert!(told.success());
    let ended = eventually("the program to end", || program.child.try_wait().expect("can be waited for"));
    assert!(ended.success(), "{ended}");
}

#[test]
fn an_address_that_others_reach_is_refused_in_one_sentence() {
    let output = command("postgres://nobody@127.0.0.1:1/nothing")
        .env("GCTB_API__HTTP__BIND", "0.0.0.0:0")
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("http.open = true"), "{words}");
}
