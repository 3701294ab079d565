//! `gctb rail`: stops and starts what a backend pays over a called rail, and has it try again; what its rail said and nobody
//! believed.

use std::io::Write;

use gctb_db::{ByHand, RailControl, RailOrder, RailOrdered, RailState};
use gctb_domain::BackendName;
use serde_json::json;

use super::time::{shown, shown_or_empty};
use super::{actor, rail_exceptions, reach};
use crate::Finding;
use crate::args::rails::{RailChangeArgs, RailListArgs, RailVerb};
use crate::error::CliError;
use crate::table::with_header;

/// Lists, pauses, resumes or probes; or lists what nobody believed.
pub(crate) fn run(verb: &RailVerb, out: &mut dyn Write) -> Result<Finding, CliError> {
    match verb {
        RailVerb::List(args) => list(args, out),
        RailVerb::Pause(args) => order(&args.change, RailOrder::Pause, out),
        RailVerb::Resume(args) => order(&args.change, RailOrder::Resume, out),
        RailVerb::Probe(args) => order(&args.change, RailOrder::Probe, out),
        RailVerb::Exceptions(args) => rail_exceptions::run(args, out),
    }
}

fn list(args: &RailListArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let rails = reach::database(&args.database).rail_controls()?;
    if args.json {
        for (backend, control) in &rails {
            let RailControl { state, reason, since, resume_at } = control;
            let (state, since, resume_at) = (state.as_str(), shown(*since), resume_at.map(shown));
            let object =
                json!({"backend": backend, "state": state, "reason": reason, "since": since, "resumes": resume_at});
            writeln!(out, "{object}")?;
        }
    } else if rails.is_empty() {
        writeln!(out, "no backend has paid over a called rail yet")?;
    } else {
        let mut table = with_header(["backend", "state", "since", "may be tried again", "why"]);
        for (backend, control) in rails {
            let resumes = shown_or_empty(control.resume_at);
            table.add_row([backend, control.state.as_str().to_owned(), shown(control.since), resumes, control.reason]);
        }
        writeln!(out, "{table}")?;
    }
    Ok(Finding::Good)
}

fn order(args: &RailChangeArgs, order: RailOrder, out: &mut dyn Write) -> Result<Finding, CliError> {
    let db = reach::database(&args.database);
    let by = ByHand { actor: &actor::name(), evidence: &args.evidence, dry_run: args.dry_run };
    let ordered = db.order_rail(&args.backend, order, &by)?;
    match said(&args.backend, order, &ordered, args.dry_run) {
        Ok(done) => {
            writeln!(out, "{done}")?;
            Ok(Finding::Good)
        }
        Err(why) => {
            eprintln!("gctb: {why}; nothing was done.");
            Ok(Finding::Bad)
        }
    }
}

/// What was done, or why nothing was.
fn said(backend: &BackendName, order: RailOrder, ordered: &RailOrdered, dry_run: bool) -> Result<String, String> {
    let before = match ordered {
        RailOrdered::Done { before } => before,
        RailOrdered::NeverIntroduced => return Err(format!("no backend {backend} has ever started on this database")),
        RailOrdered::Refused(RailControl { state: RailState::Open, .. }) => {
            return Err(format!("{backend} is OPEN, and there is nothing to try"));
        }
        RailOrdered::Refused(RailControl { state, reason, .. }) => {
            return Err(format!("{backend} is {} ({reason}): gctb rail resume opens it", state.as_str()));
        }
    };
    let (was, doing) = (before.state.as_str(), if dry_run { "would be" } else { "is" });
    Ok(match order {
        RailOrder::Pause => format!("{backend} was {was} and {doing} PAUSED"),
        RailOrder::Resume => format!("{backend} was {was} and {doing} OPEN"),
        RailOrder::Probe => format!("{backend} {doing} tried with its next payments ({})", before.reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_what_it_did_or_why_it_did_nothing() {
        let backend = BackendName::parse("mpesa").expect("a name");
        let control = |state| RailControl {
            state,
            reason: "no funds".to_owned(),
            since: chrono::DateTime::UNIX_EPOCH,
            resume_at: None,
        };
        let done = RailOrdered::Done { before: control(RailState::Held) };
        let say = |order, ordered: &RailOrdered, dry_run| said(&backend, order, ordered, dry_run);
        assert_eq!(say(RailOrder::Pause, &done, false), Ok("mpesa was HELD and is PAUSED".to_owned()));
        assert_eq!(say(RailOrder::Resume, &done, true), Ok("mpesa was HELD and would be OPEN".to_owned()));
        assert_eq!(
            say(RailOrder::Probe, &done, false),
            Ok("mpesa is tried with its next payments (no funds)".to_owned())
        );
        let refused = RailOrdered::Refused(control(RailState::Paused));
        let why = say(RailOrder::Probe, &refused, false).expect_err("it is paused");
        assert_eq!(why, "mpesa is PAUSED (no funds): gctb rail resume opens it");
        assert!(say(RailOrder::Probe, &RailOrdered::Refused(control(RailState::Open)), false).is_err());
        assert!(say(RailOrder::Pause, &RailOrdered::NeverIntroduced, false).is_err());
    }
}
