//! A tiny HTTP server that takes callbacks and answers each with 200. It must not know what they say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// How long a callback may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// One callback: the path that it came to and its body.
pub(crate) struct Callback {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Callback {
    /// The `Result` inside.
    pub(crate) fn result(&self) -> Value {
        serde_json::from_str::<Value>(&self.text).expect("JSON")["Result"].take()
    }
}

pub(crate) struct Listener {
    addr: SocketAddr,
    callbacks: Receiver<Callback>,
}

impl Listener {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let addr = listener.local_addr().expect("an address");
        let (send, callbacks) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let send = send.clone();
                thread::spawn(move || serve(&stream, &send));
            }
        });
        Self { addr, callbacks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The next callback; one must come.
    pub(crate) fn next(&self) -> Callback {
        self.callbacks.recv_timeout(PATIENCE).expect("a callback comes")
    }

    /// Whether none has come so far.
    pub(crate) fn is_quiet(&self) -> bool {
        self.callbacks.try_recv().is_err()
    }
}

/// Answers what comes over one connection until it is closed.
fn serve(stream: &TcpStream, send: &Sender<Callback>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line == "\r\n" {
                break;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1)?.to_owned();
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        send.send(Callback { path, text: String::from_utf8(body).ok()? }).ok()?;
        let answer = r#"{"ResultCode":0,"ResultDesc":"Accepted"}"#;
        let length = answer.len();
        write!(&*stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}").ok()?;
    }
}
