//! Why a measurement could not be made, or must not count.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// One sentence about what was being done.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program could not be started.
    #[error("could not start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed while it was to {doing}: {said}")]
    Failed {
        /// The program.
        program: String,
        /// What it was to do.
        doing: String,
        /// Its last words.
        said: String,
    },
    /// A service did not become ready.
    #[error("{service} was not ready within {within:?}; its log is {}", log.display())]
    NotReady {
        /// The service.
        service: &'static str,
        /// How long was waited.
        within: Duration,
        /// Its log.
        log: PathBuf,
    },
    /// A service ended while it was measured.
    #[error("{service} ended by itself; its log is {}", log.display())]
    Ended {
        /// The service.
        service: &'static str,
        /// Its log.
        log: PathBuf,
    },
    /// The pipe to psql broke.
    #[error("lost psql while it was to {doing}")]
    Pipe {
        /// What it was to do.
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// psql said something else than was asked.
    #[error("psql answered {answer:?} when it was to {doing}")]
    Answer {
        /// What it was to do.
        doing: String,
        /// What it said.
        answer: String,
    },
    /// An HTTP request failed.
    #[error("could not {doing}")]
    Http {
        /// What was asked for.
        doing: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A service refused what it must take.
    #[error("{doing} was answered with HTTP {status}")]
    Refused {
        /// What was asked for.
        doing: String,
        /// The status.
        status: u16,
    },
    /// A message was turned away too often.
    #[error("a POST of {disbursements} disbursements was turned away {tries} times")]
    NeverTaken {
        /// Its size.
        disbursements: u32,
        /// How often it was tried.
        tries: u32,
    },
    /// An answer is not what was asked for.
    #[error("the answer about {about} has {got} disbursements; {wanted} were asked for")]
    Incomplete {
        /// What was asked.
        about: &'static str,
        /// How many came.
        got: u64,
        /// How many should have.
        wanted: u64,
    },
    /// The payments stand still.
    #[error("{ended} of {all} instructions ended, and none in the last {}", in_seconds(patience))]
    Stuck {
        /// How many ended.
        ended: u64,
        /// How many there are.
        all: u64,
        /// How long was waited.
        patience: Duration,
    },
    /// Something that must become empty did not.
    #[error("{what} was not empty within {}", in_seconds(within))]
    NotEmpty {
        /// What.
        what: &'static str,
        /// How long was waited.
        within: Duration,
    },
    /// Money was lost or paid twice: figures of such a run are worth nothing.
    #[error("the equation does not hold, so the figures do not count: {0}")]
    Equation(String),
    /// Postgres may forget.
    #[error("Postgres runs with {setting} = {value}; only what is durable is measured")]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// A process ended while it was measured, or its numbers cannot be read.
    #[error("could not read {} of the measured process", path.display())]
    Proc {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("could not write {what}")]
    Write {
        /// What it is.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A callback was not answered well: the backend refused it, or was not there.
    #[error("{failed} callbacks were not answered with a success")]
    Callbacks {
        /// How many.
        failed: u64,
    },
    /// Nothing can be listened on, or no client run.
    #[error("could not set up what the floor of payments needs of this machine")]
    Listen {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// M-Pesa's certificate cannot be used.
    #[error("could not encrypt a password for the certificate of M-Pesa")]
    Encrypt(#[source] openssl::error::ErrorStack),
    /// Too few samples for a figure.
    #[error("there are too few samples to tell {0}")]
    TooFew(&'static str),
    /// A thread of the bench panicked.
    #[error("a client of the bench came to a bad end")]
    Client,
    /// The figures cannot be written as JSON.
    #[error("could not write the figures as JSON")]
    Json(#[from] serde_json::Error),
}

fn in_seconds(time: &Duration) -> String {
    format!("{} s", time.as_secs())
}
