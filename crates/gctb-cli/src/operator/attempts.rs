//! `gctb payments attempts`: one instruction, what was tried to pay it, and what comes next.

use std::io::Write;

use gctb_db::{AttemptStanding, InstructionAttempts, InstructionName};
use serde_json::{Value, json};

use super::time::shown;
use super::{key_of, reach, sum_of};
use crate::Finding;
use crate::args::rails::PaymentsAttemptsArgs;
use crate::error::CliError;
use crate::table::{number, with_header};

/// Shows it, or says that nobody knows it.
pub(super) fn run(args: &PaymentsAttemptsArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let name = name_of(args);
    let Some(found) = reach::database(&args.database).instruction_attempts(&name)? else {
        match name {
            InstructionName::Key(key) => eprintln!("gctb: {key} is the key of no payment in this database."),
            InstructionName::Reference { .. } => {
                eprintln!("gctb: the sender has no such reference in this transaction; check all three.");
            }
        }
        return Ok(Finding::Bad);
    };
    if args.json {
        writeln!(out, "{}", as_json(&found))?;
    } else {
        write!(out, "{}", as_text(&found))?;
    }
    Ok(Finding::Good)
}

/// The command line has either a key, or a transaction with a reference.
fn name_of(args: &PaymentsAttemptsArgs) -> InstructionName {
    args.key.map_or_else(
        || InstructionName::Reference {
            sender: args.sender.clone(),
            transaction: args.transaction.clone().unwrap_or_default(),
            reference: args.reference.clone().unwrap_or_default(),
        },
        InstructionName::Key,
    )
}

fn as_text(found: &InstructionAttempts) -> String {
    let Some(standing) = &found.standing else {
        return format!("{}\n\n{}\n", about(found), "nobody has decided anything about it yet");
    };
    format!("{}\n\n{}\n{}", about(found), attempts_table(found, standing), remarks(found, standing))
}

/// Whose it is, and how it stands.
fn about(found: &InstructionAttempts) -> String {
    let sum = found.amount.map_or_else(|| "no readable amount".to_owned(), |minor| sum_of(&found.currency, minor));
    let InstructionAttempts { sender_id, transaction_id, request_id, .. } = found;
    let stands = found.standing.as_ref().map_or("not claimed", |standing| standing.state.as_str());
    format!("sender {sender_id}, transaction {transaction_id}, reference {request_id}: {sum}, {stands}")
}

fn attempts_table(found: &InstructionAttempts, last: &AttemptStanding) -> comfy_table::Table {
    let header = ["attempt", "key", "backend", "sends", "the rail calls it", "rail reference", "reason", "last words"];
    let mut table = with_header(header);
    let backend = last.backend.as_deref().unwrap_or_default();
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    for past in &found.past {
        table.add_row([
            number(past.attempt),
            key_of(found.batch_no, found.seq, past.attempt).into(),
            backend.into(),
            "".into(),
            "".into(),
            or_empty(&past.rail_reference).into(),
            or_empty(&past.reason_code).into(),
            or_empty(&past.message).into(),
        ]);
    }
    table.add_row([
        number(last.attempt),
        key_of(found.batch_no, found.seq, last.attempt).into(),
        backend.into(),
        number(last.sends),
        or_empty(&last.rail_handle).into(),
        or_empty(&last.rail_reference).into(),
        or_empty(&last.reason_code).into(),
        or_empty(&last.message).into(),
    ]);
    table
}

/// What a table has no column for, one line each.
fn remarks(found: &InstructionAttempts, last: &AttemptStanding) -> String {
    let quiet = match (last.state.is_final(), last.quiet) {
        (true, _) => None,
        (false, true) => Some("quiet: nothing of the last attempt can be under way".to_owned()),
        (false, false) => Some("not quiet: a request of the last attempt may still be under way".to_owned()),
    };
    let lines = [
        Some(format!("changed: {}", shown(last.changed_at))),
        quiet,
        last.evidence.as_ref().map(|heard| format!("evidence: {heard}")),
        last.file.as_ref().map(|file| format!("payment file: {file}")),
        found.next.map(|next| format!("next: {}, not before {}", next.what.as_str(), shown(next.due_at))),
    ];
    lines.into_iter().flatten().map(|line| line + "\n").collect()
}

