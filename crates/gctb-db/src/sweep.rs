//! Finding instructions that nobody decided about although they are due, and emitting them again from Postgres.
//!
//! A lost, expired or recreated topic strands nothing. That the consumers have read past the last emission is a hint the
//! caller brings; the proof that nobody decided is the missing ledger row.

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use gctb_domain::{BatchId, BatchNo, Currency, FinancialAddress, Money, Seq};
use gctb_events::{Instruction, InstructionChunk};
use uuid::Uuid;

use crate::error::DbError;
use crate::outbox::{self, OutboxRow};
use crate::pool::{Abort, Db};

/// Instructions that a sweep reads at once: bounds its memory. It reads again until it has emitted all, or the end of a
/// large batch would be stranded before it was ever emitted.
const PAGE_ROWS: i64 = 10_000;

/// A batch that the sweeper shall look at.
#[derive(Clone, Debug)]
pub struct DueSweep {
    /// The batch.
    pub batch_id: BatchId,
    /// When instructions of it were last emitted.
    pub last_emitted_at: DateTime<Utc>,
}

/// A batch with instructions that the sweeper has given up on.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct StrandedBatch {
    /// The batch.
    #[diesel(sql_type = SqlUuid)]
    pub batch_id: Uuid,
    /// How many instructions.
    #[diesel(sql_type = Integer)]
    pub stranded: i32,
    /// How often they were emitted again.
    #[diesel(sql_type = SmallInt)]
    pub emissions: i16,
}

/// What a sweep of a batch came to.
#[derive(Clone, Debug, Default)]
pub struct SweepOutcome {
    /// Instructions that were emitted again.
    pub emitted: usize,
    /// Instructions that were emitted as often as allowed: an operator must look.
    pub stranded: usize,
    /// The outbox rows that were committed, to be published from memory.
    pub outbox: Vec<OutboxRow>,
}

impl Db {
    /// Unfinished batches, not held, that are due to be looked at.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn due_sweeps(&self, limit: i64) -> Result<Vec<DueSweep>, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = SqlUuid)]
            batch_id: Uuid,
            #[diesel(sql_type = Timestamptz)]
            last_emitted_at: DateTime<Utc>,
        }
        let rows: Vec<Row> = self.with("find batches to sweep", |connection| {
            diesel::sql_query(
                "SELECT s.batch_id, s.last_emitted_at FROM batch_sweeps s JOIN batch_controls c USING (batch_id)
                 WHERE s.due_at <= now() AND c.state <> 2 ORDER BY s.due_at LIMIT $1",
            )
            .bind::<BigInt, _>(limit)
            .load(connection)
        })?;
        let read =
            |row: Row| DueSweep { batch_id: BatchId::from_uuid(row.batch_id), last_emitted_at: row.last_emitted_at };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Puts off the next look at a batch.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn postpone_sweep(&self, batch: BatchId, seconds: i64) -> Result<(), DbError> {
        fail::fail_point!("sweep.postpone.before");
        self.with("put off the sweep of a batch", |connection| {
            diesel::sql_query("UPDATE batch_sweeps SET due_at = now() + $2 * interval '1 second' WHERE batch_id = $1")
                .bind::<SqlUuid, _>(batch.as_uuid())
                .bind::<BigInt, _>(seconds)
                .execute(connection)
        })?;
        fail::fail_point!("sweep.postpone.after");
        Ok(())
    }

    /// Emits again what is due, has no ledger row and waits in no outbox. The next look comes after `interval_seconds`,
    /// doubled with each emission; after `max_emissions` the rest is an operator's.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn sweep(&self, batch: BatchId, interval_seconds: i64, max_emissions: i16) -> Result<SweepOutcome, DbError> {
        self.transaction("sweep a batch", |connection| {
            let Some(sweep) = lock(connection, batch)? else { return Ok(SweepOutcome::default()) };
            if waits_in_outbox(connection, batch)? {
                reschedule(connection, batch, interval_seconds, false, 0)?;
                return Ok(SweepOutcome::default());
            }
            let missing = count_undecided(connection, batch, interval_seconds)?;
            if missing == 0 || sweep.emissions >= max_emissions {
                reschedule(connection, batch, interval_seconds * 8, false, missing)?;
                return Ok(SweepOutcome { stranded: usize::try_from(missing).unwrap_or(0), ..SweepOutcome::default() });
            }
            let (emitted, outbox) = emit(connection, batch, &sweep, interval_seconds)?;
            outbox::insert(connection, &outbox)?;
            let wait = interval_seconds.saturating_mul(1_i64 << sweep.emissions.clamp(0, 20));
            reschedule(connection, batch, wait, true, 0)?;
            fail::fail_point!("sweep.emit.before");
            Ok(SweepOutcome { emitted, stranded: 0, outbox })
        })
        .inspect(|outcome| {
            if outcome.emitted > 0 {
                fail::fail_point!("sweep.emit.after");
            }
        })
    }

    /// The batches with instructions that the sweeper has given up on.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn stranded_batches(&self) -> Result<Vec<StrandedBatch>, DbError> {
        self.with("list stranded batches", |connection| {
            diesel::sql_query(
                "SELECT batch_id, stranded, emissions FROM batch_sweeps WHERE stranded > 0 ORDER BY batch_id",
            )
            .load(connection)
        })
    }
}

