//! Intake: one message becomes one transaction. The acknowledgement leaves after it (invariant I1).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{ExecuteCopyFromDsl, RunQueryDsl};
use gctb_domain::{BatchId, BatchNo, LedgerState, Money, NO_CURRENCY, PaymentStatus, ReasonCode, Seq};
use uuid::Uuid;

use crate::error::DbError;
use crate::instructions::reference_hash;
use crate::outbox::{self, OutboxRow};
use crate::pool::{Abort, Db};
use crate::totals;

/// Rows of one COPY: bounds the memory that a large message takes beside its body.
const COPY_ROWS: usize = 10_000;

/// A message that was parsed.
#[derive(Clone, Debug)]
pub struct NewBatch<'a> {
    /// Its id.
    pub batch_id: BatchId,
    /// Its number, from [`Db::next_batch_no`].
    pub batch_no: BatchNo,
    /// header.sender_id.
    pub sender_id: &'a str,
    /// message.transaction_id, given or derived.
    pub transaction_id: &'a str,
    /// header.message_id.
    pub message_id: &'a str,
    /// Digest of the parsed items.
    pub digest: &'a [u8],
    /// How it was computed.
    pub digest_version: i16,
    /// header.message_ts.
    pub request_timestamp: DateTime<Utc>,
    /// When it arrived, by the clock of the service that answers it.
    pub received_at: DateTime<Utc>,
    /// W3C trace context of the request.
    pub traceparent: Option<&'a str>,
}

/// Why an item was refused at intake.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The reason.
    pub code: ReasonCode,
    /// A sentence for the sender.
    pub message: &'a str,
}

/// One disbursement, accepted or refused. Texts are borrowed from the request's body.
#[derive(Clone, Debug)]
pub struct NewInstruction<'a> {
    /// Position in the message.
    pub seq: Seq,
    /// reference_id, given or derived.
    pub request_id: &'a str,
    /// The payer as sent, or the default.
    pub from_fa: &'a str,
    /// The payee as sent.
    pub to_fa: &'a str,
    /// The amount, where it parsed.
    pub amount: Option<Money>,
    /// The currency as sent, or the default.
    pub currency: &'a str,
    /// The amount as sent, where it did not parse.
    pub amount_text: Option<&'a str>,
    /// Not to be paid before.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The time as sent, where it could not be read.
    pub scheduled_text: Option<&'a str>,
    /// As sent.
    pub payer_name: Option<&'a str>,
    /// As sent.
    pub payee_name: Option<&'a str>,
    /// As sent.
    pub purpose: Option<&'a str>,
    /// As sent.
    pub note: Option<&'a str>,
    /// As sent.
    pub instruction: Option<&'a str>,
    /// As sent.
    pub locale: Option<&'a str>,
    /// Why it is refused; None: accepted.
    pub refusal: Option<Refusal<'a>>,
}

/// A batch that is stored.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct BatchRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    no: i64,
    /// header.sender_id.
    #[diesel(sql_type = Text)]
    pub sender_id: String,
    /// message.transaction_id, given or derived.
    #[diesel(sql_type = Text)]
    pub transaction_id: String,
    /// Digest of the parsed items.
    #[diesel(sql_type = Binary)]
    pub digest: Vec<u8>,
    /// How it was computed.
    #[diesel(sql_type = SmallInt)]
    pub digest_version: i16,
    /// header.message_ts of the first message.
    #[diesel(sql_type = Timestamptz)]
    pub request_timestamp: DateTime<Utc>,
    /// When it was accepted.
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    /// How many instructions it has.
    #[diesel(sql_type = Integer)]
    pub instruction_count: i32,
    /// How many of them are not final.
    #[diesel(sql_type = Integer)]
    pub in_flight: i32,
    /// Raised by every change once nothing is in flight.
    #[diesel(sql_type = BigInt)]
    pub totals_version: i64,
}

impl BatchRow {
    /// The batch's id.
    pub const fn batch_id(&self) -> BatchId {
        BatchId::from_uuid(self.id)
    }

    /// The batch's number.
    pub const fn batch_no(&self) -> BatchNo {
        BatchNo(self.no)
    }
}

const BATCH_COLUMNS: &str =
    "SELECT batch_id AS id, batch_no AS no, sender_id, transaction_id, digest, digest_version, request_timestamp,
     received_at, instruction_count, in_flight, totals_version FROM batches";

/// What intake made of a message.
#[derive(Clone, Debug)]
pub enum Intake {
    /// It is stored, with its outbox rows.
    Stored,
    /// The sender's transaction is here already; the digests tell whether it is the same.
    Existing(Box<BatchRow>),
    /// Another transaction of this sender came under the same message_id.
    MessageIdTaken,
}

