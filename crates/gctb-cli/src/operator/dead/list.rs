//! `gctb dead list`: how many dead letters there are, by topic, consumer and reason.

use std::collections::BTreeMap;
use std::io::Write;

use gctb_events::Topic;
use gctb_runtime::KafkaSettings;
use serde_json::json;

use super::letter::Letter;
use super::letters;
use crate::Finding;
use crate::args::operator::{DeadListArgs, DeadRange};
use crate::args::start::Start;
use crate::error::CliError;
use crate::operator::time::{of_millis, shown_or_empty};
use crate::table::{number, with_header};

/// Most letters of one topic that are counted: more need an engineer, not a table.
const COUNTED_MAX: u32 = 100_000;

/// Topic, consumer, reason.
type Kind = (String, String, String);

#[derive(Default)]
struct Group {
    count: u64,
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
}

/// Counts the letters of every topic of the deployment.
pub(super) fn run(args: &DeadListArgs, kafka: &KafkaSettings, out: &mut dyn Write) -> Result<Finding, CliError> {
    let range = DeadRange { from: Start::Earliest, limit: COUNTED_MAX };
    let mut groups = BTreeMap::<Kind, Group>::new();
    for topic in Topic::all(&args.backends.backends) {
        if let Topic::Dead(origin) = topic {
            let name = origin.name();
            letters(kafka, &name, &range)?.iter().for_each(|letter| count(&mut groups, &name, letter));
        }
    }
    if args.json {
        print_json(&groups, out)?
    } else {
        print(&groups, out)?
    }
    Ok(Finding::Good)
}

fn count(groups: &mut BTreeMap<Kind, Group>, topic: &str, letter: &Letter) {
    let kind = (topic.to_owned(), letter.group().to_owned(), letter.reason().to_owned());
    let group = groups.entry(kind).or_default();
    let at = letter.timestamp_ms();
    group.count += 1;
    group.oldest_ms = group.oldest_ms.into_iter().chain(at).min();
    group.newest_ms = group.newest_ms.into_iter().chain(at).max();
}

fn print(groups: &BTreeMap<Kind, Group>, out: &mut dyn Write) -> Result<(), CliError> {
    if groups.is_empty() {
        writeln!(out, "there are no dead letters")?;
        return Ok(());
    }
    let mut table = with_header(["topic", "consumer", "reason", "count", "oldest", "newest"]);
    for ((topic, consumer, reason), group) in groups {
        let time = |millis| shown_or_empty(of_millis(millis)).into();
        let count = number(group.count);
        table.add_row([
            topic.into(),
            consumer.into(),
            reason.into(),
            count,
            time(group.oldest_ms),
            time(group.newest_ms),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn print_json(groups: &BTreeMap<Kind, Group>, out: &mut dyn Write) -> Result<(), CliError> {
    let line = |((topic, consumer, reason), group): (&Kind, &Group)| {
        let time = |millis| of_millis(millis).map(crate::operator::time::shown);
        json!({ "topic": topic, "consumer": consumer, "reason": reason, "count": group.count,
                "oldest": time(group.oldest_ms), "newest": time(group.newest_ms) })
    };
    let lines: Vec<_> = groups.iter().map(line).collect();
    writeln!(out, "{}", json!({ "dead_letters": lines }))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    #[test]
    fn letters_are_counted_by_topic_consumer_and_reason() {
        let mut groups = BTreeMap::new();
        for origin in ["gctb.batches/0/1", "gctb.batches/5/9"] {
            count(&mut groups, "gctb.batches", &letter(origin));
        }
        let mut out = Vec::new();
        print_json(&groups, &mut out).expect("writes to memory");
        let expected = json!({ "dead_letters": [{ "topic": "gctb.batches", "consumer": "gctb-mapper",
            "reason": "the entry has no amount", "count": 2,
            "oldest": "2026-11-23T08:00:00Z", "newest": "2026-11-23T08:00:00Z" }] });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).expect("is JSON"), expected);
    }
}
