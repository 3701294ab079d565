//! Clients that POST messages over connections of their own, as a sender would: what is turned away comes again.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::RETRY_AFTER;

use crate::error::BenchError;
use crate::message::Message;

/// How long an answer may take. A message of 100,000 is answered within some seconds.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);
/// How often one message is sent at most. With the API's Retry-After of a second that is some minutes.
const TRIES_MAX: u32 = 300;
/// What a sender waits where it is not told.
const PAUSE: Duration = Duration::from_secs(1);

/// What sending came to.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// When the first byte left.
    pub(crate) began: Instant,
    /// From then until the head of the last 200.
    pub(crate) took: Duration,
    /// Of each message: from its first byte to the head of its 200, all tries included.
    pub(crate) latencies: Vec<Duration>,
    /// How often 503 was the answer.
    pub(crate) turned_away: u32,
    /// How often the connection broke while the body was on its way, which is another way of being turned away.
    pub(crate) broken_off: u32,
}

/// A client for `connections` at once.
pub(crate) fn client(connections: usize) -> Result<Client, BenchError> {
    let built = Client::builder().timeout(ANSWER_TIME_MAX).pool_max_idle_per_host(connections).no_proxy().build();
    built.map_err(|source| BenchError::Http { doing: "set up an HTTP client".to_owned(), source })
}

/// A message in the hands of the HTTP client, which sends it from memory as often as it must.
struct Ready {
    disbursements: u32,
    request: RequestBuilder,
}

/// Sends all messages over so many connections and returns when the last one is accepted.
pub(crate) fn send(url: &str, messages: Vec<Message>, connections: usize) -> Result<Sent, BenchError> {
    let client = client(connections)?;
    let ready = |message: Message| Ready {
        disbursements: message.disbursements,
        request: client.post(url).header("content-type", "application/json").body(message.body),
    };
    // The last is taken first.
    let waiting: Mutex<Vec<Ready>> = Mutex::new(messages.into_iter().rev().map(ready).collect());
    let began = Instant::now();
    let done = thread::scope(|scope| {
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(|| work_off(&waiting))).collect();
        let join = |client: thread::ScopedJoinHandle<'_, _>| client.join().unwrap_or(Err(BenchError::Client));
        clients.into_iter().map(join).collect::<Result<Vec<Done>, BenchError>>()
    })?;
    let last = done.iter().filter_map(|done| done.last).max().unwrap_or(began);
    Ok(Sent {
        began,
        took: last - began,
        latencies: done.iter().flat_map(|done| done.latencies.iter().copied()).collect(),
        turned_away: done.iter().map(|done| done.turned_away).sum(),
        broken_off: done.iter().map(|done| done.broken_off).sum(),
    })
}

/// What one client did.
#[derive(Default)]
struct Done {
    last: Option<Instant>,
    latencies: Vec<Duration>,
    turned_away: u32,
    broken_off: u32,
}

fn work_off(waiting: &Mutex<Vec<Ready>>) -> Result<Done, BenchError> {
    let mut done = Done::default();
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    while let Some(message) = next() {
        done.post(&message)?;
    }
    Ok(done)
}

impl Done {
    fn post(&mut self, message: &Ready) -> Result<(), BenchError> {
        let began = Instant::now();
        for _ in 0..TRIES_MAX {
            // A body in memory can always be sent again.
            let Some(request) = message.request.try_clone() else { break };
            let pause = match request.send() {
                Ok(answer) if answer.status().as_u16() == 200 => {
                    let now = Instant::now();
                    self.last = Some(now);
                    self.latencies.push(now - began);
                    return read_to_its_end(answer);
                }
                Ok(answer) if answer.status().as_u16() == 503 => {
                    self.turned_away += 1;
                    retry_after(&answer)
                }
                Ok(answer) => {
                    let doing = format!("a POST of {} disbursements", message.disbursements);
                    return Err(BenchError::Refused { doing, status: answer.status().as_u16() });
                }
                Err(_) => {
                    self.broken_off += 1;
                    PAUSE
                }
            };
            thread::sleep(pause);
        }
        Err(BenchError::NeverTaken { disbursements: message.disbursements, tries: TRIES_MAX })
    }
}

fn retry_after(answer: &Response) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(PAUSE, Duration::from_secs)
}

fn read_to_its_end(mut answer: Response) -> Result<(), BenchError> {
    let read = answer.copy_to(&mut io::sink());
    read.map(drop).map_err(|source| BenchError::Http { doing: "read the answer to a POST".to_owned(), source })
}
