//! `gctb rail exceptions`: what rails said and nobody believed.
//!
//! What came may be personal data: it is read and shown only where `--bodies` asks for it.

use std::io::Write;

use comfy_table::{ColumnConstraint, Table, Width};
use gctb_db::{Db, RailException};
use gctb_domain::BackendName;
use serde_json::{Value, json};

use super::time::shown;
use super::{listing, reach};
use crate::Finding;
use crate::args::rails::RailExceptionsArgs;
use crate::error::CliError;
use crate::table::{printable, wrapped_with_header};

/// The column of key, transaction and reference, which people copy: wide enough for a UUID in one piece.
const PAYMENT_COLUMN: usize = 3;
const PAYMENT_COLUMN_WIDTH: u16 = 38;

/// Lists them, newest first.
pub(super) fn run(args: &RailExceptionsArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let db = reach::database(&args.list.database);
    let rows = db.rail_exceptions(args.backend.as_ref(), i64::from(args.list.limit), args.bodies)?;
    if rows.is_empty()
        && let Some(stranger) = args.backend.as_ref()
        && is_stranger(&db, stranger)?
    {
        eprintln!("gctb: no backend {stranger} has ever started on this database.");
        return Ok(Finding::Bad);
    }
    let none = "there are no rail exceptions";
    listing::write(&rows, &args.list, none, |row| as_json(row, args.bodies), table_of, out)?;
    if args.bodies && !args.list.json {
        write_bodies(&rows, out)?;
    }
    Ok(Finding::Good)
}

/// A name that was misspelt must not look like a rail that everybody believes.
fn is_stranger(db: &Db, backend: &BackendName) -> Result<bool, CliError> {
    Ok(db.rail_control(backend)?.is_none())
}

fn table_of(rows: &[RailException]) -> Table {
    let mut table = wrapped_with_header(["recorded", "backend", "kind", "key, transaction, reference", "detail"]);
    for row in rows {
        let named = [&row.rail_key, &row.transaction_id, &row.request_id].map(Option::as_deref);
        let payment = named.into_iter().flatten().collect::<Vec<_>>().join("\n");
        table.add_row([shown(row.recorded_at), row.backend.clone(), row.kind.clone(), payment, row.detail.clone()]);
    }
    if let Some(column) = table.column_mut(PAYMENT_COLUMN) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(PAYMENT_COLUMN_WIDTH)));
    }
    table
}

/// What came, under a line that says of which row it is; indented, so that it cannot be taken for such a line.
fn write_bodies(rows: &[RailException], out: &mut dyn Write) -> Result<(), CliError> {
    for row in rows {
        let Some(body) = &row.body else { continue };
        let key = row.rail_key.as_deref().unwrap_or("without a key");
        let title = format!("{} {} {} {key}", shown(row.recorded_at), row.backend, row.kind);
        writeln!(out, "\n{}:", printable(&title))?;
        for line in body.lines() {
            writeln!(out, "  {}", printable(line))?;
        }
    }
    Ok(())
}

fn as_json(row: &RailException, with_body: bool) -> Value {
    let mut object = json!({
        "number": row.exception_id,
        "recorded": shown(row.recorded_at),
        "backend": row.backend,
        "kind": row.kind,
        "detail": row.detail,
        "key": row.rail_key,
        "sender": row.sender_id,
        "transaction": row.transaction_id,
        "reference": row.request_id,
    });
    if with_body {
        object["body"] = row.body.clone().into();
    }
    object
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn row() -> RailException {
        RailException {
            exception_id: 7,
            recorded_at: DateTime::UNIX_EPOCH,
            backend: "mojaloop".into(),
            kind: "unknown_instruction".into(),
            detail: "the ledger has no row for this key, which is a sentence that is longer than its column".into(),
            rail_key: Some("00000040001P".into()),
            sender_id: Some("payments.openg2p.org".into()),
            transaction_id: Some("5c1e7f0a-6e0f-4c58-9d3f-0f6f5a1f7a10".into()),
            request_id: Some("r-17".into()),
            body: Some("{\"a\": 1,\r\n \"b\": \"\u{1b}[2J\"}".into()),
        }
    }

    #[test]
    fn the_table_is_no_wider_than_a_terminal_and_a_transaction_stands_in_one_piece() {
        let long = RailException { request_id: Some("x".repeat(300)), detail: "y ".repeat(250), ..row() };
        let table = table_of(&[row(), long]).to_string();
        assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
        let first = table.lines().nth(2).unwrap_or_default();
        let words =
            ["1970-01-01T00:00:00Z", "mojaloop", "unknown_instruction", "00000040001P", "the ledger has no row"];
        assert!(words.iter().all(|word| first.contains(word)), "{table}");
        assert!(table.contains(" 5c1e7f0a-6e0f-4c58-9d3f-0f6f5a1f7a10 "), "{table}");
    }

    #[test]
    fn what_came_stands_below_the_line_of_its_row_and_controls_no_terminal() {
        let mut out = Vec::new();
        let nothing_came = RailException { body: None, ..row() };
        write_bodies(&[row(), nothing_came], &mut out).expect("written");
        let expected = "\n1970-01-01T00:00:00Z mojaloop unknown_instruction 00000040001P:\n  {\"a\": 1,\n   \"b\": \"\\u{1b}[2J\"}\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn an_object_has_a_body_only_where_it_was_asked_for() {
        assert_eq!(as_json(&row(), false).get("body"), None);
        assert_eq!(as_json(&RailException { body: None, ..row() }, true)["body"], Value::Null);
        let object = as_json(&row(), true);
        assert_eq!((&object["key"], &object["reference"]), (&"00000040001P".into(), &"r-17".into()));
    }
}
