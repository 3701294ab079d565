//! `gctb payments`: payments over called rails of which nobody knows the end, and what a person found out; and what
//! else people look at of such payments.

use std::io::Write;

use comfy_table::{Cell, Table};
use gctb_db::{ByHand, PersonsWord, Resolved, WaitingPayment};
use gctb_domain::RailKey;
use serde_json::{Value, json};

use super::time::shown;
use super::{actor, attempts, held, listing, open_payment, reach};
use crate::Finding;
use crate::args::rails::{PaymentsResolveArgs, PaymentsUnknownArgs, PaymentsVerb};
use crate::error::CliError;
use crate::table::with_header;

/// Lists or resolves.
pub(crate) fn run(verb: &PaymentsVerb, out: &mut dyn Write) -> Result<Finding, CliError> {
    match verb {
        PaymentsVerb::Unknown(args) => unknown(args, out),
        PaymentsVerb::Held(args) => held::run(&args.list, out),
        PaymentsVerb::Attempts(args) => attempts::run(args, out),
        PaymentsVerb::Resolve(args) => resolve(args, out),
    }
}

fn unknown(args: &PaymentsUnknownArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let args = &args.list;
    let rows = reach::database(&args.database).waiting_payments(i64::from(args.limit))?;
    listing::write(&rows, args, "no payment waits for a person", as_json, table_of, out)?;
    Ok(Finding::Good)
}

fn table_of(rows: &[WaitingPayment]) -> Table {
    let further = ["the rail calls it", "since", "quiet", "last words"];
    let mut table = with_header(open_payment::HEADER.into_iter().chain(further));
    for row in rows {
        let further = [
            row.rail_handle.clone().unwrap_or_default(),
            shown(row.since),
            (if row.quiet { "yes" } else { "not yet" }).to_owned(),
            row.evidence.as_ref().map_or_else(|| row.payment.message.clone(), ToString::to_string),
        ];
        table.add_row(open_payment::cells(&row.payment).into_iter().chain(further.map(Cell::from)));
    }
    table
}

fn as_json(row: &WaitingPayment) -> Value {
    let further = json!({
        "the_rail_calls_it": row.rail_handle,
        "since": shown(row.since),
        "quiet": row.quiet,
        "evidence": row.evidence.as_ref().map(ToString::to_string),
    });
    open_payment::object(&row.payment, further)
}

fn resolve(args: &PaymentsResolveArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let word = if args.paid {
        PersonsWord::Paid { rail_reference: args.rail_reference.clone() }
    } else {
        PersonsWord::NotPaid
    };
    let db = reach::database(&args.database);
    let by = ByHand { actor: &actor::name(), evidence: &args.evidence, dry_run: args.dry_run };
    let resolved = db.resolve_payment(args.key, &word, &by, args.overrule)?;
    if let Some(why) = refusal(args.key, &resolved) {
        eprintln!("gctb: {why}");
        return Ok(Finding::Bad);
    }
    let doing = if args.dry_run { "can be recorded" } else { "is recorded" };
    let then = match word {
        PersonsWord::Paid { .. } => "the payment is closed as paid",
        PersonsWord::NotPaid => "its backend decides whether another attempt follows",
    };
    writeln!(out, "{}: your word {doing}; {then}", args.key)?;
    Ok(Finding::Good)
}

/// Why a person's word was not taken, and nothing was done.
fn refusal(key: RailKey, resolved: &Resolved) -> Option<String> {
    let why = match resolved {
        Resolved::Taken(_) => return None,
        Resolved::NoSuchPayment => "is the key of no payment in this database".to_owned(),
        Resolved::OtherAttempt(attempt) => {
            format!("names attempt {}, and the ledger is at attempt {attempt}", key.attempt())
        }
        Resolved::NotUnknown(state) => format!("is {state} and does not wait for a person"),
        Resolved::NotQuiet(rest) => format!("may still be under way for {} s", rest.as_secs() + 1),
        Resolved::Contradicted(heard) => {
            format!("cannot be resolved so without --overrule, since this was heard of the rail: {heard}")
        }
    };
    Some(format!("{key} {why}; nothing was done."))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gctb_db::{Evidence, OpenPayment};
    use gctb_domain::LedgerState;
    use gctb_domain::paying::Learnt;

    use super::*;

    fn waiting() -> WaitingPayment {
        WaitingPayment {
            payment: OpenPayment {
                backend: "mpesa".into(),
                batch_no: 1,
                seq: 0,
                attempt: 1,
                sender_id: "payments.openg2p.org".into(),
                transaction_id: "t-1".into(),
                request_id: "r-1".into(),
                amount: 100_050,
                currency: "KES".into(),
                message: "no answer".into(),
            },
            rail_handle: Some("AG_7".into()),
            evidence: None,
            since: chrono::DateTime::UNIX_EPOCH,
            quiet: false,
        }
    }

    #[test]
    fn a_waiting_payment_is_shown_with_its_key_and_its_exact_sum() {
        let shown = table_of(&[waiting()]).to_string();
        for words in ["00000040001P", "KES 1000.50", "not yet", "no answer", "AG_7"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert_eq!(as_json(&waiting())["key"], "00000040001P");
    }

    #[test]
    fn a_refused_word_says_why() {
        let key = RailKey::parse("00000040001P").expect("a key");
        let why = |resolved: Resolved| refusal(key, &resolved).unwrap_or_default();
        assert_eq!(refusal(key, &Resolved::Taken(Vec::new())), None);
        assert!(why(Resolved::NotUnknown(LedgerState::Paid)).contains("is PAID"));
        assert!(why(Resolved::NotQuiet(Duration::from_millis(1_500))).contains("for 2 s"));
        assert!(why(Resolved::OtherAttempt(2)).contains("names attempt 1, and the ledger is at attempt 2"));
        let heard = Evidence {
            learnt: Learnt::Accepted,
            refuses_everybody: false,
            at: chrono::DateTime::UNIX_EPOCH,
            sends: 1,
            quiet: false,
            words: "it has it".into(),
        };
        let contradicted = why(Resolved::Contradicted(heard));
        for words in ["--overrule", "accepted, heard 1970-01-01T00:00:00Z", "it has it"] {
            assert!(contradicted.contains(words), "{contradicted}");
        }
    }
}
