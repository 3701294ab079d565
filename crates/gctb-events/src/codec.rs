//! How an event becomes bytes and bytes an event.

/// An event that travels as one Kafka message.
pub trait Event: Sized {
    /// Name and version of the schema, sent as a header.
    const SCHEMA: &'static str;

    /// The message's key: spreads the chunks of a batch over all partitions. Nothing relies on order.
    fn key(&self) -> String;

    /// The message's bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads a message. Entries that cannot be read come back beside those that can.
    ///
    /// # Errors
    /// [`Undecodable`] where nothing of the message can be used.
    fn decode(payload: &[u8]) -> Result<Decoded<Self>, Undecodable>;
}

/// A message as far as it could be read.
#[derive(Debug)]
pub struct Decoded<E> {
    /// The entries that could be read.
    pub event: E,
    /// The entries that could not.
    pub refused: Vec<RefusedEntry>,
}

/// One entry that could not be read, for the dead-letter topic.
#[derive(Debug, PartialEq, Eq)]
pub struct RefusedEntry {
    /// The same kind of message with this entry alone, so that it can be driven again.
    pub payload: Vec<u8>,
    /// What is wrong with it, without its content.
    pub reason: String,
}

/// A message of which nothing can be read.
#[derive(Debug, thiserror::Error)]
#[error("the message is not a {schema}: {reason}")]
pub struct Undecodable {
    /// The schema that was expected.
    pub schema: &'static str,
    /// What is wrong, without the content.
    pub reason: String,
}

/// Reads a 16-byte identifier.
pub(crate) fn uuid(schema: &'static str, field: &str, bytes: &[u8]) -> Result<uuid::Uuid, Undecodable> {
    uuid::Uuid::from_slice(bytes)
        .map_err(|_| Undecodable { schema, reason: format!("{field} has {} bytes instead of 16", bytes.len()) })
}

/// The prefix of protobuf's own words, which name wire types and fields but no content.
pub(crate) fn not_protobuf(schema: &'static str, error: &prost::DecodeError) -> Undecodable {
    Undecodable { schema, reason: error.to_string() }
}

/// Reads a time in milliseconds since 1970. None outside the years 1970 to 9999, which is less than Postgres takes.
pub(crate) fn time(milliseconds: i64) -> Option<chrono::DateTime<chrono::Utc>> {
    const YEAR_10_000: i64 = 253_402_300_800_000;
    let in_range = (0..YEAR_10_000).contains(&milliseconds);
    in_range.then(|| chrono::DateTime::from_timestamp_millis(milliseconds)).flatten()
}
