//! Connections that break: how often a request is really sent, seen by a server that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gctb_backend::PaymentBackend;
use gctb_domain::paying::Learnt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::play::{ID, completed, order, prepared, quote, rail};

/// What the server does with a request that it has read whole.
type Script = fn(usize, &str) -> Option<Value>;

/// A server on loopback that answers the n-th request (from 0) as the script says, and closes the connection where it
/// says None.
async fn serve(script: Script) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&counter), script));
        }
    });
    (url, requests)
}

async fn talk(mut stream: TcpStream, requests: Arc<AtomicUsize>, script: Script) {
    while let Some(head) = request(&mut stream).await {
        let Some(body) = script(requests.fetch_add(1, Ordering::SeqCst), &head) else { return };
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads one request whole and gives its first line; None at the end.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        seen.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return head.lines().next().map(str::to_owned);
        }
    }
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_lost_answer_to_the_request_for_a_quote_is_harmless_and_nothing_is_repeated() {
    let (url, requests) = serve(|_, _| None).await;
    assert_eq!(rail(&url, PATIENT).prepare(&order()).await.learnt, Learnt::NotSent);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn i2_i3_a_lost_answer_to_the_acceptance_is_unknown_sent_once_and_found_paid_when_asked() {
    let (url, requests) = serve(|_, head| head.starts_with("GET").then(|| completed("COMMITTED"))).await;
    let rail = rail(&url, PATIENT);
    let reply = rail.pay(&prepared()).await;
    assert_eq!((reply.learnt, reply.handle.as_deref()), (Learnt::Nothing, Some(ID)));
    assert_eq!(requests.load(Ordering::SeqCst), 1, "the acceptance is not repeated");
    assert_eq!(rail.inquire(&prepared()).await.learnt, Learnt::Paid);
}

#[tokio::test]
async fn i2_an_acceptance_over_a_kept_connection_that_closes_after_reading_it_is_not_repeated() {
    let (url, requests) = serve(|n, _| (n == 0).then(|| quote("1000.5", "0"))).await;
    let rail = rail(&url, PATIENT);
    assert_eq!(rail.prepare(&order()).await.learnt, Learnt::Accepted);
    assert_eq!(rail.pay(&prepared()).await.learnt, Learnt::Nothing);
    assert_eq!(requests.load(Ordering::SeqCst), 2, "the quote and the acceptance, each once");
}

#[tokio::test]
async fn i3_an_answer_that_breaks_off_teaches_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a call");
        request(&mut stream).await;
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"currentState\":\"COMPLETED\",";
        stream.write_all(half.as_bytes()).await.expect("it listens");
    });
    assert_eq!(rail(&url, PATIENT).pay(&prepared()).await.learnt, Learnt::Nothing);
}

#[tokio::test]
async fn an_adapter_that_is_not_there_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let rail = rail(&url, PATIENT);
    for reply in [rail.prepare(&order()).await, rail.pay(&prepared()).await] {
        assert_eq!(reply.learnt, Learnt::NotSent);
    }
}
