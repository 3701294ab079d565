//! Reading the projection: pages of a batch, and look-ups by the sender's references.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use gctb_domain::{BatchId, PaymentStatus, ReasonCode, Seq};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::DbError;
use crate::pool::Db;

/// An instruction as it was sent, and what became of it.
#[derive(Clone, Debug)]
pub struct InstructionRow {
    /// The batch.
    pub batch_id: BatchId,
    /// Position in the batch.
    pub seq: Seq,
    /// The sender's reference.
    pub request_id: String,
    /// The payer.
    pub from_fa: String,
    /// The payee as sent.
    pub to_fa: String,
    /// Minor units, where the amount parsed.
    pub amount_minor: Option<i64>,
    /// The currency as sent, or the default.
    pub currency: String,
    /// The amount as sent, where it did not parse.
    pub amount_text: Option<String>,
    /// Not to be paid before.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// As sent.
    pub payer_name: Option<String>,
    /// As sent.
    pub payee_name: Option<String>,
    /// As sent.
    pub instruction: Option<String>,
    /// As sent.
    pub locale: Option<String>,
    /// What became of it.
    pub status: PaymentStatus,
    /// Version of the ledger row that was folded last.
    pub version: i32,
    /// Who pays it.
    pub backend: Option<String>,
    /// The payment file it is in.
    pub file: Option<String>,
    /// The rail's own reference.
    pub rail_reference: Option<String>,
    /// Why it was rejected.
    pub reason: Option<ReasonCode>,
    /// The rail's code and words, or ours.
    pub message: Option<String>,
    /// When the status last changed.
    pub updated_at: DateTime<Utc>,
    /// Whether it was refused when it came in, so that the first answer said so.
    pub refused_at_intake: bool,
}

/// 64 bits of SHA-256 over sender and reference. Equal hashes are told apart by the reference itself.
pub(crate) fn reference_hash(sender_id: &str, reference: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(sender_id.as_bytes());
    hash.update([0]);
    hash.update(reference.as_bytes());
    let digest = hash.finalize();
    let (first, _) = digest.split_at(8);
    first.iter().fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte))
}

/// A row of [`COLUMNS`], read by position: by name would cost more than Postgres does for a page of 1000.
#[derive(diesel::Queryable)]
struct Row {
    batch_id: Uuid,
    seq: i32,
    request_id: String,
    from_fa: String,
    to_fa: String,
    amount: Option<i64>,
    currency: String,
    amount_text: Option<String>,
    scheduled_at: Option<DateTime<Utc>>,
    payer_name: Option<String>,
    payee_name: Option<String>,
    instruction: Option<String>,
    locale: Option<String>,
    status: i16,
    version: i32,
    backend: Option<String>,
    file: Option<String>,
    rail_reference: Option<String>,
    error_code: Option<String>,
    error_msg: Option<String>,
    updated_at: DateTime<Utc>,
    prev_status: i16,
}

/// The types of [`COLUMNS`].
type Columns = (
    SqlUuid,
    Integer,
    Text,
    Text,
    Text,
    Nullable<BigInt>,
    Text,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    SmallInt,
    Integer,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Timestamptz,
    SmallInt,
);

const COLUMNS: &str =
    "SELECT p.batch_id, p.seq, p.request_id, p.from_fa, p.to_fa, p.amount, p.currency, p.amount_text, p.scheduled_at,
     p.payer_name, p.payee_name, p.instruction, p.locale, p.status, p.version, p.backend, p.file, p.rail_reference,
     p.error_code, p.error_msg, p.updated_at, p.prev_status FROM payment_instructions p";

impl Row {
    fn read(self, doing: &'static str) -> Result<InstructionRow, DbError> {
        Ok(InstructionRow {
            batch_id: BatchId::from_uuid(self.batch_id),
            seq: Seq(self.seq),
            request_id: self.request_id,
            from_fa: self.from_fa,
            to_fa: self.to_fa,
            amount_minor: self.amount,
            currency: self.currency,
            amount_text: self.amount_text,
            scheduled_at: self.scheduled_at,
            payer_name: self.payer_name,
            payee_name: self.payee_name,
            instruction: self.instruction,
            locale: self.locale,
            status: PaymentStatus::from_code(self.status)
                .ok_or(DbError::Unreadable { doing, what: "payment_instructions.status" })?,
            version: self.version,
            backend: self.backend,
            file: self.file,
            rail_reference: self.rail_reference,
            reason: self.error_code.as_deref().and_then(ReasonCode::from_code),
            message: self.error_msg,
            updated_at: self.updated_at,
            // Intake alone writes a status that was never another: every fold keeps the one before it.
            refused_at_intake: self.version == 1 && self.prev_status == PaymentStatus::Failed.code(),
        })
    }
}

