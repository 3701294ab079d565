//! Tables for people, all in one plain style that also reads well in a ticket or a document.

use comfy_table::{Cell, CellAlignment, Row, Table, presets};

/// An empty table.
pub(crate) fn with_header(header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    table
}

/// A cell for a number: aligned to the right.
pub(crate) fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
