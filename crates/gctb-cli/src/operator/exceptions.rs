//! `gctb exceptions list`: lines of response files that could not be believed.

use std::io::Write;

use comfy_table::Table;
use gctb_db::ExceptionRow;
use serde_json::{Value, json};

use super::time::shown;
use super::{listing, reach};
use crate::Finding;
use crate::args::operator::ExceptionsVerb;
use crate::error::CliError;
use crate::table::{number, with_header};

/// Lists them, newest first.
pub(crate) fn run(verb: &ExceptionsVerb, out: &mut dyn Write) -> Result<Finding, CliError> {
    let ExceptionsVerb::List(args) = verb;
    let args = &args.list;
    let rows = reach::database(&args.database).exceptions(i64::from(args.limit))?;
    listing::write(&rows, args, "there are no exceptions", as_json, table_of, out)?;
    Ok(Finding::Good)
}

fn table_of(rows: &[ExceptionRow]) -> Table {
    let mut table = with_header(["recorded", "response file", "line", "payment reference", "kind", "detail"]);
    for row in rows {
        let ExceptionRow { file, line_no, kind, detail, payment_ref, recorded_at } = row;
        let (file, kind, detail) = (file.into(), kind.into(), detail.into());
        table.add_row([shown(*recorded_at).into(), file, number(line_no), payment_ref.into(), kind, detail]);
    }
    table
}

fn as_json(row: &ExceptionRow) -> Value {
    let ExceptionRow { file, line_no, kind, detail, payment_ref, recorded_at } = row;
    json!({ "recorded": shown(*recorded_at), "response_file": file, "line": line_no,
            "payment_reference": payment_ref, "kind": kind, "detail": detail })
}
