//! A list from the database, as people or programs read it. It must not know what is listed.

use std::io::Write;

use comfy_table::Table;
use serde_json::Value;

use super::cut_notice;
use crate::args::operator::ListArgs;
use crate::error::CliError;
use crate::table::printable;

/// Writes the rows as one table, or each as a JSON object on a line of its own; without rows, that there are none. Says on
/// standard error where the list was cut.
pub(super) fn write<Row>(
    rows: &[Row],
    args: &ListArgs,
    none: &str,
    as_json: impl Fn(&Row) -> Value,
    as_table: impl Fn(&[Row]) -> Table,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if args.json {
        for row in rows {
            writeln!(out, "{}", as_json(row))?;
        }
    } else if rows.is_empty() {
        writeln!(out, "{none}")?;
    } else {
        writeln!(out, "{}", printable(&as_table(rows).to_string()))?;
    }
    cut_notice(rows.len(), args.limit);
    Ok(())
}
