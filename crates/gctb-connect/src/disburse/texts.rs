//! Where the texts of a message lie: in its body, or beside it where they were unescaped, cut or made up.
//!
//! A text is kept as two numbers instead of a string of its own, so that a message of 100,000 disbursements takes little
//! more memory than its body, and can be kept without borrowing from anybody.

use std::num::NonZeroU32;

/// Largest body, in bytes. What lies beside it is at most twice as much, and numbers of 32 bits still reach all of it.
pub(super) const BODY_BYTES_MAX: usize = 1 << 30;

/// The place of a text. It is never zero inside, so that an optional place takes no more room than a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    start: u32,
    /// One more than the end.
    after: NonZeroU32,
}

impl Place {
    fn of(start: usize, bytes: usize) -> Self {
        // BODY_BYTES_MAX keeps every place within 32 bits; a place that were not would be that of no text.
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let bytes = u32::try_from(bytes).unwrap_or(0);
        Self { start, after: NonZeroU32::MIN.saturating_add(start.saturating_add(bytes)) }
    }
}

/// The body of a message, and the texts beside it.
pub(super) struct Texts {
    body: String,
    beside: String,
}

impl Texts {
    pub(super) fn new(body: String, beside: String) -> Self {
        Self { body, beside }
    }

    /// The text at a place that these texts gave.
    pub(super) fn get(&self, place: Place) -> &str {
        let (start, end) = (place.start as usize, place.after.get() as usize - 1);
        match start.checked_sub(self.body.len()) {
            None => self.body.get(start..end),
            Some(start) => self.beside.get(start..end - self.body.len()),
        }
        .unwrap_or_default()
    }

    /// Puts a text beside the body.
    pub(super) fn add(&mut self, text: &str) -> Place {
        put(self.body.len(), &mut self.beside, text)
    }
}

/// The place of a text that was parsed from `body`: where it lies there, or beside it where it had to be unescaped.
pub(super) fn place(body: &str, beside: &mut String, text: &str) -> Place {
    // What was unescaped lies in memory of its own, never within the body.
    let start = text.as_ptr().addr().wrapping_sub(body.as_ptr().addr());
    if start.saturating_add(text.len()) <= body.len() {
        // An empty text at the very end of the body would be taken for the first text beside it, which does no harm.
        Place::of(start, text.len())
    } else {
        put(body.len(), beside, text)
    }
}

fn put(body_bytes: usize, beside: &mut String, text: &str) -> Place {
    let place = Place::of(body_bytes + beside.len(), text.len());
    beside.push_str(text);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_again_where_they_were_put() {
        let body = "abc éè".to_owned();
        let mut beside = String::new();
        let inside = place(&body, &mut beside, &body[4..]);
        let empty = place(&body, &mut beside, &body[1..1]);
        assert!(beside.is_empty(), "what lies in the body is not copied");
        let unescaped = String::from("ü\n");
        let unescaped = place(&body, &mut beside, &unescaped);
        let foreign = place(&body, &mut beside, "of the program");
        let mut texts = Texts::new(body, beside);
        let (nothing, last) = (texts.add(""), texts.add("last"));
        let expected = ["éè", "", "ü\n", "of the program", "", "last"];
        assert_eq!([inside, empty, unescaped, foreign, nothing, last].map(|place| texts.get(place)), expected);
    }

    #[test]
    fn an_optional_place_takes_no_more_room_than_a_place() {
        assert_eq!(size_of::<Option<Place>>(), 8);
    }
}
