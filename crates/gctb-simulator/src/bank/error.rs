//! What the bank cannot go on after, in words that name no payment.

use std::io;

use thiserror::Error;

/// What the bank cannot go on after. Files are named, their contents are not.
#[derive(Debug, Error)]
pub enum BankError {
    /// A file or directory did not do what it must.
    #[error("{doing}")]
    Io {
        /// What was being done, to what.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Two simulators would pay the same file.
    #[error("another process has the bank's book open")]
    BookInUse,
    /// A complete line of the book is not one that this bank writes.
    #[error("line {line} of the bank's book is not a line of a book")]
    BookCorrupt {
        /// Counted from 1.
        line: u64,
    },
    /// The clerk's thread ended without a word: it panicked.
    #[error("the bank's thread ended in a panic")]
    ClerkLost,
}

impl BankError {
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
