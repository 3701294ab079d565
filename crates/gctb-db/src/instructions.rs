//! Reading the projection: pages of a batch, and look-ups by the sender's references.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
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

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    batch_id: Uuid,
    #[diesel(sql_type = Integer)]
    seq: i32,
    #[diesel(sql_type = Text)]
    request_id: String,
    #[diesel(sql_type = Text)]
    from_fa: String,
    #[diesel(sql_type = Text)]
    to_fa: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    amount: Option<i64>,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Nullable<Text>)]
    amount_text: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    scheduled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    payer_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    payee_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    instruction: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    locale: Option<String>,
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Nullable<Text>)]
    backend: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    file: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    rail_reference: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    error_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    error_msg: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = SmallInt)]
    prev_status: i16,
}

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
            diesel::sql_query(format!("{COLUMNS} WHERE p.batch_id = $1 AND p.seq >= $2 AND p.seq < $3 ORDER BY p.seq"))
                .bind::<SqlUuid, _>(batch.as_uuid())
                .bind::<Integer, _>(first.0)
                .bind::<Integer, _>(first.0.saturating_add(limit))
                .load(connection)
        })?;
        rows.into_iter().map(|row| row.read(doing)).collect()
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
    let sql = "SELECT gctb_batch_id_floor(month) AS first,
                      gctb_batch_id_floor((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC') AS next
               FROM (SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS month
                     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                     WHERE i.inhparent = 'payment_instructions'::regclass) m
               WHERE month <= now() ORDER BY month DESC";
    let rows: Vec<Month> = diesel::sql_query(sql).load(connection)?;
    Ok(rows.into_iter().map(|row| (row.first, row.next)).collect())
}

fn references_of_month(
    connection: &mut PgConnection,
    sender_id: &str,
    hashes: &[i64],
    first: Uuid,
    next: Uuid,
) -> Result<Vec<Row>, diesel::result::Error> {
    diesel::sql_query(format!(
        "{COLUMNS} JOIN batches b ON b.batch_id = p.batch_id
         WHERE p.batch_id >= $1 AND p.batch_id < $2 AND p.ref_hash = ANY($3) AND b.sender_id = $4
         ORDER BY p.batch_id DESC, p.seq"
    ))
    .bind::<SqlUuid, _>(first)
    .bind::<SqlUuid, _>(next)
    .bind::<Array<BigInt>, _>(hashes)
    .bind::<Text, _>(sender_id)
    .load(connection)
}
