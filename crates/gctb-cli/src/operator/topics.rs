//! `gctb topics`: makes the topics what deploy/topics.toml declares, or says in what they differ.

use std::io::Write;

use gctb_events::declared_topics;
use gctb_runtime::TopicAdmin;

use super::reach;
use crate::args::operator::{BackendArgs, KafkaArgs, TopicsVerb};
use crate::error::CliError;
use crate::{Finding, Variables};

/// Applies or checks.
pub(crate) fn run(verb: &TopicsVerb, environment: Variables, out: &mut dyn Write) -> Result<Finding, CliError> {
    match verb {
        TopicsVerb::Apply(args) if !args.dry_run => apply(&args.kafka, &args.backends, environment, out),
        TopicsVerb::Apply(args) => check(&args.kafka, &args.backends, environment, out),
        TopicsVerb::Check(args) => check(&args.kafka, &args.backends, environment, out),
    }
}

fn apply(
    kafka: &KafkaArgs,
    backends: &BackendArgs,
    environment: Variables,
    out: &mut dyn Write,
) -> Result<Finding, CliError> {
    let declared = declared_topics(&backends.backends).map_err(|error| CliError::TopicsDeclared(error.into()))?;
    let changes = TopicAdmin::new(&reach::kafka(kafka, environment)?)?.apply(&declared)?;
    for change in &changes {
        writeln!(out, "{change}")?;
    }
    writeln!(out, "{} topics are as declared, {} changes made", declared.len(), changes.len())?;
    Ok(Finding::Good)
}

fn check(
    kafka: &KafkaArgs,
    backends: &BackendArgs,
    environment: Variables,
    out: &mut dyn Write,
) -> Result<Finding, CliError> {
    let declared = declared_topics(&backends.backends).map_err(|error| CliError::TopicsDeclared(error.into()))?;
    let problems = TopicAdmin::new(&reach::kafka(kafka, environment)?)?.check(&declared)?;
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    if problems.is_empty() {
        writeln!(out, "{} topics are as declared", declared.len())?;
        return Ok(Finding::Good);
    }
    writeln!(out, "{} of {} topics are not as declared: run `gctb topics apply`", problems.len(), declared.len())?;
    Ok(Finding::Bad)
}
