//! Folding status events into the projection: idempotent, and free of any order (invariant I5).
//!
//! The batch's row is locked first, in a statement of its own; the version in the WHERE drops what is late; the totals
//! move by what really changed; the outbox rows of the chunks go in the same commit.

use std::collections::BTreeMap;

use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use gctb_domain::{BackendName, BatchId, PaymentStatus, ReasonCode};
use gctb_events::{BatchProgress, LedgerEntry};
use uuid::Uuid;

use crate::error::DbError;
use crate::outbox::{self, OutboxRow};
use crate::pool::{Abort, Db};
use crate::stretches::{Stretch, joining_by_hash, stretches};
use crate::totals::{self, Delta};

/// Most entries of one fold: bounds the time for which the batch's row is locked.
pub const MAX_FOLD_ENTRIES: usize = 5_000;

/// What a fold came to.
#[derive(Clone, Debug, Default)]
pub struct FoldOutcome {
    /// Instructions that changed.
    pub changed: usize,
    /// Entries that said what the projection knew, or something earlier.
    pub already_known: usize,
    /// Whether nothing of the batch is in flight any more.
    pub finished: bool,
    /// The progress row, where the batch finished or changed after it had.
    pub outbox: Vec<OutboxRow>,
}

#[derive(diesel::QueryableByName)]
struct BatchLock {
    #[diesel(sql_type = Integer)]
    in_flight: i32,
    #[diesel(sql_type = BigInt)]
    totals_version: i64,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
}

#[derive(diesel::QueryableByName)]
struct Change {
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = SmallInt)]
    prev_status: i16,
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = BigInt)]
    instructions: i64,
    #[diesel(sql_type = Text)]
    amount_minor: String,
}

impl Db {
    /// Folds entries of one batch, each position at most once and sorted, and deletes the outbox rows of their chunks.
    ///
    /// # Errors
    /// `UnknownBatch` where the batch is not here; `Fate::Refused` where Postgres refuses an entry (bisect and set it
    /// aside); else where Postgres is away.
    pub fn fold_status(
        &self,
        batch: BatchId,
        entries: &[&LedgerEntry],
        chunks: &[Uuid],
    ) -> Result<FoldOutcome, DbError> {
        self.transaction("fold status events", |connection| {
            let rows: Vec<BatchLock> = diesel::sql_query(
                "SELECT in_flight, totals_version, traceparent FROM batches WHERE batch_id = $1 FOR NO KEY UPDATE",
            )
            .bind::<SqlUuid, _>(batch.as_uuid())
            .load(connection)?;
            let lock = rows.into_iter().next().ok_or(Abort::UnknownBatch)?;
            let changes = update(connection, batch, entries)?;
            let mut outcome = FoldOutcome { finished: lock.in_flight == 0, ..FoldOutcome::default() };
            outcome.changed = changes.iter().map(|change| usize::try_from(change.instructions).unwrap_or(0)).sum();
            outcome.already_known = entries.len() - outcome.changed;
            if outcome.changed > 0 {
                let landed = move_totals(connection, batch, &changes)?;
                let in_flight = i64::from(lock.in_flight) - landed;
                outcome.finished = in_flight == 0;
                let totals_version = lock.totals_version + i64::from(outcome.finished);
                update_batch(connection, batch, in_flight, totals_version)?;
                if outcome.finished {
                    outcome.outbox = finish(connection, batch, totals_version, &lock)?;
                }
            }
            diesel::sql_query("DELETE FROM outbox WHERE id = ANY($1)")
                .bind::<Array<SqlUuid>, _>(chunks)
                .execute(connection)?;
            fail::fail_point!("fold.commit.before");
            Ok(outcome)
        })
        .inspect(|_| fail::fail_point!("fold.commit.after"))
    }
}

/// Updates the instructions whose version is lower, and tells by how much each total changes.
fn update(connection: &mut PgConnection, batch: BatchId, entries: &[&LedgerEntry]) -> Result<Vec<Change>, Abort> {
    joining_by_hash(connection, |connection| {
        let mut changes = Vec::new();
        for stretch in stretches(entries, |entry| entry.seq.0) {
            changes.extend(update_stretch(connection, batch, &stretch)?);
        }
        Ok(changes)
    })
}

