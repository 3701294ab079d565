//! What stands in front of a rail and answers errors that repeat the request: gateways, proxies and helpful validators do so.
//!
//! It knows of the rails no more than where a token is fetched. Every other call of a kind is passed on, so that payments get from
//! one step to the next; the one between them is answered with the next shape of the list.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::json;

use crate::traces::contains;

/// How the request is repeated.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A gateway's page, with 502 or with 200.
    Page(u16),
    /// JSON in which every rail finds an error of its own form, with the request as its words.
    Words(u16),
    /// The same, with the payee in place of each code.
    Codes(u16),
    /// The request's own body, as if it were the answer.
    Body(u16),
    /// JSON that breaks off in the middle of the request.
    BrokenOff(u16),
    /// Headers: whose address it is, where to go, and how long to wait.
    Headers(u16),
    /// A first line that is no HTTP.
    NoHttp,
    /// A validator's list.
    List(u16),
}

const SHAPES: [Shape; 12] = [
    Shape::Page(502),
    Shape::Words(500),
    Shape::Codes(500),
    Shape::Page(200),
    Shape::Headers(307),
    Shape::Words(400),
    Shape::NoHttp,
    Shape::Body(200),
    Shape::Codes(400),
    Shape::BrokenOff(500),
    Shape::List(400),
    Shape::Body(500),
];

/// When it answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrors {
    /// Never.
    Nothing,
    /// Every other call but those for a token.
    EveryOther,
    /// All, as if nobody were known: 401.
    All,
}

/// A running one. It ends with the test's process.
#[derive(Clone, Debug)]
pub struct Mirror {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    mirrors: Mirrors,
    /// Calls by their kind, while it mirrors every other.
    calls: BTreeMap<String, usize>,
    /// The body of the last order. A rail knows whom it pays when it is asked about a payment by its name alone.
    order: Vec<u8>,
}

struct Request {
    head: String,
    body: Vec<u8>,
    /// This body, or that of the last request that named a payee.
    order: Vec<u8>,
}

impl Mirror {
    /// In front of the rail at `address`, and passing everything on.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn before(rail: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state =
            Arc::new(Mutex::new(State { mirrors: Mirrors::Nothing, calls: BTreeMap::new(), order: Vec::new() }));
        let mirror = Self { address, state };
        let serving = mirror.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (mirror, rail) = (serving.clone(), rail.clone());
                // A connection that breaks is the client's to notice.
                thread::spawn(move || drop(mirror.serve(client, &rail)));
            }
        });
        mirror
    }

    /// What is set as the rail's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does from now on.
    pub fn set(&self, mirrors: Mirrors) {
        self.state().mirrors = mirrors;
    }

    /// Whether each kind of call that came was answered in every shape.
    pub fn has_shown_all(&self) -> bool {
        let state = self.state();
        !state.calls.is_empty() && state.calls.values().all(|calls| *calls >= 2 * SHAPES.len())
    }

    /// Calls by their kind, those that were passed on included.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream, rail: &str) -> io::Result<()> {
        let Some(mut request) = read(&client)? else { return Ok(()) };
        self.recall(&mut request);
        let answer = match self.shape_for(&request) {
            Some(shape) => shape.answer(&request),
            None => pass_on(&request, rail)?,
        };
        client.write_all(&answer)
    }

    fn recall(&self, request: &mut Request) {
        let mut state = self.state();
        if request.names_a_payee() {
            state.order.clone_from(&request.body);
        }
        request.order.clone_from(&state.order);
    }

    fn shape_for(&self, request: &Request) -> Option<Shape> {
        let mut state = self.state();
        match state.mirrors {
            Mirrors::Nothing => None,
            Mirrors::All => Some(Shape::Words(401)),
            Mirrors::EveryOther if request.is_for_a_token() => None,
            Mirrors::EveryOther => {
                let calls = state.calls.entry(request.kind()).or_default();
                *calls += 1;
                (!calls.is_multiple_of(2)).then(|| SHAPES[*calls / 2 % SHAPES.len()])
            }
        }
    }
}

