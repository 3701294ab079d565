//! Tables for people, all in one plain style that also reads well in a ticket or a document.

use std::borrow::Cow;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Row, Table, presets};

/// Widest table of the kind that wraps its cells, in columns.
const WIDTH_MAX: u16 = 120;

/// An empty table.
pub(crate) fn with_header(header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    table
}

/// The same, never wider than a terminal: what is too long goes on below, in its cell.
pub(crate) fn wrapped_with_header(header: impl Into<Row>) -> Table {
    let mut table = with_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH_MAX);
    table
}

/// Text that somebody else wrote, such that a terminal shows it and does nothing that it says: no character that controls one is
/// left but the end of a line.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let controls = |letter: char| letter.is_control() && letter != '\n';
    if !text.contains(controls) {
        return Cow::Borrowed(text);
    }
    let shown = |text: &mut String, letter: char| {
        if controls(letter) {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    };
    let mut printable = String::with_capacity(text.len() + 16);
    text.chars().for_each(|letter| shown(&mut printable, letter));
    Cow::Owned(printable)
}

/// A cell for a number: aligned to the right.
pub(crate) fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_is_shown_and_controls_no_terminal() {
        assert_eq!(printable("ä\u{1b}[2J\r\u{9b}1m\tb\n\"c\""), "ä\\u{1b}[2J\\r\\u{9b}1m\\tb\n\"c\"");
        assert!(matches!(printable("as it is\n"), Cow::Borrowed("as it is\n")));
    }
}
