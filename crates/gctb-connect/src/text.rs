//! JSON text that stays where it is: borrowed from the message unless it had to be unescaped.
//!
//! `Option<Cow<str>>` always copies when derived, so strings of a message are read as [`Text`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};

/// A JSON string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

/// A JSON object. A derived struct would also take an array with its fields in order, which no sender means.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Longest text, in characters, that is kept of a field. What a sender wrote into a refused item is stored up to here.
pub(crate) const KEPT_CHARS_MAX: usize = 999;

/// The text in the form that Postgres can store: cut at [`KEPT_CHARS_MAX`] characters, U+0000 replaced by U+FFFD.
///
/// What is echoed later is what this gave, so that a sender is told the same each time.
pub(crate) fn storable(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_storable(&text) {
        return text;
    }
    Cow::Owned(text.chars().take(KEPT_CHARS_MAX).map(|c| if c == '\0' { '\u{FFFD}' } else { c }).collect())
}

/// Whether [`storable`] leaves the text as it is.
pub(crate) fn is_storable(text: &str) -> bool {
    let short = text.len() <= KEPT_CHARS_MAX || text.chars().count() <= KEPT_CHARS_MAX;
    short && !text.contains('\0')
}

/// Whether `text` has at most `chars_max` characters, none of them a control character.
pub(crate) fn is_plain(text: &str, chars_max: usize) -> bool {
    let short = text.len() <= chars_max || text.chars().count() <= chars_max;
    short && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescaped_text_is_borrowed_and_escaped_text_is_owned() {
        let read =
            |json: &'static str| serde_json::from_str::<Option<Text<'_>>>(json).expect("a string").expect("some");
        assert!(matches!(read(r#""plain""#).0, Cow::Borrowed("plain")));
        assert!(matches!(read(r#""a\nb""#).0, Cow::Owned(_)));
    }

    #[test]
    fn what_postgres_cannot_store_is_replaced_and_what_is_long_is_cut() {
        assert!(matches!(storable("fine".into()), Cow::Borrowed("fine")));
        assert_eq!(storable("a\0b".into()), "a\u{FFFD}b");
        assert_eq!(storable("é".repeat(1_000).into()).chars().count(), KEPT_CHARS_MAX);
    }
}
