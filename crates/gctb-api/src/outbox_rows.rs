//! The accepted disbursements of a message as encoded chunks, one outbox row each, to be committed with the batch.
//!
//! What is due now is published after the commit; what is scheduled waits in the outbox until its time, rounded up to the
//! schedule's bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_connect::disburse::{Batch, Disbursement};
use gctb_db::OutboxRow;
use gctb_domain::{BatchId, BatchNo};
use gctb_events::{CHUNK_ENTRIES_MAX, Instruction, InstructionChunk};

/// The chunks of a message, encoded while its disbursements go by, so that Postgres stores the ones before meanwhile.
pub(crate) struct Chunks<'b> {
    batch: &'b Batch,
    batch_id: BatchId,
    batch_no: BatchNo,
    now: DateTime<Utc>,
    bucket: Duration,
    traceparent: Option<&'b str>,
    /// Positions in the message, by due time. None is due now.
    open: BTreeMap<Option<DateTime<Utc>>, Vec<usize>>,
    rows: Vec<OutboxRow>,
}

impl<'b> Chunks<'b> {
    /// No chunk yet. Due times are rounded up to multiples of `bucket`.
    pub(crate) fn new(
        batch: &'b Batch,
        batch_id: BatchId,
        batch_no: BatchNo,
        now: DateTime<Utc>,
        bucket: Duration,
        traceparent: Option<&'b str>,
    ) -> Self {
        Self { batch, batch_id, batch_no, now, bucket, traceparent, open: BTreeMap::new(), rows: Vec::new() }
    }

    /// Takes the next disbursement of the message, at `position`. A refused one goes nowhere.
    pub(crate) fn add(&mut self, position: usize, item: &Disbursement<'_>) {
        if item.refusal.is_some() {
            return;
        }
        let due = item.scheduled_at.filter(|at| *at > self.now).map(|at| rounded_up(at, self.bucket));
        let open = self.open.entry(due).or_default();
        open.push(position);
        if open.len() == CHUNK_ENTRIES_MAX {
            let full = std::mem::take(open);
            self.close(due, &full);
        }
    }

    /// All chunks: what is due now before what is due later.
    pub(crate) fn finish(&mut self) -> Vec<OutboxRow> {
        for (due, positions) in std::mem::take(&mut self.open) {
            self.close(due, &positions);
        }
        std::mem::take(&mut self.rows)
    }

    /// Few instructions are owned at a time: a large message would otherwise be in memory once more.
    fn close(&mut self, due_at: Option<DateTime<Utc>>, positions: &[usize]) {
        let items = positions.iter().filter_map(|position| self.batch.items_from(*position).next());
        let instructions: Vec<Instruction> = items.filter_map(|item| instruction(&item)).collect();
        for mut chunk in InstructionChunk::split(self.batch_id, self.batch_no, 0, instructions) {
            chunk.chunk_no = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            self.rows.push(OutboxRow::instructions(&chunk, due_at, self.traceparent));
        }
    }
}

/// The first multiple of `bucket` that is not before `at`.
fn rounded_up(at: DateTime<Utc>, bucket: Duration) -> DateTime<Utc> {
    let bucket = i64::try_from(bucket.as_secs()).unwrap_or(i64::MAX).max(1);
    let whole = at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0);
    let buckets = whole.div_euclid(bucket) + i64::from(whole.rem_euclid(bucket) > 0);
    DateTime::from_timestamp(buckets.saturating_mul(bucket), 0).unwrap_or(at)
}

fn instruction(item: &Disbursement<'_>) -> Option<Instruction> {
    let payable = item.payable()?;
    let text = |field: Option<&str>| field.unwrap_or_default().to_owned();
    Some(Instruction {
        seq: item.seq,
        reference_id: item.reference_id.to_owned(),
        from_fa: payable.from_fa,
        to_fa: payable.to_fa,
        amount: payable.money,
        scheduled_at: item.scheduled_at,
        payee_name: text(item.payee_name),
        purpose: text(item.purpose),
        note: text(item.note),
    })
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone};
    use gctb_connect::disburse::{self, Rules};
    use gctb_domain::FinancialAddress;
    use gctb_events::Event;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        Utc.timestamp_opt(1_800_000_000 + seconds, 0).single().expect("a time")
    }

    #[test]
    fn a_due_time_is_rounded_up_and_never_early() {
        let bucket = Duration::from_secs(5);
        assert_eq!(rounded_up(at(0), bucket), at(0));
        assert_eq!(rounded_up(at(1), bucket), at(5));
        assert_eq!(rounded_up(at(4) + TimeDelta::nanoseconds(1), bucket), at(5));
        assert_eq!(rounded_up(at(5) + TimeDelta::nanoseconds(1), bucket), at(10));
    }

    #[test]
    fn chunks_hold_what_is_accepted_by_due_time_and_are_numbered_through() {
        let item = |n: usize| match n {
            0 => r#"{"reference_id":"bad","payee_fa":"a:b","amount":"x","currency_code":"KES"}"#.to_owned(),
            1 => format!(
                r#"{{"reference_id":"later","payee_fa":"a:b","amount":"1","currency_code":"KES","scheduled_timestamp":"{}"}}"#,
                at(7).to_rfc3339()
            ),
            _ => format!(r#"{{"reference_id":"r{n}","payee_fa":"a:b","amount":"1","currency_code":"KES"}}"#),
        };
        let items: Vec<String> = (0..602).map(item).collect();
        let body = format!(
            r#"{{"header":{{"message_id":"m","message_ts":"2026-07-01T00:00:00Z","action":"disburse","sender_id":"s"}},"message":{{"transaction_id":"t","disbursements":[{}]}}}}"#,
            items.join(",")
        );
        let rules = Rules {
            max_disbursements: 1_000,
            default_payer: FinancialAddress::parse("a:payer").ok(),
            default_currency: None,
            max_schedule_ahead: TimeDelta::days(1),
        };
        let batch = disburse::read(body.into_bytes(), &rules, at(0)).expect("taken");
        let batch_id = BatchId::accepted_at(at(0));
        let mut chunks = Chunks::new(&batch, batch_id, BatchNo(1), at(0), Duration::from_secs(5), None);
        batch.items().enumerate().for_each(|(position, item)| chunks.add(position, &item));
        let rows = chunks.finish();
        let seen: Vec<(Option<DateTime<Utc>>, u32, usize)> = rows
            .iter()
            .map(|row| {
                let chunk = InstructionChunk::decode(&row.message.payload).expect("readable").event;
                (row.due_at, chunk.chunk_no, chunk.instructions.len())
            })
            .collect();
        assert_eq!(seen, [(None, 0, 500), (None, 1, 100), (Some(at(10)), 2, 1)]);
    }
}
