//! `gctb replay`: sets a consumer group back, so that it reads a topic again.
//!
//! It moves a position and nothing else: what was decided stands in Postgres.

use std::io::Write;

use gctb_runtime::{Positions, positions::PartitionMove};

use super::{actor, reach};
use crate::args::operator::ReplayArgs;
use crate::error::CliError;
use crate::table::{number, with_header};
use crate::{Finding, Variables};

/// Says from where to where each partition goes, and moves the group unless it is a dry run.
pub(crate) fn run(args: &ReplayArgs, environment: Variables, out: &mut dyn Write) -> Result<Finding, CliError> {
    let topic = reach::topic(&args.topic)?.name();
    let positions = Positions::new(&reach::kafka(&args.kafka, environment)?)?;
    let db = reach::database(&args.database);
    if !args.dry_run {
        // A replay that could not be recorded is better found out before it is done.
        db.ping()?;
    }
    let from = reach::read_from(&args.from, &positions, &topic)?;
    let moves = positions.reset_group(&args.group, &topic, &from, args.dry_run)?;
    print(&moves, out)?;
    let (group, doing) = (&args.group, if args.dry_run { "would go on" } else { "goes on" });
    writeln!(out, "\nthe group {group} {doing} in {topic} from the offsets on the right")?;
    if !args.dry_run {
        let evidence = moves.iter().map(told).collect::<Vec<_>>().join(", ");
        db.record_operator_action(&actor::name(), "replay", &format!("{topic} {group}"), &evidence)
            .map_err(|source| CliError::NotRecorded { what: "the replay", source })?;
    }
    Ok(Finding::Good)
}

fn print(moves: &[PartitionMove], out: &mut dyn Write) -> Result<(), CliError> {
    let mut table = with_header(["partition", "stands at", "goes on from", "messages again"]);
    for PartitionMove { partition, from, to } in moves {
        let stands = from.map_or_else(|| "nothing committed".to_owned(), |from| from.to_string());
        let again = from.map_or_else(String::new, |from| (from - to).max(0).to_string());
        table.add_row([number(partition), number(stands), number(to), number(again)]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn told(moved: &PartitionMove) -> String {
    let from = moved.from.map_or_else(|| "none".to_owned(), |from| from.to_string());
    format!("partition {}: {from} to {}", moved.partition, moved.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_says_how_many_messages_come_again_in_each_partition() {
        let moves = [
            PartitionMove { partition: 0, from: Some(120), to: 20 },
            PartitionMove { partition: 1, from: None, to: 0 },
        ];
        let mut out = Vec::new();
        print(&moves, &mut out).expect("writes to memory");
        let text = String::from_utf8(out).expect("is text");
        assert!(text.contains("|         0 |               120 |           20 |            100 |"), "{text}");
        assert!(text.contains("nothing committed"), "{text}");
        assert_eq!(told(&moves[1]), "partition 1: none to 0");
    }
}