#[derive(diesel::QueryableByName)]
struct Sweep {
    #[diesel(sql_type = SmallInt)]
    emissions: i16,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
}

fn lock(connection: &mut PgConnection, batch: BatchId) -> Result<Option<Sweep>, Abort> {
    let rows: Vec<Sweep> = diesel::sql_query(
        "SELECT s.emissions, b.batch_no, b.traceparent FROM batch_sweeps s JOIN batches b USING (batch_id)
         WHERE s.batch_id = $1 AND s.due_at <= now() FOR UPDATE OF s SKIP LOCKED",
    )
    .bind::<SqlUuid, _>(batch.as_uuid())
    .load(connection)?;
    Ok(rows.into_iter().next())
}

/// Whether chunks of the batch that are due, or were taken once, wait in the outbox. Those of a later schedule do not
/// count: what they hold is not due.
fn waits_in_outbox(connection: &mut PgConnection, batch: BatchId) -> Result<bool, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Waits {
        #[diesel(sql_type = Bool)]
        waits: bool,
    }
    let row: Waits = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM outbox WHERE batch_id = $1 AND kind = 1
                        AND (emissions > 0 OR due_at <= now() + interval '10 seconds')) AS waits",
    )
    .bind::<SqlUuid, _>(batch.as_uuid())
    .get_result(connection)?;
    Ok(row.waits)
}

/// What nobody decided about. What became due within the last `$2` seconds is still on its way.
const UNDECIDED: &str = "FROM payment_instructions p
     WHERE p.batch_id = $1 AND p.amount IS NOT NULL AND (p.scheduled_at IS NULL OR p.scheduled_at <= now() - $2 * interval '1 second')
       AND NOT EXISTS (SELECT FROM payment_ledger l WHERE l.batch_id = $1 AND l.seq = p.seq)";

fn count_undecided(connection: &mut PgConnection, batch: BatchId, grace_seconds: i64) -> Result<i32, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = Integer)]
        undecided: i32,
    }
    let row: Count = diesel::sql_query(format!("SELECT count(*)::integer AS undecided {UNDECIDED}"))
        .bind::<SqlUuid, _>(batch.as_uuid())
        .bind::<BigInt, _>(grace_seconds)
        .get_result(connection)?;
    Ok(row.undecided)
}