impl Request {
    fn is_for_a_token(&self) -> bool {
        ["/oauth/", "/api/login/"].iter().any(|path| self.head.contains(path))
    }

    /// Method and path, without what names one payment.
    fn kind(&self) -> String {
        let line = self.head.lines().next().unwrap_or_default();
        let words = line.split([' ', '/']).filter(|word| !word.is_empty() && !word.starts_with("HTTP"));
        let is_name = |word: &&str| !word.bytes().any(|byte| byte.is_ascii_digit()) || word.len() < 4;
        words.filter(is_name).collect::<Vec<_>>().join(" ")
    }

    fn names_a_payee(&self) -> bool {
        ["PartyB", "idValue", "accountNo"].iter().any(|name| contains(&self.body, name.as_bytes()))
    }

    fn text(&self) -> String {
        format!("{} {} {}", String::from_utf8_lossy(&self.order), self.head, String::from_utf8_lossy(&self.body))
    }

    /// Whom the request is about, as the rail was told: JSON or a form.
    fn payee(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.order).unwrap_or_default();
        let form = String::from_utf8_lossy(&self.order).into_owned();
        let account = form.split('&').find_map(|field| field.strip_prefix("accountNo="));
        let told = [body["PartyB"].as_str(), body["to"]["idValue"].as_str(), account];
        told.into_iter().flatten().next().unwrap_or(self.head.as_str()).replace("%40", "@")
    }
}

impl Shape {
    fn answer(self, request: &Request) -> Vec<u8> {
        let (text, payee) = (request.text(), request.payee());
        let one_line = payee.lines().next().unwrap_or_default();
        match self {
            Self::Page(status) => {
                http(status, "text/html", "", &format!("<html><body><pre>{text}</pre></body></html>"))
            }
            Self::Words(status) => http(status, JSON, "", &error("404.001.03", &text)),
            Self::Codes(status) => http(status, JSON, "", &error(&payee, &text)),
            Self::Body(status) => http(status, JSON, "", &String::from_utf8_lossy(&request.order)),
            Self::BrokenOff(status) => {
                let whole = error("500.001.1001", &text);
                http(status, JSON, "", &whole[..whole.len() * 2 / 3])
            }
            Self::Headers(status) => {
                let headers = format!("Location: /{one_line}\r\nRetry-After: {one_line}\r\nServer: {one_line}\r\n");
                http(status, "text/plain", &headers, &text)
            }
            Self::NoHttp => format!("{one_line} is unknown\r\n\r\n{text}").into_bytes(),
            Self::List(status) => {
                http(status, JSON, "", &json!([{ "message": text }, { "message": payee }]).to_string())
            }
        }
    }
}

const JSON: &str = "application/json";

/// An error in the form of each rail at once.
fn error(code: &str, words: &str) -> String {
    json!({
        "requestId": words,
        "errorCode": code,
        "errorMessage": words,
        // The beginning that simple-mpesa gives it.
        "message": format!("user not found: {words}"),
        "statusCode": code,
        "transferState": { "currentState": words, "lastError": {
            "httpStatusCode": 500,
            "mojaloopError": { "errorInformation": { "errorCode": code, "errorDescription": words } },
        } },
    })
    .to_string()
}

fn http(status: u16, content_type: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Answered\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The first request of a connection, whose length must be given; None at its end.
fn read(client: &TcpStream) -> io::Result<Option<Request>> {
    let mut requests = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if requests.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let length =
        head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    requests.read_exact(&mut body)?;
    Ok(Some(Request { head, body, order: Vec::new() }))
}

/// What the rail answers, as a connection of this one call.
fn pass_on(request: &Request, rail: &str) -> io::Result<Vec<u8>> {
    let mut line = TcpStream::connect(rail)?;
    let head = request.head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    line.write_all(&[head.as_bytes(), &request.body].concat())?;
    let mut answer = Vec::new();
    line.read_to_end(&mut answer)?;
    Ok(answer)
}
