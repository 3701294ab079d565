//! Times as operators read them: RFC 3339, UTC, whole seconds.

use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time.
pub(super) fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A point in time that may be missing.
pub(super) fn shown_or_empty(time: Option<DateTime<Utc>>) -> String {
    time.map(shown).unwrap_or_default()
}

/// A time of Kafka, in milliseconds since 1970.
pub(super) fn of_millis(millis: Option<i64>) -> Option<DateTime<Utc>> {
    millis.and_then(DateTime::from_timestamp_millis)
}
