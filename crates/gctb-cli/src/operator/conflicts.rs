//! `gctb conflicts list`: contradictions between final answers of a rail. Each is real money.

use std::io::Write;

use comfy_table::Table;
use gctb_db::ConflictRow;
use gctb_domain::LedgerState;
use serde_json::{Value, json};

use super::time::shown;
use super::{listing, reach};
use crate::Finding;
use crate::args::operator::ConflictsVerb;
use crate::error::CliError;
use crate::table::{number, with_header};

/// Lists them, newest first.
pub(crate) fn run(verb: &ConflictsVerb, out: &mut dyn Write) -> Result<Finding, CliError> {
    let ConflictsVerb::List(args) = verb;
    let args = &args.list;
    let rows = reach::database(&args.database).conflicts(i64::from(args.limit))?;
    listing::write(&rows, args, "there are no conflicts", as_json, table_of, out)?;
    Ok(Finding::Good)
}

fn table_of(rows: &[ConflictRow]) -> Table {
    let header = ["number", "recorded", "instruction", "ledger said", "stands as", "rail reference", "detail"];
    let mut table = with_header(header);
    for row in rows {
        table.add_row([
            number(row.conflict_id),
            shown(row.recorded_at).into(),
            instruction(row).into(),
            state(row.before_state).into(),
            state(row.after_state).into(),
            row.rail_reference.as_deref().unwrap_or_default().into(),
            (&row.detail).into(),
        ]);
    }
    table
}

fn as_json(row: &ConflictRow) -> Value {
    json!({
        "number": row.conflict_id,
        "recorded": shown(row.recorded_at),
        "instruction": instruction(row),
        "ledger_said": state(row.before_state),
        "stands_as": state(row.after_state),
        "rail_reference": row.rail_reference,
        "detail": row.detail,
    })
}

/// Batch and position, as logs name an instruction.
fn instruction(row: &ConflictRow) -> String {
    format!("{}#{}", row.batch_id, row.seq)
}

/// The state's name; the number where a newer version wrote one that this version does not know.
fn state(code: i16) -> String {
    LedgerState::from_code(code).map_or_else(|| code.to_string(), |state| state.as_str().to_owned())
}
