//! `gctb dead redrive`: sends dead letters again to the topics that they came from.

use std::collections::BTreeMap;
use std::io::Write;

use gctb_events::Outgoing;
use gctb_runtime::{Health, KafkaSettings, Producer};

use super::letters;
use crate::Finding;
use crate::args::operator::DeadRedriveArgs;
use crate::error::CliError;
use crate::operator::{actor, cut_notice, reach};

/// Messages that wait for Kafka's word together.
const SENT_AT_ONCE: usize = 500;

/// Sends them, or says what would be sent. Exit code 1 where some could not be sent anywhere.
pub(super) fn run(args: &DeadRedriveArgs, kafka: &KafkaSettings, out: &mut dyn Write) -> Result<Finding, CliError> {
    let letters = letters(kafka, &args.topic, &args.range)?;
    cut_notice(letters.len(), args.range.limit);
    let mut messages = Vec::new();
    let mut homeless = 0;
    for letter in &letters {
        match letter.to_be_sent_again() {
            Some(message) => messages.push(message),
            None => {
                homeless += 1;
                writeln!(out, "{}: does not say which topic it came from, and is left alone", letter.place())?;
            }
        }
    }
    if !args.dry_run {
        send(args, kafka, &messages)?;
    }
    let doing = if args.dry_run { "would be sent" } else { "were sent" };
    for (topic, count) in by_topic(&messages) {
        writeln!(out, "{count} dead letters {doing} to {topic}")?;
    }
    writeln!(out, "{} of {} dead letters {doing} again", messages.len(), letters.len())?;
    Ok(if homeless == 0 { Finding::Good } else { Finding::Bad })
}

fn send(args: &DeadRedriveArgs, kafka: &KafkaSettings, messages: &[Outgoing]) -> Result<(), CliError> {
    if messages.is_empty() {
        return Ok(());
    }
    let db = reach::database(&args.database);
    // A redrive that could not be recorded is better found out before it is done.
    db.ping()?;
    let producer = Producer::new(kafka, "gctb-cli", &Health::new())?;
    for (round, some) in messages.chunks(SENT_AT_ONCE).enumerate() {
        let (sent, of) = (round * SENT_AT_ONCE, messages.len());
        producer.send_all(some).map_err(|source| CliError::RedriveBrokeOff { sent, of, source })?;
    }
    let evidence = format!("{} entries from {:?}", messages.len(), args.range.from);
    db.record_operator_action(&actor::name(), "dead redrive", &args.topic, &evidence)
        .map_err(|source| CliError::NotRecorded { what: "the redrive", source })
}

fn by_topic(messages: &[Outgoing]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts.entry(message.topic.as_str()).or_default() += 1;
    }
    counts
}
