//! The floor of status: the statements that an answer needs, run by psql over one connection.
//!
//! They are those of `crates/gctb-db/src/batches.rs` and `crates/gctb-db/src/instructions.rs`, with their values written out. psql
//! stops its clock when it has the rows and before it prints them.

use std::time::Duration;

use crate::error::BenchError;
use crate::message::SENDER;
use crate::psql::{Psql, Session};
use crate::status_rows::{MONTHS, Place};

const COLUMNS: &str =
    "SELECT p.batch_id, p.seq, p.request_id, p.from_fa, p.to_fa, p.amount, p.currency, p.amount_text, p.scheduled_at,
    p.payer_name, p.payee_name, p.instruction, p.locale, p.status, p.version, p.backend, p.file, p.rail_reference,
    p.error_code, p.error_msg, p.updated_at, p.prev_status FROM payment_instructions p";

const BATCH: &str =
    "SELECT batch_id AS id, batch_no AS no, sender_id, transaction_id, digest, digest_version, request_timestamp,
    received_at, instruction_count, in_flight, totals_version FROM batches";

const LIST_MONTHS: &str = "SELECT gctb_batch_id_floor(month) AS first,
       gctb_batch_id_floor((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC') AS next
FROM (SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS month
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'payment_instructions'::regclass) m
WHERE month <= now() ORDER BY month DESC;";

/// Runs the statements of one question after another.
#[derive(Debug)]
pub(crate) struct StatusFloor {
    asking: Session,
    timing: Session,
    /// Bounds of the months, the newest first.
    months: Vec<(String, String)>,
}

impl StatusFloor {
    pub(crate) fn on(database: &Psql) -> Result<Self, BenchError> {
        let mut asking = database.session()?;
        let lines = asking.ask("list the months", LIST_MONTHS)?;
        let bounds = |line: &String| line.split_once('|').map(|(first, next)| (first.to_owned(), next.to_owned()));
        let months = lines.iter().filter_map(bounds).collect();
        let mut timing = database.session()?;
        timing.only_times()?;
        Ok(Self { asking, timing, months })
    }

    /// How long a page of a batch takes: find the batch, read the page.
    pub(crate) fn page(&mut self, batch: Place, size: u32) -> Result<Duration, BenchError> {
        let transaction = batch.transaction();
        let of_batch = format!("WHERE sender_id = '{SENDER}' AND transaction_id = '{transaction}'");
        let id = self.asking.ask("find a batch", &format!("SELECT batch_id FROM batches {of_batch};"))?.join("");
        let (first, next) = (batch.seq, batch.seq + size);
        let script = format!(
            "{BATCH} {of_batch};
             {COLUMNS} WHERE p.batch_id = '{id}' AND p.seq >= {first} AND p.seq < {next} ORDER BY p.seq;"
        );
        self.timing.time("read a page of a batch", &script)
    }

    /// How long a look-up takes: the months from the newest back, each asked for what is still missing, until all are found.
    pub(crate) fn references(&mut self, places: &[Place]) -> Result<Duration, BenchError> {
        let mut script = LIST_MONTHS.to_owned();
        let mut missing = places.to_vec();
        for (back, (first, next)) in (0..MONTHS).zip(self.months.clone()) {
            if missing.is_empty() {
                break;
            }
            let hashes = self.hashes(&missing)?;
            script += &format!(
                "\n{COLUMNS} JOIN batches b ON b.batch_id = p.batch_id
                 WHERE p.batch_id >= '{first}' AND p.batch_id < '{next}' AND p.ref_hash = ANY('{hashes}') AND b.sender_id = '{SENDER}'
                 ORDER BY p.batch_id DESC, p.seq;"
            );
            missing.retain(|place| place.month != MONTHS - 1 - back);
        }
        self.timing.time("look up references", &script)
    }

    fn hashes(&mut self, places: &[Place]) -> Result<String, BenchError> {
        let references: Vec<String> = places.iter().map(|place| place.reference()).collect();
        let sql =
            format!("SELECT array_agg(bench_ref_hash(r)) FROM unnest('{{{}}}'::text[]) AS r;", references.join(","));
        Ok(self.asking.ask("hash references", &sql)?.join(""))
    }
}