impl Db {
    /// Instructions `first .. first + limit` of a batch in the order of the message.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn instructions_page(&self, batch: BatchId, first: Seq, limit: i32) -> Result<Vec<InstructionRow>, DbError> {
        let doing = "read a page of a batch";
        let rows: Vec<Row> = self.with(doing, |connection| {
            sql::<Columns>(COLUMNS)
                .sql(" WHERE p.batch_id = ")
                .bind::<SqlUuid, _>(batch.as_uuid())
                .sql(" AND p.seq >= ")
                .bind::<Integer, _>(first.0)
                .sql(" AND p.seq < ")
                .bind::<Integer, _>(first.0.saturating_add(limit))
                .sql(" ORDER BY p.seq")
                .load(connection)
        })?;
        rows.into_iter().map(|row| row.read(doing)).collect()
    }

    /// How many instructions of a batch were refused when it came in.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn refused_at_intake(&self, batch: BatchId) -> Result<u64, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            refused: i64,
        }
        // The rule of `Row::read`, for the whole batch.
        let count = "SELECT count(*) AS refused FROM payment_instructions
                   WHERE batch_id = $1 AND version = 1 AND prev_status = $2";
        self.with("count what was refused of a batch", |connection| {
            diesel::sql_query(count)
                .bind::<SqlUuid, _>(batch.as_uuid())
                .bind::<SmallInt, _>(PaymentStatus::Failed.code())
                .get_result::<Count>(connection)
                .map(|row| row.refused.unsigned_abs())
        })
    }

    /// The newest instruction of each of a sender's references, in the order asked for; unknown ones are left out.
    ///
    /// Looks through the months from the newest back and stops when all are found.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn instructions_by_reference(
        &self,
        sender_id: &str,
        references: &[&str],
    ) -> Result<Vec<InstructionRow>, DbError> {
        let doing = "look up references";
        let mut wanted: HashSet<&str> = references.iter().copied().collect();
        let mut found: HashMap<String, InstructionRow> = HashMap::with_capacity(wanted.len());
        self.with(doing, |connection| {
            for (from, to) in months(connection)? {
                if wanted.is_empty() {
                    break;
                }
                let hashes: Vec<i64> = wanted.iter().map(|reference| reference_hash(sender_id, reference)).collect();
                for row in references_of_month(connection, sender_id, &hashes, from, to)? {
                    if !wanted.contains(row.request_id.as_str()) {
                        continue;
                    }
                    if let Ok(row) = row.read(doing) {
                        // Rows come newest first: the first of a reference stands.
                        found.entry(row.request_id.clone()).or_insert(row);
                    }
                }
                wanted.retain(|reference| !found.contains_key(*reference));
            }
            Ok(())
        })?;
        let mut asked = HashSet::new();
        Ok(references.iter().filter(|reference| asked.insert(**reference)).filter_map(|r| found.remove(*r)).collect())
    }
}

#[derive(diesel::QueryableByName)]
struct Month {
    #[diesel(sql_type = SqlUuid)]
    first: Uuid,
    #[diesel(sql_type = SqlUuid)]
    next: Uuid,
}

/// The bounds of every monthly partition up to now, newest first.
fn months(connection: &mut PgConnection) -> Result<Vec<(Uuid, Uuid)>, diesel::result::Error> {
    let months = "SELECT gctb_batch_id_floor(month) AS first,
                      gctb_batch_id_floor((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC') AS next
               FROM (SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS month
                     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                     WHERE i.inhparent = 'payment_instructions'::regclass) m
               WHERE month <= now() ORDER BY month DESC";
    let rows: Vec<Month> = diesel::sql_query(months).load(connection)?;
    Ok(rows.into_iter().map(|row| (row.first, row.next)).collect())
}

fn references_of_month(
    connection: &mut PgConnection,
    sender_id: &str,
    hashes: &[i64],
    first: Uuid,
    next: Uuid,
) -> Result<Vec<Row>, diesel::result::Error> {
    sql::<Columns>(COLUMNS)
        .sql(" JOIN batches b ON b.batch_id = p.batch_id WHERE p.batch_id >= ")
        .bind::<SqlUuid, _>(first)
        .sql(" AND p.batch_id < ")
        .bind::<SqlUuid, _>(next)
        .sql(" AND p.ref_hash = ANY(")
        .bind::<Array<BigInt>, _>(hashes)
        .sql(") AND b.sender_id = ")
        .bind::<Text, _>(sender_id)
        .sql(" ORDER BY p.batch_id DESC, p.seq")
        .load(connection)
}
