//! Names and notes in the form that the adapter takes.
//!
//! Its pattern for names, `^(?!\s*$)[\w .,'-]{1,128}$`, has a look-ahead that Rust's `regex` does not know, so it is
//! kept by hand.

/// Characters of a name or a note.
const CHARS_MAX: usize = 128;

/// A name with what the pattern does not allow left out; None where nothing is left. The payee is found by the address
/// alone, so a name that loses an accent misleads nobody, and one that the pattern refuses would stop the payment.
pub(crate) fn name(text: &str) -> Option<String> {
    squeezed(text.chars().filter_map(|character| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | ',' | '\'' | '-' => Some(character),
        '’' | 'ʼ' => Some('\''),
        other if other.is_whitespace() => Some(' '),
        _ => None,
    }))
}

/// A note in one line of at most 128 characters; None where it is blank.
pub(crate) fn note(text: &str) -> Option<String> {
    let printable = |character: char| if character.is_control() || character.is_whitespace() { ' ' } else { character };
    squeezed(text.chars().map(printable))
}

/// Whether a text is a name as the pattern has it.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "_ .,'-".contains(character);
    (1..=CHARS_MAX).contains(&text.chars().count()) && text.chars().all(allowed) && !text.trim().is_empty()
}

/// Single blanks between words, none around them, no more than the limit.
fn squeezed(characters: impl Iterator<Item = char>) -> Option<String> {
    let all: String = characters.collect();
    let words: Vec<&str> = all.split(' ').filter(|word| !word.is_empty()).collect();
    let kept: String = words.join(" ").chars().take(CHARS_MAX).collect();
    let kept = kept.trim_end();
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lose_what_the_pattern_refuses() {
        let table = [
            ("Jane Doe", Some("Jane Doe")),
            ("  Jane\t\tDoe ", Some("Jane Doe")),
            ("N’Diaye, A.-M. (Mrs)", Some("N'Diaye, A.-M. Mrs")),
            ("José", Some("Jos")),
            ("አበበ", None),
            ("   ", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(name(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn notes_keep_every_script_in_one_line() {
        assert_eq!(note("Aid\r\nfor አበበ").as_deref(), Some("Aid for አበበ"));
        assert_eq!(note(" \u{0} "), None);
        assert_eq!(note(&"é".repeat(200)).map(|text| text.chars().count()), Some(CHARS_MAX));
    }

    proptest! {
        #[test]
        fn whatever_is_left_of_a_name_fits_the_pattern(text in "\\PC{0,300}") {
            prop_assert!(name(&text).is_none_or(|name| is_name(&name)));
        }

        #[test]
        fn whatever_is_left_of_a_note_has_1_to_128_characters(text in ".{0,300}") {
            prop_assert!(note(&text).is_none_or(|note| (1..=128).contains(&note.chars().count())));
        }
    }
}
