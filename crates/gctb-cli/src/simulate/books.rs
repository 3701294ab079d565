//! Which simulated rail keeps the book of which payment backend, and all of these books at once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use gctb_domain::BackendName;

use super::book::{Book, Gain, Summary};
use crate::error::CliError;
use crate::http::Http;

/// A book of the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BookName {
    /// The bank that takes payment files.
    Bank,
    /// Daraja.
    Mpesa,
    /// simple-mpesa.
    SimpleMpesa,
    /// The Mojaloop SDK.
    Mojaloop,
}

impl BookName {
    const ALL: [Self; 4] = [Self::Bank, Self::Mpesa, Self::SimpleMpesa, Self::Mojaloop];

    /// What people call it, and the simulator where it is not the bank.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bank => "bank",
            Self::Mpesa => "mpesa",
            Self::SimpleMpesa => "simple-mpesa",
            Self::Mojaloop => "mojaloop",
        }
    }

    /// Where the simulator serves it.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Bank => "/bank",
            Self::Mpesa => "/rails/mpesa",
            Self::SimpleMpesa => "/rails/simple-mpesa",
            Self::Mojaloop => "/rails/mojaloop",
        }
    }
}

/// `BACKEND=BOOK`: what that backend pays stands in that book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BookOf {
    pub(crate) backend: BackendName,
    pub(crate) book: BookName,
}

impl FromStr for BookOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (backend, book) =
            text.split_once('=').ok_or_else(|| "expected BACKEND=BOOK, such as file=bank".to_owned())?;
        let backend = BackendName::parse(backend).map_err(|error| error.to_string())?;
        let book = BookName::ALL.into_iter().find(|known| known.as_str() == book);
        let book = book.ok_or_else(|| "the books are bank, mpesa, simple-mpesa and mojaloop".to_owned())?;
        Ok(Self { backend, book })
    }
}

impl fmt::Display for BookOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.backend, self.book.as_str())
    }
}

/// What each backend's book gained, by the backend's name.
pub(crate) type Gains = BTreeMap<String, Gain>;

/// The books of all backends.
pub(crate) struct Books(Vec<(BackendName, Book)>);

/// How they stood.
pub(crate) struct Summaries(Vec<Summary>);

impl Books {
    /// The books of `assigned` at the simulator at `base_url`.
    pub(crate) fn at(base_url: &str, assigned: &[BookOf], http: &Http) -> Self {
        let book = |of: &BookOf| (of.backend.clone(), Book::at(base_url, of.book, http.clone()));
        Self(assigned.iter().map(book).collect())
    }

    /// All of them as they stand.
    pub(crate) async fn summaries(&self) -> Result<Summaries, CliError> {
        let mut summaries = Vec::with_capacity(self.0.len());
        for (_, book) in &self.0 {
            summaries.push(book.summary().await?);
        }
        Ok(Summaries(summaries))
    }

    /// What each gained since `before`.
    pub(crate) async fn gained_since(&self, before: &Summaries) -> Result<Gains, CliError> {
        let mut gains = Gains::new();
        for ((backend, book), before) in self.0.iter().zip(&before.0) {
            gains.insert(backend.to_string(), book.gained_since(before).await?);
        }
        Ok(gains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_given_its_book_by_name() {
        for text in ["file=bank", "mpesa=mpesa", "simple=simple-mpesa", "mojaloop=mojaloop"] {
            let read: BookOf = text.parse().expect(text);
            assert_eq!(read.to_string(), text);
        }
        for text in ["file", "file=", "file=ledger", "=bank", "File Two=bank"] {
            assert!(text.parse::<BookOf>().is_err(), "{text}");
        }
    }
}
