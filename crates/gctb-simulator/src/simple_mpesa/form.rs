//! Reads a body that may be a form or JSON, as simple-mpesa's framework does. It must not know which fields are wanted.

use std::collections::HashMap;

use serde_json::Value;

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Text(String),
    /// A JSON number, as it was written.
    Number(String),
}

/// The fields of a body. One that cannot be read has none.
#[derive(Debug, Default)]
pub(super) struct Form(HashMap<String, Field>);

impl Form {
    pub(super) fn read(content_type: &str, body: &[u8]) -> Self {
        if content_type.starts_with("application/json") {
            return Self::of_json(body);
        }
        if content_type.starts_with("application/x-www-form-urlencoded") {
            let url = format!("form:?{}", String::from_utf8_lossy(body));
            let Ok(url) = reqwest::Url::parse(&url) else { return Self::default() };
            return Self(
                url.query_pairs().map(|(name, text)| (name.into_owned(), Field::Text(text.into_owned()))).collect(),
            );
        }
        Self::default()
    }

    fn of_json(body: &[u8]) -> Self {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Self::default() };
        let field = |(name, value)| match value {
            Value::String(text) => Some((name, Field::Text(text))),
            Value::Number(number) => Some((name, Field::Number(number.to_string()))),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Self(fields.into_iter().filter_map(field).collect())
    }

    /// A field that holds text; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Field::Text(text)) => text,
            Some(Field::Number(_)) | None => "",
        }
    }

    /// A field that holds an unsigned whole number. Anything else is parsed away: 0.
    pub(super) fn whole_number(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(Field::Text(text) | Field::Number(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().unwrap_or(0)
            }
            Some(Field::Text(_) | Field::Number(_)) | None => 0,
        }
    }
}

/// Whether a text has the form of an e-mail address, roughly as simple-mpesa's validator wants it.
pub(super) fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !domain.contains('@')
            && !text.contains(char::is_whitespace)
    })
}
