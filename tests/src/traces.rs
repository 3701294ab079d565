//! A receiver of traces: OTLP over HTTP, whose bodies are kept as they come.
//!
//! Of protobuf it needs nothing but that a trace's 16 bytes and a service's name stand in a body as they are; a body is of one
//! service.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A running receiver. It ends with the test's process.
#[derive(Debug)]
pub struct Traces {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Traces {
    /// # Panics
    /// Where no port is free.
    pub fn receive() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let keeping = Arc::clone(&bodies);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let bodies = Arc::clone(&keeping);
                // A client that breaks off has sent nothing that counts.
                thread::spawn(move || drop(serve(client, &bodies)));
            }
        });
        Self { address, bodies }
    }

    /// What telemetry.otlp_endpoint must be.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every body so far.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a trace is named in what this service sent: once for each of its spans, and for each link to it.
    pub fn spans_of(&self, service: &str, trace: u128) -> usize {
        let trace = trace.to_be_bytes();
        // As the resource has it: the name after its length, so that gctb-a is not found in gctb-ab.
        let name = [&[u8::try_from(service.len()).expect("a short name")], service.as_bytes()].concat();
        let of_service = |body: &&Vec<u8>| contains(body, &name);
        self.bodies()
            .iter()
            .filter(of_service)
            .map(|body| body.windows(16).filter(|bytes| *bytes == trace).count())
            .sum()
    }
}

/// Whether `needle` stands in `haystack`.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|bytes| bytes == needle)
}

fn serve(client: TcpStream, bodies: &Mutex<Vec<Vec<u8>>>) -> io::Result<()> {
    let mut answers = client.try_clone()?;
    let mut requests = BufReader::new(client);
    while let Some(length) = read_head(&mut requests)? {
        let mut body = vec![0; length];
        requests.read_exact(&mut body)?;
        bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// The length of the next request's body; None at the end of the connection.
fn read_head(requests: &mut impl BufRead) -> io::Result<Option<usize>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            return Ok(Some(length));
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}
