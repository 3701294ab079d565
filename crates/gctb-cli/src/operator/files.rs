//! `gctb files`: payment files that a person must look at, and what the person found out.

use std::io::Write;

use gctb_db::{Db, FileState, OutgoingFile, Resolution};
use serde_json::{Value, json};

use super::time::{shown, shown_or_empty};
use super::{actor, reach};
use crate::Finding;
use crate::args::operator::{FilesOverdueArgs, FilesResolveArgs, FilesVerb};
use crate::error::CliError;
use crate::sums::Sums;
use crate::table::{number, with_header};

/// Lists or resolves.
pub(crate) fn run(verb: &FilesVerb, out: &mut dyn Write) -> Result<Finding, CliError> {
    match verb {
        FilesVerb::Overdue(args) => overdue(args, &reach::database(&args.database), out),
        FilesVerb::Resolve(args) => resolve(args, &reach::database(&args.database), out),
    }
}

fn overdue(args: &FilesOverdueArgs, db: &Db, out: &mut dyn Write) -> Result<Finding, CliError> {
    let files = db.overdue_files(i64::from(args.hours))?;
    if args.json {
        for file in &files {
            writeln!(out, "{}", as_json(file))?;
        }
    } else if files.is_empty() {
        writeln!(out, "no payment file is overdue or waits for an operator")?;
    } else {
        writeln!(out, "{}", table_of(&files))?;
    }
    Ok(Finding::Good)
}

fn table_of(files: &[OutgoingFile]) -> comfy_table::Table {
    let header =
        ["name", "state", "lines", "answered", "sum", "delivery began", "at the bank since", "needs a person since"];
    let mut table = with_header(header);
    for file in files {
        table.add_row([
            (&file.name).into(),
            file.state.as_str().into(),
            number(file.line_count),
            number(file.answered_count),
            number(sum(file)),
            shown_or_empty(file.delivering_at).into(),
            shown_or_empty(file.dispatched_at).into(),
            shown_or_empty(file.needs_operator_since).into(),
        ]);
    }
    table
}

fn as_json(file: &OutgoingFile) -> Value {
    json!({
        "name": file.name,
        "state": file.state.as_str(),
        "lines": file.line_count,
        "answered": file.answered_count,
        "sum": sum(file),
        "delivery_began": file.delivering_at.map(shown),
        "at_the_bank_since": file.dispatched_at.map(shown),
        "needs_a_person_since": file.needs_operator_since.map(shown),
    })
}

/// `KES 10.50`; a currency that this version does not know is shown in minor units, and says so.
fn sum(file: &OutgoingFile) -> String {
    let mut sums = Sums::default();
    if sums.add_minor_total(&file.currency, file.amount_minor) {
        sums.to_string()
    } else {
        format!("{} {} in minor units", file.currency, file.amount_minor)
    }
}

fn resolve(args: &FilesResolveArgs, db: &Db, out: &mut dyn Write) -> Result<Finding, CliError> {
    let resolution = if args.delivered { Resolution::Delivered } else { Resolution::Absent };
    let quarantine = i64::try_from(args.quarantine.as_secs()).unwrap_or(i64::MAX);
    let found = db.resolve_file(&args.name, resolution, &actor::name(), &args.evidence, quarantine, args.dry_run)?;
    let (file, allowed) = found.ok_or_else(|| CliError::UnknownFile { name: args.name.clone() })?;
    if !allowed {
        eprintln!("gctb: {}", refusal(&file, resolution, args.quarantine.as_secs()));
        return Ok(Finding::Bad);
    }
    let doing = if args.dry_run { "can be recorded" } else { "is recorded" };
    let then = match resolution {
        Resolution::Delivered => "the bank's answer is awaited",
        Resolution::Absent => "it is delivered again, under the same name",
    };
    writeln!(out, "{} ({}, {} lines): your word {doing}; {then}", file.name, sum(&file), file.line_count)?;
    Ok(Finding::Good)
}

/// Why an operator's word was not taken, and nothing was done.
fn refusal(file: &OutgoingFile, resolution: Resolution, quarantine_seconds: u64) -> String {
    let (name, state) = (&file.name, file.state.as_str());
    let waits = match file.state {
        FileState::Closed | FileState::Delivering => file.needs_operator_since.is_some(),
        FileState::Open | FileState::Dispatched | FileState::Answered | FileState::Void => false,
    };
    if !waits {
        return format!("{name} is {state} and does not wait for an operator; nothing was done.");
    }
    if resolution == Resolution::Absent && file.answered_count > 0 {
        let answered = file.answered_count;
        return format!("{name} cannot be absent, since the bank answered {answered} of its lines; nothing was done.");
    }
    if resolution == Resolution::Delivered && file.delivering_at.is_none() && file.answered_count == 0 {
        return format!(
            "{name} was never put, and nothing was paid of it, so the bank cannot have it; nothing was done."
        );
    }
    format!(
        "{name} may still be on its way: {quarantine_seconds} s must pass after its delivery began ({}); nothing was done.",
        shown_or_empty(file.delivering_at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(state: FileState, answered_count: i32, waits: bool) -> OutgoingFile {
        let at = chrono::DateTime::from_timestamp(1_795_420_800, 0);
        OutgoingFile {
            file_id: 7,
            name: "gctb_file_20261123_000007.csv".into(),
            payer_fa: "account:1@treasury.bank.bank_acc".into(),
            currency: "KES".into(),
            state,
            execution_date: None,
            line_count: 3,
            amount_minor: 425_075,
            sha256: None,
            answered_count,
            dispatched_at: None,
            delivering_at: at,
            needs_operator_since: at.filter(|_| waits),
        }
    }

    #[test]
    fn a_file_is_shown_with_its_exact_sum_and_without_the_payers_account() {
        let shown = table_of(&[file(FileState::Delivering, 0, true)]).to_string();
        assert!(shown.contains("KES 4250.75") && shown.contains("DELIVERING"), "{shown}");
        assert!(!shown.contains("treasury"), "{shown}");
        assert_eq!(as_json(&file(FileState::Delivering, 0, true))["sum"], "KES 4250.75");
    }

    #[test]
    fn a_refused_word_says_why() {
        let why = |file: OutgoingFile, resolution| refusal(&file, resolution, 900);
        assert!(why(file(FileState::Answered, 3, false), Resolution::Absent).contains("is ANSWERED"));
        assert!(why(file(FileState::Delivering, 1, true), Resolution::Absent).contains("answered 1 of its lines"));
        assert!(why(file(FileState::Delivering, 0, true), Resolution::Delivered).contains("900 s must pass"));
    }
}
