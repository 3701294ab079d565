//! What of a rail's own words may be shown and stored: short, and without anything that could be a person's (invariant I9).

/// Characters of a reference or an id that a rail gave.
const REFERENCE_CHARS_MAX: usize = 64;

/// Characters of a code that a rail gave.
const CODE_CHARS_MAX: usize = 24;

/// Digits in a row from which on a "code" could be somebody's phone number. The longest code has nine.
const PHONE_DIGITS_MIN: usize = 10;

/// A rail's reference, if it can be one: letters, digits, `_`, `-` and `.`, and not too long.
pub(crate) fn reference(text: &str) -> Option<String> {
    let fits = (1..=REFERENCE_CHARS_MAX).contains(&text.len());
    (fits && text.bytes().all(is_plain)).then(|| text.to_owned())
}

/// A rail's code as it may stand in a message; a text that is no code is not repeated.
pub(crate) fn code(text: &str) -> &str {
    let fits = (1..=CODE_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain);
    let digits = text.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    if fits && digits < PHONE_DIGITS_MIN { text } else { "(no code)" }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// A sender's words as M-Pesa can carry them: ASCII letters, digits and simple punctuation, at most `max` characters.
pub(crate) fn plain_words(text: &str, max: usize) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || ".,-".contains(letter) { letter } else { ' ' };
    let words: String = text.chars().map(plain).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    // Only ASCII is left: a character is a byte.
    words[..words.len().min(max)].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_what_could_be_a_phone_number_is_not_shown_as_a_code() {
        assert_eq!(code("SFC_IC0003"), "SFC_IC0003");
        assert_eq!(code("100000011"), "100000011");
        assert_eq!(code("254705912645"), "(no code)");
        assert_eq!(code("0705912645 is unknown"), "(no code)");
        assert_eq!(code(""), "(no code)");
    }

    #[test]
    fn a_narrative_is_reduced_to_what_every_phone_can_show() {
        assert_eq!(plain_words("Farmers' relief: July (2026) – café", 100), "Farmers relief July 2026 caf");
        assert_eq!(plain_words("水", 100), "");
        assert_eq!(plain_words(&"a ".repeat(80), 5), "a a a");
    }

    #[test]
    fn a_reference_is_short_and_plain() {
        assert_eq!(reference("SG632NMUAB").as_deref(), Some("SG632NMUAB"));
        assert_eq!(reference("AG_20240706_20106e9209c04bebd05b").as_deref(), Some("AG_20240706_20106e9209c04bebd05b"));
        assert_eq!(reference(""), None);
        assert_eq!(reference("NICHOLAS JOHN"), None);
        assert_eq!(reference(&"a".repeat(65)), None);
    }
}
