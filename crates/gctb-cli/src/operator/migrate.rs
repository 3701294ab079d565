//! `gctb migrate`: the schema of this version, and the partitions of the next months.

use std::io::Write;

use chrono::Utc;
use gctb_db::{Db, SchemaState};

use super::reach;
use crate::Finding;
use crate::args::operator::MigrateArgs;
use crate::error::CliError;

/// Applies what is missing, or says whether anything is. Exit code 1 where a dry run finds something.
pub(crate) fn run(args: &MigrateArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let db = reach::database(&args.database);
    if args.dry_run { check(&db, out) } else { apply(&db, out) }
}

fn apply(db: &Db, out: &mut dyn Write) -> Result<Finding, CliError> {
    let report = db.migrate()?;
    for migration in &report.applied {
        writeln!(out, "applied the migration {migration}")?;
    }
    let (applied, made) = (report.applied.len(), report.partitions_made);
    writeln!(out, "the schema is current: {applied} migrations applied, {made} partitions made")?;
    Ok(Finding::Good)
}

fn check(db: &Db, out: &mut dyn Write) -> Result<Finding, CliError> {
    let (words, finding) = match db.schema_state(Utc::now())? {
        SchemaState::Current => ("the schema is current: nothing to do", Finding::Good),
        SchemaState::Behind => ("migrations are missing: `gctb migrate` applies them", Finding::Bad),
        SchemaState::NoPartition => ("this month's partitions are missing: `gctb migrate` makes them", Finding::Bad),
    };
    writeln!(out, "{words}")?;
    Ok(finding)
}
