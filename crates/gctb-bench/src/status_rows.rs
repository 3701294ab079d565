//! The rows that status is asked about: twelve months of paid batches, made by SQL in the partitions of their months.
//!
//! Everything about a row follows from its month, batch and position, so questions can be made up without reading.

use std::fmt::Write;

use crate::error::BenchError;
use crate::message::SENDER;
use crate::psql::Psql;
use crate::random::Random;
use crate::say;

/// Months, the current one being the last.
pub(crate) const MONTHS: u32 = 12;
/// Rows of a batch.
pub(crate) const BATCH_ROWS: u32 = 10_000;

/// What `gctb-api` keeps of a reference: the first 64 bits of SHA-256 over sender and reference.
const HASH: &str = "CREATE FUNCTION bench_ref_hash(reference text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT ('x' || encode(substr(sha256(convert_to('payments.openg2p.org', 'UTF8') || '\\x00'::bytea || convert_to(reference, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint $$;";

/// One row, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 0, the oldest.
    pub(crate) month: u32,
    /// From 0, within the month.
    pub(crate) batch: u32,
    /// From 0, within the batch.
    pub(crate) seq: u32,
}

impl Place {
    /// A place in one of these months.
    pub(crate) fn random(random: &mut Random, months: std::ops::Range<u32>, batches: u32) -> Self {
        let month = months.start + random.below(months.end - months.start);
        Self { month, batch: random.below(batches), seq: random.below(BATCH_ROWS) }
    }

    /// The reference of the row there; of the form and length of a UUID, as senders use.
    pub(crate) fn reference(self) -> String {
        format!("a2c0e3f4-5b6d-4788-{:04}-{:04}{:08}", self.month, self.batch, self.seq)
    }

    /// The transaction of its batch.
    pub(crate) fn transaction(self) -> String {
        format!("a2c0e3f4-5b6d-4799-{:04}-{:04}00000000", self.month, self.batch)
    }
}

/// Fills a database that has the bridge's tables; how many rows it has then.
pub(crate) fn fill(database: &Psql, batches_per_month: u32) -> Result<u64, BenchError> {
    let mut session = database.session()?;
    let last = MONTHS - 1;
    session.ask(
        "prepare twelve months",
        &format!("{HASH}\nSELECT gctb_make_partitions(now() - interval '{last} months', {MONTHS});"),
    )?;
    for month in 0..MONTHS {
        session.ask("fill a month", &month_of_rows(month, batches_per_month))?;
        say(&format!("status: filled month {} of {MONTHS}", month + 1));
    }
    session.ask(
        "tidy up as autovacuum would",
        "VACUUM (ANALYZE) payment_instructions;\nVACUUM (ANALYZE) batches;\nCHECKPOINT;",
    )?;
    drop(session);
    database.number("count the rows", "SELECT count(*) FROM payment_instructions;")
}

fn month_of_rows(month: u32, batches: u32) -> String {
    let back = MONTHS - 1 - month;
    // A batch a minute from the start of the month, which is over in every month but in the first minutes of the current one.
    let month_start = format!("date_trunc('month', now() AT TIME ZONE 'UTC') - interval '{back} months'");
    let mut script = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        script,
        "INSERT INTO batches (batch_id, batch_no, sender_id, transaction_id, message_id, digest, digest_version, request_timestamp,
                              received_at, instruction_count, in_flight, totals_version)
         SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
                nextval('batch_numbers'), '{SENDER}', 'a2c0e3f4-5b6d-4799-' || to_char({month}, 'FM0000') || '-' || to_char(n, 'FM0000') || '00000000',
                'message-{month}-' || n, sha256(convert_to(h, 'UTF8')), 1, at, at, {BATCH_ROWS}, 0, 1
         FROM generate_series(0, {batches} - 1) AS n,
              LATERAL (SELECT ({month_start} + n * interval '1 minute') AT TIME ZONE 'UTC' AS at, md5('{month} ' || n) AS h) AS made;
         INSERT INTO payment_instructions (batch_id, seq, request_id, ref_hash, request_timestamp, from_fa, to_fa, amount, currency,
                payer_name, payee_name, purpose, note, locale, status, prev_status, version, backend, resolved_fa, file, rail_reference, updated_at)
         SELECT b.batch_id, seq, r.reference, bench_ref_hash(r.reference), b.request_timestamp,
                'account:4100200300@head.treasury.bank_acc', p.address, 10000 + seq, 'KES', 'National Treasury', 'Achieng Baraka ' || seq,
                'Farmer Relief', 'Payment for Cycle 7 under Farmer Relief', 'eng', 5, 3, 2, 'file', p.address,
                'file-2026-' || b.batch_no || '.csv', 'SIMBANK-' || b.batch_no || '-' || seq, b.received_at
         FROM batches b CROSS JOIN generate_series(0, {BATCH_ROWS} - 1) AS seq,
              LATERAL (SELECT 'a2c0e3f4-5b6d-4788-' || to_char({month}, 'FM0000') || '-' || substr(b.transaction_id, 25, 4) || to_char(seq, 'FM00000000') AS reference) AS r,
              LATERAL (SELECT 'account:' || to_char(seq, 'FM000000000000') || '7777@nairobi.kcb.bank_acc' AS address) AS p
         WHERE b.message_id LIKE 'message-{month}-%'
         ORDER BY b.batch_id, seq;"
    );
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_look_like_uuids_and_tell_their_place() {
        let place = Place { month: 11, batch: 83, seq: 9_999 };
        assert_eq!(place.reference(), "a2c0e3f4-5b6d-4788-0011-008300009999");
        assert_eq!(place.transaction(), "a2c0e3f4-5b6d-4799-0011-008300000000");
        assert_eq!(place.reference().len(), 36);
    }

    #[test]
    fn places_stay_within_their_months() {
        let mut random = Random::from_seed(1);
        for _ in 0..100 {
            let place = Place::random(&mut random, 11..12, 9);
            assert!(place.month == 11 && place.batch < 9 && place.seq < BATCH_ROWS);
        }
    }
}
