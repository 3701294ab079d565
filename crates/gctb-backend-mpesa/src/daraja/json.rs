//! M-Pesa's loose JSON, read strictly: a number may stand as a text, and a list of one as the one.
//!
//! Numbers are kept as the text that was sent: no amount ever passes through a floating-point type (invariant I6).

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A text or a number, as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        match text.bytes().next() {
            Some(b'"') => serde_json::from_str(text).map(Self).map_err(|_| D::Error::custom("not a text")),
            Some(b'-' | b'0'..=b'9') => Ok(Self(text.to_owned())),
            Some(_) | None => Err(D::Error::custom("neither a text nor a number")),
        }
    }
}

/// A list, or its only entry without the brackets.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let many = if text.starts_with('[') {
            serde_json::from_str(text)
        } else {
            serde_json::from_str(text).map(|one| vec![one])
        };
        // The parser's own words could repeat what was sent.
        many.map(Self).map_err(|_| D::Error::custom("neither a list nor an entry of one"))
    }
}