fn update_stretch(
    connection: &mut PgConnection,
    batch: BatchId,
    stretch: &Stretch<'_, &LedgerEntry>,
) -> Result<Vec<Change>, Abort> {
    let entries = stretch.rows;
    let sql = "WITH changed AS (
                   UPDATE payment_instructions p
                   SET prev_status = p.status, status = e.status, version = e.version, backend = e.backend,
                       resolved_fa = nullif(e.resolved_fa, ''), file = e.file, rail_reference = e.rail_reference,
                       error_code = e.error_code, error_msg = nullif(e.error_msg, ''), updated_at = e.changed_at
                   FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                        AS e (seq, version, status, backend, resolved_fa, file, rail_reference, error_code, error_msg, changed_at)
                   WHERE p.batch_id = $1 AND p.seq BETWEEN $12 AND $13 AND p.seq = e.seq AND p.version < e.version
                   RETURNING p.currency, p.amount, p.prev_status, p.status)
               SELECT CASE WHEN amount IS NULL THEN 'XXX' ELSE currency END AS currency, prev_status, status,
                      count(*) AS instructions, coalesce(sum(amount), 0)::text AS amount_minor
               FROM changed GROUP BY 1, 2, 3";
    Ok(diesel::sql_query(sql)
        .bind::<SqlUuid, _>(batch.as_uuid())
        .bind::<Array<Integer>, _>(entries.iter().map(|e| e.seq.0).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(entries.iter().map(|e| e.version).collect::<Vec<_>>())
        .bind::<Array<SmallInt>, _>(entries.iter().map(|e| e.status().code()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(
            entries.iter().map(|e| e.backend.as_ref().map(BackendName::as_str)).collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(entries.iter().map(|e| e.resolved_fa.as_str()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(entries.iter().map(|e| e.file.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(entries.iter().map(|e| e.rail_reference.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(entries.iter().map(|e| e.reason.map(ReasonCode::as_str)).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(entries.iter().map(|e| e.message.as_str()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(entries.iter().map(|e| e.changed_at).collect::<Vec<_>>())
        .bind::<Integer, _>(stretch.first)
        .bind::<Integer, _>(stretch.last)
        .load(connection)?)
}

/// Moves the totals, and says how many instructions left the flight.
fn move_totals(connection: &mut PgConnection, batch: BatchId, changes: &[Change]) -> Result<i64, Abort> {
    let mut deltas: BTreeMap<(&str, PaymentStatus), (i64, i128)> = BTreeMap::new();
    let mut landed = 0;
    for change in changes {
        let unreadable = Abort::Unreadable("payment_instructions.status");
        let before = PaymentStatus::from_code(change.prev_status).ok_or(unreadable)?;
        let after = PaymentStatus::from_code(change.status).ok_or(Abort::Unreadable("payment_instructions.status"))?;
        let amount: i128 = change.amount_minor.parse().map_err(|_| Abort::Unreadable("payment_instructions.amount"))?;
        let add = |deltas: &mut BTreeMap<_, (i64, i128)>, status, sign: i64| {
            let entry = deltas.entry((change.currency.as_str(), status)).or_default();
            entry.0 += sign * change.instructions;
            entry.1 += i128::from(sign) * amount;
        };
        add(&mut deltas, before, -1);
        add(&mut deltas, after, 1);
        landed += change.instructions * (i64::from(before.is_in_flight()) - i64::from(after.is_in_flight()));
    }
    let deltas = deltas.into_iter().map(|((currency, status), (instructions, amount_minor))| Delta {
        currency: currency.to_owned(),
        status,
        instructions,
        amount_minor,
    });
    totals::add(connection, batch, deltas)?;
    Ok(landed)
}

fn update_batch(
    connection: &mut PgConnection,
    batch: BatchId,
    in_flight: i64,
    totals_version: i64,
) -> Result<(), Abort> {
    let in_flight = i32::try_from(in_flight).map_err(|_| Abort::Unreadable("batches.in_flight"))?;
    diesel::sql_query("UPDATE batches SET in_flight = $2, totals_version = $3 WHERE batch_id = $1")
        .bind::<SqlUuid, _>(batch.as_uuid())
        .bind::<Integer, _>(in_flight)
        .bind::<BigInt, _>(totals_version)
        .execute(connection)?;
    Ok(())
}

fn finish(
    connection: &mut PgConnection,
    batch: BatchId,
    totals_version: i64,
    lock: &BatchLock,
) -> Result<Vec<OutboxRow>, Abort> {
    diesel::sql_query("DELETE FROM batch_sweeps WHERE batch_id = $1")
        .bind::<SqlUuid, _>(batch.as_uuid())
        .execute(connection)?;
    let progress = BatchProgress { batch_id: batch, totals_version };
    let rows = vec![OutboxRow::progress(&progress, lock.traceparent.as_deref())];
    outbox::insert(connection, &rows)?;
    Ok(rows)
}