impl Db {
    /// Draws the number of the next batch. Numbers may be skipped.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn next_batch_no(&self) -> Result<BatchNo, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            no: i64,
        }
        self.with("draw a batch number", |connection| {
            diesel::sql_query("SELECT nextval('batch_numbers') AS no")
                .get_result::<Number>(connection)
                .map(|row| BatchNo(row.no))
        })
    }

    /// Stores a message: batch, control row, totals, instructions, the ledger rows of the refused, outbox rows.
    /// One commit, or nothing.
    ///
    /// # Errors
    /// Where Postgres refuses; nothing is stored then.
    pub fn intake(
        &self,
        batch: &NewBatch<'_>,
        instructions: &[NewInstruction<'_>],
        outbox_rows: &[OutboxRow],
    ) -> Result<Intake, DbError> {
        self.transaction("store a batch", |connection| {
            let in_flight = instructions.iter().filter(|item| item.refusal.is_none()).count();
            let Some(now) = insert_batch(connection, batch, instructions.len(), in_flight)? else {
                return existing(connection, batch);
            };
            insert_control(connection, batch.batch_id, in_flight > 0)?;
            insert_totals(connection, batch.batch_id, instructions)?;
            for rows in instructions.chunks(COPY_ROWS) {
                copy_instructions(connection, batch, rows, now)?;
                copy_refused(connection, batch, rows)?;
            }
            outbox::insert(connection, outbox_rows, now)?;
            if in_flight == 0 {
                let progress = gctb_events::BatchProgress { batch_id: batch.batch_id, totals_version: 1 };
                outbox::insert(connection, &[OutboxRow::progress(&progress, batch.traceparent)], now)?;
            }
            Ok(Intake::Stored)
        })
    }

    /// Finds a sender's batch by its transaction.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn find_batch(&self, sender_id: &str, transaction_id: &str) -> Result<Option<BatchRow>, DbError> {
        self.with("find a batch by its transaction", |connection| by_transaction(connection, sender_id, transaction_id))
    }

    /// Finds a sender's batch by our own id, which answers carry as correlation_id.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn find_batch_by_id(&self, sender_id: &str, batch: BatchId) -> Result<Option<BatchRow>, DbError> {
        self.with("find a batch by its id", |connection| {
            diesel::sql_query(format!("{BATCH_COLUMNS} WHERE batch_id = $1 AND sender_id = $2"))
                .bind::<SqlUuid, _>(batch.as_uuid())
                .bind::<Text, _>(sender_id)
                .load(connection)
                .map(|rows| rows.into_iter().next())
        })
    }
}

fn by_transaction(
    connection: &mut PgConnection,
    sender_id: &str,
    transaction_id: &str,
) -> Result<Option<BatchRow>, diesel::result::Error> {
    diesel::sql_query(format!("{BATCH_COLUMNS} WHERE sender_id = $1 AND transaction_id = $2"))
        .bind::<Text, _>(sender_id)
        .bind::<Text, _>(transaction_id)
        .load(connection)
        .map(|rows| rows.into_iter().next())
}

fn existing(connection: &mut PgConnection, batch: &NewBatch<'_>) -> Result<Intake, Abort> {
    let found = by_transaction(connection, batch.sender_id, batch.transaction_id)?;
    Ok(found.map_or(Intake::MessageIdTaken, |row| Intake::Existing(Box::new(row))))
}

/// Inserts the batch's row, or nothing where the transaction or the message is known. Gives Postgres' time.
fn insert_batch(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    instructions: usize,
    in_flight: usize,
) -> Result<Option<DateTime<Utc>>, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Inserted {
        #[diesel(sql_type = Timestamptz)]
        now: DateTime<Utc>,
    }
    let count = |n: usize| i32::try_from(n).map_err(|_| Abort::Unreadable("batches.instruction_count"));
    let inserted: Vec<Inserted> = diesel::sql_query(
        "INSERT INTO batches (batch_id, batch_no, sender_id, transaction_id, message_id, digest, digest_version,
                              request_timestamp, instruction_count, in_flight, totals_version, traceparent, received_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $10 = 0 THEN 1 ELSE 0 END, $11, $12)
         ON CONFLICT DO NOTHING RETURNING now() AS now",
    )
    .bind::<SqlUuid, _>(batch.batch_id.as_uuid())
    .bind::<BigInt, _>(batch.batch_no.0)
    .bind::<Text, _>(batch.sender_id)
    .bind::<Text, _>(batch.transaction_id)
    .bind::<Text, _>(batch.message_id)
    .bind::<Binary, _>(batch.digest)
    .bind::<SmallInt, _>(batch.digest_version)
    .bind::<Timestamptz, _>(batch.request_timestamp)
    .bind::<Integer, _>(count(instructions)?)
    .bind::<Integer, _>(count(in_flight)?)
    .bind::<Nullable<Text>, _>(batch.traceparent)
    .bind::<Timestamptz, _>(batch.received_at)
    .load(connection)?;
    Ok(inserted.into_iter().next().map(|row| row.now))
}

