//! Turns what serde says about a wrong setting into a sentence with the setting's path and where it came from.

use config::ConfigError;

use super::{Layer, ServiceIdentity, SettingsError};

pub(super) fn explain(
    identity: &ServiceIdentity,
    layers: &[Layer],
    error: serde_path_to_error::Error<ConfigError>,
) -> SettingsError {
    let parent = error.path().to_string();
    let reason = innermost(error.inner());
    // serde offers these two only as text; a test of this crate fails should the words ever change.
    if let Some((key, expected)) = between_backticks(&reason, "unknown field ") {
        let path = child(&parent, key);
        return SettingsError::Unknown { origin: origin(layers, &path), path, expected: expected.to_owned() };
    }
    if let Some((key, _)) = between_backticks(&reason, "missing field ") {
        let path = child(&parent, key);
        return SettingsError::Missing { variable: identity.env_variable(&path), path };
    }
    SettingsError::Invalid { origin: origin(layers, &parent), path: parent, reason }
}

fn innermost(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => innermost(error),
        ConfigError::NotFound(key) => format!("missing field `{key}`"),
        ConfigError::Type { unexpected, expected, .. } => format!("found {unexpected}, expected {expected}"),
        ConfigError::Message(message) => message.clone(),
        ConfigError::Frozen
        | ConfigError::PathParse { .. }
        | ConfigError::FileParse { .. }
        | ConfigError::Foreign(_) => error.to_string(),
        // The enum belongs to another crate and may grow.
        _ => error.to_string(),
    }
}

fn between_backticks<'a>(text: &'a str, before: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = text.split_once(before)?;
    let (key, after) = rest.strip_prefix('`')?.split_once('`')?;
    Some((key, after.trim_start_matches([',', ' '])))
}

/// The path of `key` in `parent`. Which of the two already holds the other depends on who noticed the error.
fn child(parent: &str, key: &str) -> String {
    let within = |outer: &str, inner: &str| outer == inner || outer.starts_with(&format!("{inner}."));
    if parent == "." || within(key, parent) {
        key.to_owned()
    } else if parent == key || parent.ends_with(&format!(".{key}")) {
        parent.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

/// The last source that has the key is the one that set it.
fn origin(layers: &[Layer], path: &str) -> String {
    let holder = layers.iter().rev().find(|layer| layer.values.get::<config::Value>(path).is_ok());
    holder.map_or_else(|| "an unknown source".to_owned(), |layer| layer.name.clone())
}
