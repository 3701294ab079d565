//! The bank's clerk: a thread that makes the bank take a turn at every poll, until it is dismissed.
//!
//! A thread of its own, because all its work is files. It must not know what a turn does.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::oneshot;

use super::{Bank, BankError};

/// The running clerk. He leaves when this is dropped, after the turn in hand.
pub(crate) struct Clerk {
    stop: Sender<()>,
    outcome: oneshot::Receiver<Result<(), BankError>>,
}

impl Clerk {
    /// Sends a clerk to work at `bank`, looking for files every `poll`.
    pub(crate) fn start(bank: Arc<Bank>, poll: Duration) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (report, outcome) = oneshot::channel();
        thread::Builder::new().name("bank-clerk".to_owned()).spawn(move || {
            let result = loop {
                if let Err(error) = bank.turn(Utc::now()) {
                    break Err(error);
                }
                if stopped.recv_timeout(poll) != Err(RecvTimeoutError::Timeout) {
                    break Ok(());
                }
            };
            // Who does not wait for the outcome does not want it.
            let _ = report.send(result);
        })?;
        Ok(Self { stop, outcome })
    }

    /// Waits until the clerk leaves by himself, which he only does when the bank cannot go on.
    pub(crate) async fn left(&mut self) -> Result<(), BankError> {
        (&mut self.outcome).await.unwrap_or(Err(BankError::ClerkLost))
    }

    /// Tells the clerk to leave and waits for the end of the turn in hand.
    pub(crate) async fn dismiss(self) -> Result<(), BankError> {
        drop(self.stop);
        self.outcome.await.unwrap_or(Err(BankError::ClerkLost))
    }
}
