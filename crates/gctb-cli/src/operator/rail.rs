//! `gctb rail`: stops and starts what a backend pays over a called rail.

use std::io::Write;

use gctb_db::{RailControl, RailState};
use serde_json::json;

use super::time::{shown, shown_or_empty};
use super::{actor, reach};
use crate::Finding;
use crate::args::rails::{RailChangeArgs, RailListArgs, RailVerb};
use crate::error::CliError;
use crate::table::with_header;

/// Lists, pauses or resumes.
pub(crate) fn run(verb: &RailVerb, out: &mut dyn Write) -> Result<Finding, CliError> {
    match verb {
        RailVerb::List(args) => list(args, out),
        RailVerb::Pause(args) => change(&args.change, RailState::Paused, out),
        RailVerb::Resume(args) => change(&args.change, RailState::Open, out),
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
        let mut table = with_header(["backend", "state", "since", "resumes by itself", "why"]);
        for (backend, control) in rails {
            let resumes = shown_or_empty(control.resume_at);
            table.add_row([backend, control.state.as_str().to_owned(), shown(control.since), resumes, control.reason]);
        }
        writeln!(out, "{table}")?;
    }
    Ok(Finding::Good)
}

fn change(args: &RailChangeArgs, state: RailState, out: &mut dyn Write) -> Result<Finding, CliError> {
    let db = reach::database(&args.database);
    let backend = &args.backend;
    let Some(control) = db.rail_control(backend)? else {
        eprintln!("gctb: no backend {backend} has ever started on this database; nothing was done.");
        return Ok(Finding::Bad);
    };
    if !args.dry_run {
        db.set_rail_by_hand(backend, state, &actor::name(), &args.evidence)?;
    }
    let (was, doing) = (control.state.as_str(), if args.dry_run { "would be" } else { "is" });
    writeln!(out, "{backend} was {was} and {doing} {}", state.as_str())?;
    Ok(Finding::Good)
}
