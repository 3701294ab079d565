//! `gctb dead show`: dead letters one by one, without their content unless it is asked for.

use std::fmt::Write as _;
use std::io::Write;

use gctb_runtime::KafkaSettings;
use serde_json::{Value, json};

use super::letter::Letter;
use super::letters;
use crate::Finding;
use crate::args::operator::DeadShowArgs;
use crate::error::CliError;
use crate::operator::cut_notice;
use crate::operator::time::{of_millis, shown_or_empty};
use crate::table::{number, with_header};

/// Prints the letters of one topic.
pub(super) fn run(args: &DeadShowArgs, kafka: &KafkaSettings, out: &mut dyn Write) -> Result<Finding, CliError> {
    let letters = letters(kafka, &args.topic, &args.range)?;
    if args.json {
        for letter in &letters {
            writeln!(out, "{}", as_json(letter, args.payload))?;
        }
    } else {
        print(&letters, args.payload, out)?;
    }
    cut_notice(letters.len(), args.range.limit);
    Ok(Finding::Good)
}

fn print(letters: &[Letter], with_payload: bool, out: &mut dyn Write) -> Result<(), CliError> {
    let mut table = with_header(["place", "written", "consumer", "came from", "schema", "bytes", "reason"]);
    for letter in letters {
        table.add_row([
            letter.place().into(),
            shown_or_empty(of_millis(letter.timestamp_ms())).into(),
            letter.group().into(),
            letter.origin().into(),
            letter.schema().into(),
            number(letter.payload().len()),
            letter.reason().into(),
        ]);
    }
    writeln!(out, "{table}")?;
    for letter in letters.iter().filter(|_| with_payload) {
        writeln!(out, "\n{}: {}", letter.place(), hex(letter.payload()))?;
    }
    Ok(())
}

fn as_json(letter: &Letter, with_payload: bool) -> Value {
    let mut line = json!({
        "place": letter.place(),
        "written": shown_or_empty(of_millis(letter.timestamp_ms())),
        "consumer": letter.group(),
        "came_from": letter.origin(),
        "schema": letter.schema(),
        "bytes": letter.payload().len(),
        "reason": letter.reason(),
    });
    if with_payload {
        line["payload_hex"] = hex(letter.payload()).into();
    }
    line
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    #[test]
    fn the_content_of_a_letter_is_shown_only_where_it_is_asked_for() {
        let letters = [letter("gctb.batches/3/42")];
        let shown = |with_payload| {
            let mut out = Vec::new();
            print(&letters, with_payload, &mut out).expect("writes to memory");
            String::from_utf8(out).expect("is text")
        };
        assert!(shown(false).contains("0:17") && shown(false).contains("the entry has no amount"));
        assert!(!shown(false).contains("0aff"));
        assert!(shown(true).contains("0:17: 0aff"));
        assert_eq!(as_json(&letters[0], false).get("payload_hex"), None);
        assert_eq!(as_json(&letters[0], true)["payload_hex"], "0aff");
    }
}
