//! Intake: one message becomes one transaction. The acknowledgement leaves after it (invariant I1).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use gctb_domain::{BatchId, BatchNo, LedgerState, Money, NO_CURRENCY, PaymentStatus, ReasonCode, Seq};
use uuid::Uuid;

use crate::copy::{Rows, copy_in};
use crate::error::DbError;
use crate::instructions::reference_hash;
use crate::outbox::{self, OutboxRow};
use crate::pool::{Abort, Db};
use crate::totals;

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
    /// How many disbursements it has.
    pub instructions: usize,
    /// How many of them are accepted.
    pub in_flight: usize,
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
    /// `instructions` are sent to Postgres as they are produced, so that a large message is not in memory once more;
    /// `outbox_rows` is asked after the last of them.
    ///
    /// # Errors
    /// Where Postgres refuses, or the numbers of `batch` are not those of `instructions`; nothing is stored then.
    pub fn intake<'a, 'o>(
        &self,
        batch: &NewBatch<'_>,
        instructions: impl IntoIterator<Item = NewInstruction<'a>>,
        outbox_rows: impl FnOnce() -> &'o [OutboxRow],
    ) -> Result<Intake, DbError> {
        self.transaction("store a batch", |connection| {
            let Some(now) = insert_batch(connection, batch)? else {
                return existing(connection, batch);
            };
            insert_control(connection, batch.batch_id, batch.in_flight > 0)?;
            let seen = copy_instructions(connection, batch, instructions, now)?;
            let accepted = seen.instructions - seen.refused.len();
            if (seen.instructions, accepted) != (batch.instructions, batch.in_flight) {
                return Err(Abort::Unreadable("batches.instruction_count"));
            }
            totals::add(connection, batch.batch_id, seen.totals())?;
            copy_refused(connection, batch, &seen.refused)?;
            outbox::insert(connection, outbox_rows())?;
            if batch.in_flight == 0 {
                let progress = gctb_events::BatchProgress { batch_id: batch.batch_id, totals_version: 1 };
                outbox::insert(connection, &[OutboxRow::progress(&progress, batch.traceparent)])?;
            }
            fail::fail_point!("intake.commit.before");
            Ok(Intake::Stored)
        })
        .inspect(|_| fail::fail_point!("intake.commit.after"))
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
fn insert_batch(connection: &mut PgConnection, batch: &NewBatch<'_>) -> Result<Option<DateTime<Utc>>, Abort> {
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
    .bind::<Integer, _>(count(batch.instructions)?)
    .bind::<Integer, _>(count(batch.in_flight)?)
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

/// What was seen of a message's instructions while they were copied.
#[derive(Default)]
struct Seen<'a> {
    instructions: usize,
    sums: BTreeMap<(&'static str, PaymentStatus), (i64, i128)>,
    refused: Vec<(Seq, Refusal<'a>)>,
}

impl<'a> Seen<'a> {
    fn add(&mut self, item: &NewInstruction<'a>) {
        self.instructions += 1;
        let currency = item.amount.map_or(NO_CURRENCY, |amount| amount.currency().code());
        let (count, sum) = self.sums.entry((currency, status_of(item))).or_default();
        *count += 1;
        *sum += item.amount.map_or(0, |amount| i128::from(amount.minor()));
        self.refused.extend(item.refusal.map(|refusal| (item.seq, refusal)));
    }

    fn totals(&self) -> impl Iterator<Item = totals::Delta> {
        self.sums.iter().map(|((currency, status), (count, sum))| totals::Delta {
            currency: (*currency).to_owned(),
            status: *status,
            instructions: *count,
            amount_minor: *sum,
        })
    }
}

fn status_of(item: &NewInstruction<'_>) -> PaymentStatus {
    if item.refusal.is_some() { PaymentStatus::Failed } else { PaymentStatus::New }
}

fn copy_instructions<'a>(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    instructions: impl IntoIterator<Item = NewInstruction<'a>>,
    now: DateTime<Utc>,
) -> Result<Seen<'a>, Abort> {
    let mut seen = Seen::default();
    copy_in(
        connection,
        crate::schema::payment_instructions::table,
        crate::schema::payment_instructions::table,
        |rows| {
            for item in instructions {
                write_instruction(rows.row()?, batch, &item, now);
                seen.add(&item);
            }
            Ok(())
        },
    )?;
    Ok(seen)
}

/// The fields in the order of the columns in `schema.rs`.
fn write_instruction(row: &mut Rows<'_>, batch: &NewBatch<'_>, item: &NewInstruction<'_>, now: DateTime<Utc>) {
    let status = status_of(item).code();
    row.uuid(batch.batch_id.as_uuid())
        .integer(item.seq.0)
        .text(item.request_id)
        .bigint(reference_hash(batch.sender_id, item.request_id))
        .time(batch.request_timestamp)
        .text(item.from_fa)
        .text(item.to_fa)
        .bigint_or_null(item.amount.map(Money::minor))
        .text(item.currency)
        .text_or_null(item.amount_text)
        .time_or_null(item.scheduled_at)
        .text_or_null(item.scheduled_text)
        .text_or_null(item.payer_name)
        .text_or_null(item.payee_name)
        .text_or_null(item.purpose)
        .text_or_null(item.note)
        .text_or_null(item.instruction)
        .text_or_null(item.locale)
        .smallint(status)
        .smallint(status)
        .integer(i32::from(item.refusal.is_some()))
        .text_or_null(item.refusal.map(|refusal| refusal.code.as_str()))
        .text_or_null(item.refusal.map(|refusal| refusal.message))
        .time(now);
}

/// The ledger rows of the refused are in the same commit, or somebody would pay them later.
fn copy_refused(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    refused: &[(Seq, Refusal<'_>)],
) -> Result<(), Abort> {
    if refused.is_empty() {
        return Ok(());
    }
    let columns = {
        use crate::schema::payment_ledger::{attempt, batch_id, batch_no, message, reason_code, seq, state, version};
        (batch_id, seq, batch_no, version, state, attempt, reason_code, message)
    };
    copy_in(connection, crate::schema::payment_ledger::table, columns, |rows| {
        for (seq, refusal) in refused {
            rows.row()?
                .uuid(batch.batch_id.as_uuid())
                .integer(seq.0)
                .bigint(batch.batch_no.0)
                .integer(1)
                .smallint(LedgerState::Rejected.code())
                .smallint(0)
                .text(refusal.code.as_str())
                .text(refusal.message);
        }
        Ok(())
    })
}
