//! A mapper with a bug that the simulator does not play: it answers 500 to every call that contains a certain id.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// The running mapper. Its thread ends with the process.
pub(crate) struct FragileMapper {
    pub(crate) url: String,
    pub(crate) calls: Arc<AtomicU32>,
}

impl FragileMapper {
    /// A mapper that fails on `poison` and resolves all others.
    pub(crate) fn start(poison: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/resolve", listener.local_addr().expect("bound"));
        let calls = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::Relaxed);
                serve(stream, poison);
            }
        });
        Self { url, calls }
    }
}

fn serve(stream: TcpStream, poison: &str) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).expect("a line") > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let items = asked["message"]["resolve_request"].as_array().expect("a list");
    let (status, answer) = if items.iter().any(|item| item["id"] == poison) {
        ("500 Internal Server Error", "a bug".to_owned())
    } else {
        let found = |item: &Value| json!({"reference_id": item["reference_id"], "status": "succ", "fa": "account:123456@b.c.bank_acc"});
        let found: Vec<Value> = items.iter().map(found).collect();
        ("200 OK", json!({"header": {"status": "succ"}, "message": {"resolve_response": found}}).to_string())
    };
    let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    reader.get_mut().write_all(answer.as_bytes()).expect("answered");
}
