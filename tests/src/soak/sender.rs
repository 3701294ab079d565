//! A sender: posts one message until it has an answer that settles it, as any sender does, on a thread of its own.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;

/// How long a sender goes on. Every fault is mended long before.
const PATIENCE: Duration = Duration::from_secs(100);
/// The pause before it asks again.
const PAUSE: Duration = Duration::from_millis(100);

/// A message under way.
#[derive(Debug)]
pub(super) struct Sender {
    posting: JoinHandle<Result<(u16, Value), String>>,
}

impl Sender {
    /// Begins to post.
    pub(super) fn post(url: String, body: String) -> Self {
        Self { posting: std::thread::spawn(move || until_settled(&url, &body)) }
    }

    /// Whether [`Sender::answer`] would return at once.
    pub(super) fn has_answer(&self) -> bool {
        self.posting.is_finished()
    }

    /// The HTTP status, 200 or one of 400 to 499, and the answer.
    ///
    /// # Panics
    /// Where there was none in time.
    pub(super) fn answer(self) -> (u16, Value) {
        let settled = self.posting.join().expect("a sender does not panic");
        settled.unwrap_or_else(|why| panic!("a sender got no answer within {PATIENCE:?}: {why}"))
    }
}

fn until_settled(url: &str, body: &str) -> Result<(u16, Value), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let why = match http::post(url, body, &[]) {
            Ok((status, answer)) if status < 500 => return Ok((status, answer)),
            Ok((status, _)) => format!("the last answer was {status}"),
            Err(error) => error.to_string(),
        };
        if Instant::now() > deadline {
            return Err(why);
        }
        // The pause between two tries.
        std::thread::park_timeout(PAUSE);
    }
}
