//! The name of a deployed payment backend.

use std::fmt;

/// The name under which a payment backend is deployed, for example `file` or `mpesa-agency`.
///
/// It is part of a topic's name and of the ledger: one to thirty lower-case letters, digits and hyphens, beginning with
/// a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendName(String);

impl BackendName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`BackendNameError`] where it does not have the form above.
    pub fn parse(name: &str) -> Result<Self, BackendNameError> {
        let begins_with_a_letter = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if begins_with_a_letter && name.len() <= 30 && name.bytes().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(BackendNameError)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BackendName {
    type Error = BackendNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<BackendName> for String {
    fn from(name: BackendName) -> Self {
        name.0
    }
}

/// A text that is no backend name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a backend's name is one to thirty lower-case letters, digits and hyphens and begins with a letter")]
pub struct BackendNameError;