fn as_json(found: &InstructionAttempts) -> Value {
    let past = found.past.iter().map(|past| {
        json!({
            "attempt": past.attempt,
            "key": key_of(found.batch_no, found.seq, past.attempt),
            "rail_reference": past.rail_reference,
            "reason": past.reason_code,
            "message": past.message,
        })
    });
    let last = found.standing.as_ref().map(|last| {
        json!({
            "attempt": last.attempt,
            "key": key_of(found.batch_no, found.seq, last.attempt),
            "backend": last.backend,
            "sends": last.sends,
            "quiet": last.quiet,
            "file": last.file,
            "the_rail_calls_it": last.rail_handle,
            "rail_reference": last.rail_reference,
            "reason": last.reason_code,
            "message": last.message,
            "evidence": last.evidence,
            "changed": shown(last.changed_at),
        })
    });
    json!({
        "sender": found.sender_id,
        "transaction": found.transaction_id,
        "reference": found.request_id,
        "sum": found.amount.map(|minor| sum_of(&found.currency, minor)),
        "state": found.standing.as_ref().map(|last| last.state.as_str()),
        "past_attempts": past.collect::<Vec<_>>(),
        "last_attempt": last,
        "next": found.next.map(|next| json!({"what": next.what.as_str(), "not_before": shown(next.due_at)})),
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use gctb_db::{NextStep, PastAttempt, Step};
    use gctb_domain::LedgerState;

    use super::*;

    fn tried_twice() -> InstructionAttempts {
        InstructionAttempts {
            batch_no: 1,
            seq: 0,
            sender_id: "payments.openg2p.org".into(),
            transaction_id: "t-1".into(),
            request_id: "r-1".into(),
            amount: Some(100_050),
            currency: "KES".into(),
            standing: Some(AttemptStanding {
                state: LedgerState::Unknown,
                backend: Some("mpesa".into()),
                attempt: 2,
                sends: 1,
                quiet: false,
                file: None,
                rail_handle: Some("AG_7".into()),
                rail_reference: None,
                reason_code: None,
                message: Some("no answer".into()),
                evidence: Some("Refused: 2001".into()),
                changed_at: DateTime::UNIX_EPOCH,
            }),
            past: vec![PastAttempt {
                attempt: 1,
                rail_reference: None,
                reason_code: Some("rjct.payment.failed".into()),
                message: Some("busy".into()),
            }],
            next: Some(NextStep { what: Step::Ask, due_at: DateTime::UNIX_EPOCH }),
        }
    }

    #[test]
    fn every_attempt_is_shown_under_its_own_key_with_what_was_heard_and_what_comes_next() {
        let shown = as_text(&tried_twice());
        for words in [
            "reference r-1: KES 1000.50, UNKNOWN",
            "00000040001P",
            "busy",
            "AG_7",
            "not quiet",
            "evidence: Refused: 2001",
            "next: ask the rail, not before 1970-01-01T00:00:00Z",
        ] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let json = as_json(&tried_twice());
        assert_eq!((&json["past_attempts"][0]["key"], &json["state"]), (&"00000040001P".into(), &"UNKNOWN".into()));
        assert_ne!(json["last_attempt"]["key"], json["past_attempts"][0]["key"]);
    }

    #[test]
    fn what_nobody_has_decided_about_says_so() {
        let waiting = InstructionAttempts { standing: None, past: Vec::new(), next: None, ..tried_twice() };
        assert!(as_text(&waiting).contains("not claimed\n\nnobody has decided anything about it yet"));
        assert_eq!(as_json(&waiting)["last_attempt"], Value::Null);
    }
}
