//! When accepted instructions leave: at once, or at a due time rounded up to a bucket, so that those of a batch that are
//! due together travel together.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gctb_db::OutboxRow;
use gctb_domain::{BatchId, BatchNo};
use gctb_events::{Instruction, InstructionChunk};

/// When a chunk leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Right after the commit.
    Now,
    /// At this time; the relay sends it.
    At(DateTime<Utc>),
}

/// The outbox rows of a batch's accepted instructions.
///
/// An instruction whose time has come by `now` leaves at once; the others leave at their time rounded up to `bucket`.
pub fn instruction_rows(
    batch_id: BatchId,
    batch_no: BatchNo,
    instructions: Vec<Instruction>,
    now: DateTime<Utc>,
    bucket: Duration,
    traceparent: Option<&str>,
) -> Vec<OutboxRow> {
    let mut by_due: BTreeMap<Due, Vec<Instruction>> = BTreeMap::new();
    for instruction in instructions {
        let due = instruction.scheduled_at.filter(|at| *at > now).map_or(Due::Now, |at| Due::At(round_up(at, bucket)));
        by_due.entry(due).or_default().push(instruction);
    }
    let mut rows = Vec::new();
    for (due, instructions) in by_due {
        let due_at = match due {
            Due::Now => None,
            Due::At(at) => Some(at),
        };
        for mut chunk in InstructionChunk::split(batch_id, batch_no, 0, instructions) {
            chunk.chunk_no = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            rows.push(OutboxRow::instructions(&chunk, due_at, traceparent));
        }
    }
    rows
}

/// The first multiple of `bucket` that is not before `at`.
fn round_up(at: DateTime<Utc>, bucket: Duration) -> DateTime<Utc> {
    let bucket_ms = i64::try_from(bucket.as_millis()).unwrap_or(i64::MAX).max(1);
    let over = at.timestamp_millis().rem_euclid(bucket_ms);
    // A time has microseconds that the bucket's milliseconds do not see: those round up as well.
    let whole = at - TimeDelta::microseconds(i64::from(at.timestamp_subsec_micros()) % 1_000);
    let next = if over == 0 && whole == at { at } else { whole + TimeDelta::milliseconds(bucket_ms - over) };
    next.max(at)
}

#[cfg(test)]
mod tests {
    use gctb_domain::{Currency, FinancialAddress, Money, Seq};

    use super::*;

    fn instruction(seq: i32, scheduled_at: Option<DateTime<Utc>>) -> Instruction {
        let fa = FinancialAddress::parse("account:1@a.b.bank_acc").expect("an address");
        let kes = Currency::parse("KES").expect("a currency");
        Instruction {
            seq: Seq(seq),
            reference_id: format!("r-{seq}"),
            from_fa: fa.clone(),
            to_fa: fa,
            amount: Money::from_minor(100, kes).expect("positive"),
            scheduled_at,
            payee_name: String::new(),
            purpose: String::new(),
            note: String::new(),
        }
    }

    #[test]
    fn what_is_due_together_leaves_together_and_never_early() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let at = |ms: i64| Some(now + TimeDelta::milliseconds(ms));
        let instructions = vec![
            instruction(0, None),
            instruction(1, at(-5)),
            instruction(2, at(1)),
            instruction(3, at(900)),
            instruction(4, at(1_000)),
        ];
        let id = BatchId::accepted_at(now);
        let rows = instruction_rows(id, BatchNo(1), instructions, now, Duration::from_secs(1), None);
        let due: Vec<Option<i64>> = rows.iter().map(|row| row.due_at.map(|at| (at - now).num_milliseconds())).collect();
        assert_eq!(due, [None, Some(1_000)]);
        let keys: Vec<&str> = rows.iter().map(|row| row.message.key.as_str()).collect();
        assert_eq!(keys, [format!("{id}:0:0"), format!("{id}:1:0")]);
    }

    #[test]
    fn microseconds_round_up() {
        let at = DateTime::from_timestamp_micros(1_800_000_000_000_001).expect("in range");
        assert!(round_up(at, Duration::from_secs(1)) >= at);
    }
}
