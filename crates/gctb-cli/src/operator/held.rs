//! `gctb payments held`: backends and batches that may not pay, and payments that are tried again later.

use std::io::Write;

use comfy_table::{Cell, Table};
use gctb_db::{HeldBatch, PostponedPayment, StoppedRail};
use serde_json::{Value, json};

use super::time::{shown, shown_or_empty};
use super::{cut_notice, open_payment, reach};
use crate::Finding;
use crate::args::operator::ListArgs;
use crate::error::CliError;
use crate::table::{number, with_header};

/// Lists them: backends, batches, payments.
pub(super) fn run(args: &ListArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let (db, limit) = (reach::database(&args.database), i64::from(args.limit));
    let (rails, batches) = (db.stopped_rails()?, db.held_batches(limit)?);
    let payments = db.postponed_payments(limit)?;
    if args.json {
        let objects = rails.iter().map(rail_as_json);
        let objects = objects.chain(batches.iter().map(batch_as_json)).chain(payments.iter().map(payment_as_json));
        for object in objects {
            writeln!(out, "{object}")?;
        }
    } else if rails.is_empty() && batches.is_empty() && payments.is_empty() {
        writeln!(out, "nothing is held back")?;
    } else {
        let tables = [
            ("backends that may not pay", rails_table(&rails)),
            ("batches that may not be paid", batches_table(&batches)),
            ("payments that are tried again", payments_table(&payments)),
        ];
        print(&tables, out)?;
    }
    cut_notice(batches.len().max(payments.len()), args.limit);
    Ok(Finding::Good)
}

/// Each table under its title; one without rows is left out.
fn print(tables: &[(&str, Table)], out: &mut dyn Write) -> Result<(), CliError> {
    for (number, (title, table)) in tables.iter().filter(|(_, table)| !table.is_empty()).enumerate() {
        let gap = if number == 0 { "" } else { "\n" };
        writeln!(out, "{gap}{title}:\n{table}")?;
    }
    Ok(())
}

fn rails_table(rails: &[StoppedRail]) -> Table {
    let mut table = with_header(["backend", "state", "since", "resumes by itself", "to be sent again", "why"]);
    for rail in rails {
        table.add_row([
            (&rail.backend).into(),
            rail.state.as_str().into(),
            shown(rail.since).into(),
            shown_or_empty(rail.resume_at).into(),
            number(rail.waiting),
            (&rail.reason).into(),
        ]);
    }
    table
}

fn batches_table(batches: &[HeldBatch]) -> Table {
    let mut table = with_header(["sender", "transaction", "held since", "not claimed", "in flight"]);
    for batch in batches {
        table.add_row([
            (&batch.sender_id).into(),
            (&batch.transaction_id).into(),
            shown(batch.since).into(),
            number(batch.waiting),
            number(batch.in_flight),
        ]);
    }
    table
}

fn payments_table(payments: &[PostponedPayment]) -> Table {
    let further = ["state", "next", "not before", "last words"];
    let mut table = with_header(open_payment::HEADER.into_iter().chain(further));
    for PostponedPayment { payment, state, next } in payments {
        let further = [state.as_str(), next.what.as_str(), &shown(next.due_at), &payment.message].map(Cell::from);
        table.add_row(open_payment::cells(payment).into_iter().chain(further));
    }
    table
}

fn rail_as_json(rail: &StoppedRail) -> Value {
    json!({
        "held": "backend",
        "backend": rail.backend,
        "state": rail.state.as_str(),
        "since": shown(rail.since),
        "resumes": rail.resume_at.map(shown),
        "to_be_sent_again": rail.waiting,
        "reason": rail.reason,
    })
}

fn batch_as_json(batch: &HeldBatch) -> Value {
    json!({
        "held": "batch",
        "sender": batch.sender_id,
        "transaction": batch.transaction_id,
        "since": shown(batch.since),
        "not_claimed": batch.waiting,
        "in_flight": batch.in_flight,
    })
}

fn payment_as_json(row: &PostponedPayment) -> Value {
    let (next, not_before) = (row.next.what.as_str(), shown(row.next.due_at));
    let further = json!({"held": "payment", "state": row.state.as_str(), "next": next, "not_before": not_before});
    open_payment::object(&row.payment, further)
}