fn insert_control(connection: &mut PgConnection, batch: BatchId, unfinished: bool) -> Result<(), Abort> {
    diesel::sql_query("INSERT INTO batch_controls (batch_id) VALUES ($1)")
        .bind::<SqlUuid, _>(batch.as_uuid())
        .execute(connection)?;
    if unfinished {
        diesel::sql_query(
            "INSERT INTO batch_sweeps (batch_id, due_at, last_emitted_at) VALUES ($1, now() + interval '1 minute', now())",
        )
        .bind::<SqlUuid, _>(batch.as_uuid())
        .execute(connection)?;
    }
    Ok(())
}

fn insert_totals(connection: &mut PgConnection, batch: BatchId, items: &[NewInstruction<'_>]) -> Result<(), Abort> {
    let mut sums: BTreeMap<(&str, PaymentStatus), (i64, i128)> = BTreeMap::new();
    for item in items {
        let currency = item.amount.map_or(NO_CURRENCY, |amount| amount.currency().code());
        let (count, sum) = sums.entry((currency, status_of(item))).or_default();
        *count += 1;
        *sum += item.amount.map_or(0, |amount| i128::from(amount.minor()));
    }
    let deltas = sums.into_iter().map(|((currency, status), (count, sum))| totals::Delta {
        currency: currency.to_owned(),
        status,
        instructions: count,
        amount_minor: sum,
    });
    totals::add(connection, batch, deltas)
}

fn status_of(item: &NewInstruction<'_>) -> PaymentStatus {
    if item.refusal.is_some() { PaymentStatus::Failed } else { PaymentStatus::New }
}

fn copy_instructions(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    items: &[NewInstruction<'_>],
    now: DateTime<Utc>,
) -> Result<(), Abort> {
    #[derive(diesel::Insertable)]
    #[diesel(table_name = crate::schema::payment_instructions, treat_none_as_default_value = false)]
    struct New<'a> {
        batch_id: Uuid,
        seq: i32,
        request_id: &'a str,
        ref_hash: i64,
        request_timestamp: DateTime<Utc>,
        from_fa: &'a str,
        to_fa: &'a str,
        amount: Option<i64>,
        currency: &'a str,
        amount_text: Option<&'a str>,
        scheduled_at: Option<DateTime<Utc>>,
        scheduled_text: Option<&'a str>,
        payer_name: Option<&'a str>,
        payee_name: Option<&'a str>,
        purpose: Option<&'a str>,
        note: Option<&'a str>,
        instruction: Option<&'a str>,
        locale: Option<&'a str>,
        status: i16,
        prev_status: i16,
        version: i32,
        error_code: Option<&'a str>,
        error_msg: Option<&'a str>,
        updated_at: DateTime<Utc>,
    }
    let rows: Vec<New<'_>> = items
        .iter()
        .map(|item| New {
            batch_id: batch.batch_id.as_uuid(),
            seq: item.seq.0,
            request_id: item.request_id,
            ref_hash: reference_hash(batch.sender_id, item.request_id),
            request_timestamp: batch.request_timestamp,
            from_fa: item.from_fa,
            to_fa: item.to_fa,
            amount: item.amount.map(Money::minor),
            currency: item.currency,
            amount_text: item.amount_text,
            scheduled_at: item.scheduled_at,
            scheduled_text: item.scheduled_text,
            payer_name: item.payer_name,
            payee_name: item.payee_name,
            purpose: item.purpose,
            note: item.note,
            instruction: item.instruction,
            locale: item.locale,
            status: status_of(item).code(),
            prev_status: status_of(item).code(),
            version: i32::from(item.refusal.is_some()),
            error_code: item.refusal.map(|refusal| refusal.code.as_str()),
            error_msg: item.refusal.map(|refusal| refusal.message),
            updated_at: now,
        })
        .collect();
    diesel::copy_from(crate::schema::payment_instructions::table).from_insertable(rows).execute(connection)?;
    Ok(())
}

/// The ledger rows of the refused are in the same commit, or somebody would pay them later.
fn copy_refused(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    items: &[NewInstruction<'_>],
) -> Result<(), Abort> {
    #[derive(diesel::Insertable)]
    #[diesel(table_name = crate::schema::payment_ledger, treat_none_as_default_value = false)]
    struct New<'a> {
        batch_id: Uuid,
        seq: i32,
        batch_no: i64,
        version: i32,
        state: i16,
        attempt: i16,
        reason_code: Option<&'a str>,
        message: Option<&'a str>,
    }
    let rows: Vec<New<'_>> = items
        .iter()
        .filter_map(|item| item.refusal.map(|refusal| (item.seq, refusal)))
        .map(|(seq, refusal)| New {
            batch_id: batch.batch_id.as_uuid(),
            seq: seq.0,
            batch_no: batch.batch_no.0,
            version: 1,
            state: LedgerState::Rejected.code(),
            attempt: 0,
            reason_code: Some(refusal.code.as_str()),
            message: Some(refusal.message),
        })
        .collect();
    if !rows.is_empty() {
        diesel::copy_from(crate::schema::payment_ledger::table).from_insertable(rows).execute(connection)?;
    }
    Ok(())
}
