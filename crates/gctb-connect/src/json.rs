//! Reads a JSON message, and says of a broken one which field is wrong and what was expected, never what it held.

use serde::Deserialize;
use serde_json::error::Category;

/// The code of a message with a broken shape (G2P Connect 1.0.0, acknowledgement errors).
pub(crate) const BAD_REQUEST: &str = "err.request.bad";

/// Longest path shown, in characters: keys that we ignore are the sender's, and may be of any length.
const PATH_CHARS_MAX: usize = 200;

/// A message that is not JSON, or not of the shape that was expected: HTTP 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ShapeError {
    /// The machine-readable code.
    pub code: &'static str,
    /// The field's path and what was expected there. Never the value that was found.
    pub message: String,
}

impl ShapeError {
    /// `path` does not hold what was `expected`.
    pub(crate) fn at(path: &str, expected: impl std::fmt::Display) -> Self {
        Self { code: BAD_REQUEST, message: format!("{path}: {expected}") }
    }
}

/// Parses `body` as `T`, borrowing from it. Only a message that fails is parsed again, to find the path of the fault.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ShapeError> {
    serde_json::from_slice(body).map_err(|first| fault::<T>(body, &first))
}

/// Where and what the fault is for which `body` cannot be parsed as `T`; `first` is what the parser said.
pub(crate) fn fault<'a, T: Deserialize<'a>>(body: &'a [u8], first: &serde_json::Error) -> ShapeError {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        // Only what follows the message can be wrong.
        Ok(_) => ShapeError::at("message", describe(first).1),
        Err(error) => {
            let (missing, fault) = describe(error.inner());
            ShapeError::at(&shown_path(&error.path().to_string(), missing.as_deref()), fault)
        }
    }
}

fn shown_path(path: &str, missing: Option<&str>) -> String {
    // Where the JSON breaks off before a key, the last step of the path is a question mark.
    let path = path.strip_suffix(".?").unwrap_or(path);
    let root = path == "." || path == "?";
    let full = match missing {
        Some(field) if root => field.to_owned(),
        Some(field) => format!("{path}.{field}"),
        None if root => "the message".to_owned(),
        None => path.to_owned(),
    };
    full.chars().take(PATH_CHARS_MAX).collect()
}

/// A field of ours that the fault is about, if serde names one, and the fault in words without any value.
fn describe(error: &serde_json::Error) -> (Option<String>, String) {
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Data => {}
        Category::Eof => return (None, format!("the JSON ends too early, at line {line} column {column}")),
        // Syntax messages are a fixed list of serde_json's and quote nothing.
        Category::Syntax | Category::Io => return (None, format!("not valid JSON: {text}")),
    }
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(fault, _)| fault);
    if let Some(field) = quoted(text, "missing field `") {
        return (Some(field), "required, and missing".to_owned());
    }
    if let Some(field) = quoted(text, "duplicate field `") {
        return (Some(field), "given more than once".to_owned());
    }
    // What follows the last "expected" is ours; what stands before it may quote the sender.
    match text.rsplit_once(", expected ") {
        Some((found, expected)) => {
            (None, format!("expected {}, found {}", expected_words(expected), found_words(found)))
        }
        None => (None, "not of the shape that was expected".to_owned()),
    }
}

fn quoted(text: &str, prefix: &str) -> Option<String> {
    text.strip_prefix(prefix)?.strip_suffix('`').map(str::to_owned)
}

fn expected_words(expected: &str) -> &str {
    match expected {
        "i64" | "u32" | "u64" => "a whole number",
        "a boolean" => "true or false",
        other => other,
    }
}

fn found_words(found: &str) -> &'static str {
    let kinds = [
        ("invalid type: null", "null"),
        ("invalid type: boolean", "true or false"),
        ("invalid type: integer", "a number"),
        ("invalid type: floating point", "a number"),
        ("invalid type: number", "a number"),
        ("invalid type: string", "a string"),
        ("invalid type: map", "an object"),
        ("invalid type: sequence", "an array"),
        ("invalid value: integer", "a number out of range"),
    ];
    kinds.iter().find(|(prefix, _)| found.starts_with(prefix)).map_or("something else", |(_, words)| *words)
}
