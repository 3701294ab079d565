//! Dead letters: what they look like, and how many in a row are too many.

use gctb_events::{Headers, Outgoing, header};

use super::DeadEntry;

/// The message that carries a dead entry: as it came, and why it is here.
pub(super) fn letter(dead_topic: &str, group: &str, key: &str, headers: &Headers, entry: &DeadEntry) -> Outgoing {
    let mut headers = headers.clone();
    headers.extend([
        (header::DEAD_REASON.to_owned(), entry.reason.clone()),
        (header::DEAD_GROUP.to_owned(), group.to_owned()),
        (header::DEAD_ORIGIN.to_owned(), entry.origin.to_string()),
        (header::DEAD_AT.to_owned(), chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
    ]);
    Outgoing { topic: dead_topic.to_owned(), key: key.to_owned(), payload: entry.payload.clone(), headers }
}

/// What became of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageFate {
    /// How many entries of it died.
    pub(super) dead: u32,
    /// Whether any entry of it was handled.
    pub(super) some_good: bool,
}

/// How many entries have died in a row after these messages, which follow `before` dead ones.
///
/// # Errors
/// The length of the row that exceeded `max`.
pub(super) fn row_after(before: u32, fates: &[MessageFate], max: u32) -> Result<u32, u32> {
    fates.iter().try_fold(before, |row, fate| {
        let row = if fate.some_good { 0 } else { row.saturating_add(fate.dead) };
        if row > max { Err(row) } else { Ok(row) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_entry_ends_the_row_and_a_longer_row_than_allowed_is_an_error() {
        let dead = |dead| MessageFate { dead, some_good: false };
        let good = MessageFate { dead: 0, some_good: true };
        let mixed = MessageFate { dead: 7, some_good: true };
        assert_eq!(row_after(3, &[dead(2), dead(5)], 10), Ok(10));
        assert_eq!(row_after(3, &[dead(2), dead(6)], 10), Err(11));
        assert_eq!(row_after(9, &[good, dead(10), mixed, dead(1)], 10), Ok(1));
        assert_eq!(row_after(4, &[], 10), Ok(4));
    }
}