/// How many instructions nobody decided about, and the outbox rows that emit all of them again.
fn emit(
    connection: &mut PgConnection,
    batch: BatchId,
    sweep: &Sweep,
    grace_seconds: i64,
) -> Result<(usize, Vec<OutboxRow>), Abort> {
    let part = u32::try_from(sweep.emissions).unwrap_or(0) + 1;
    let (mut emitted, mut rows, mut first) = (0, Vec::new(), Seq(0));
    loop {
        let page = undecided(connection, batch, grace_seconds, first)?;
        let Some(last) = page.last() else { return Ok((emitted, rows)) };
        first = Seq(last.seq.0.saturating_add(1));
        emitted += page.len();
        for mut chunk in InstructionChunk::split(batch, BatchNo(sweep.batch_no), part, page) {
            chunk.chunk_no = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            rows.push(OutboxRow::instructions(&chunk, None, sweep.traceparent.as_deref()));
        }
    }
}

/// A page of what nobody decided about, from position `first` on.
fn undecided(
    connection: &mut PgConnection,
    batch: BatchId,
    grace_seconds: i64,
    first: Seq,
) -> Result<Vec<Instruction>, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        seq: i32,
        #[diesel(sql_type = Text)]
        request_id: String,
        #[diesel(sql_type = Text)]
        from_fa: String,
        #[diesel(sql_type = Text)]
        to_fa: String,
        #[diesel(sql_type = BigInt)]
        amount: i64,
        #[diesel(sql_type = Text)]
        currency: String,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        scheduled_at: Option<DateTime<Utc>>,
        #[diesel(sql_type = Text)]
        payee_name: String,
        #[diesel(sql_type = Text)]
        purpose: String,
        #[diesel(sql_type = Text)]
        note: String,
    }
    let sql = format!(
        "SELECT p.seq, p.request_id, p.from_fa, p.to_fa, p.amount, p.currency, p.scheduled_at, coalesce(p.payee_name, '') AS payee_name,
                coalesce(p.purpose, '') AS purpose, coalesce(p.note, '') AS note
         {UNDECIDED} AND p.seq >= $3 ORDER BY p.seq LIMIT $4"
    );
    let rows: Vec<Row> = diesel::sql_query(sql)
        .bind::<SqlUuid, _>(batch.as_uuid())
        .bind::<BigInt, _>(grace_seconds)
        .bind::<Integer, _>(first.0)
        .bind::<BigInt, _>(PAGE_ROWS)
        .load(connection)?;
    let read = |row: Row| {
        let unreadable = Abort::Unreadable;
        let currency = Currency::parse(&row.currency).map_err(|_| unreadable("payment_instructions.currency"))?;
        Ok(Instruction {
            seq: Seq(row.seq),
            reference_id: row.request_id,
            from_fa: FinancialAddress::parse(&row.from_fa).map_err(|_| unreadable("payment_instructions.from_fa"))?,
            to_fa: FinancialAddress::parse(&row.to_fa).map_err(|_| unreadable("payment_instructions.to_fa"))?,
            amount: Money::from_minor(row.amount, currency).map_err(|_| unreadable("payment_instructions.amount"))?,
            scheduled_at: row.scheduled_at,
            payee_name: row.payee_name,
            purpose: row.purpose,
            note: row.note,
        })
    };
    rows.into_iter().map(read).collect()
}

fn reschedule(
    connection: &mut PgConnection,
    batch: BatchId,
    seconds: i64,
    emitted: bool,
    stranded: i32,
) -> Result<(), Abort> {
    diesel::sql_query(
        "UPDATE batch_sweeps SET due_at = now() + least($2, 86400) * interval '1 second', stranded = $4,
                emissions = emissions + CASE WHEN $3 THEN 1 ELSE 0 END,
                last_emitted_at = CASE WHEN $3 THEN now() ELSE last_emitted_at END
         WHERE batch_id = $1",
    )
    .bind::<SqlUuid, _>(batch.as_uuid())
    .bind::<BigInt, _>(seconds)
    .bind::<Bool, _>(emitted)
    .bind::<Integer, _>(stranded)
    .execute(connection)?;
    Ok(())
}
