//! What a rail said and nobody believed, kept for a person; and what callbacks need to find the batch that they speak of.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use gctb_domain::{BackendName, BatchId, BatchNo, Seq};
use uuid::Uuid;

use crate::error::DbError;
use crate::pool::{Abort, Db};

/// Longest body that is kept, in characters.
const BODY_CHARS_MAX: usize = 4_096;
/// Longest sentence about it, in characters.
const DETAIL_CHARS_MAX: usize = 500;
/// Longest key that is kept, in characters; ours have 12.
const KEY_CHARS_MAX: usize = 64;

/// Something that a rail said and nobody believes.
#[derive(Clone, Debug)]
pub struct NewException {
    /// A word for what is wrong.
    pub kind: &'static str,
    /// A sentence about it.
    pub detail: String,
    /// The key as the rail gave it.
    pub rail_key: Option<String>,
    /// The instruction, where the key names one.
    pub instruction: Option<(BatchId, Seq)>,
    /// What came; it may hold personal data and is shown to nobody but operators. Cut at 4096 characters.
    pub body: Option<String>,
}

/// Something that a rail said and nobody believed, as it was kept.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct RailException {
    /// Its number.
    #[diesel(sql_type = BigInt)]
    pub exception_id: i64,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub recorded_at: DateTime<Utc>,
    /// The backend that heard it.
    #[diesel(sql_type = Text)]
    pub backend: String,
    /// A word for what is wrong.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// A sentence about it.
    #[diesel(sql_type = Text)]
    pub detail: String,
    /// The key as the rail gave it.
    #[diesel(sql_type = Nullable<Text>)]
    pub rail_key: Option<String>,
    /// Who sent the batch that the key names, if it names one.
    #[diesel(sql_type = Nullable<Text>)]
    pub sender_id: Option<String>,
    /// In which transaction.
    #[diesel(sql_type = Nullable<Text>)]
    pub transaction_id: Option<String>,
    /// Under which reference, where that batch has such an instruction.
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
    /// What came, where it was asked for and anything did. It may hold personal data.
    #[diesel(sql_type = Nullable<Text>)]
    pub body: Option<String>,
}

impl Db {
    /// What rails said and nobody believed, newest first, at most `limit`: of one backend, or of all. What came is read only
    /// `with_bodies`, since it may hold personal data.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn rail_exceptions(
        &self,
        backend: Option<&BackendName>,
        limit: i64,
        with_bodies: bool,
    ) -> Result<Vec<RailException>, DbError> {
        self.with("list what rails said and nobody believed", |connection| {
            // The newest first of all: then no more than those are looked up among the instructions of years.
            diesel::sql_query(
                "SELECT e.*, b.sender_id, b.transaction_id, p.request_id
                 FROM (SELECT exception_id, recorded_at, backend, kind, detail, rail_key, batch_id, seq,
                              CASE WHEN $3 THEN body END AS body
                       FROM rail_exceptions WHERE $1 IS NULL OR backend = $1
                       ORDER BY exception_id DESC LIMIT $2) e
                 LEFT JOIN batches b ON b.batch_id = e.batch_id
                 LEFT JOIN payment_instructions p ON p.batch_id = e.batch_id AND p.seq = e.seq
                 ORDER BY e.exception_id DESC",
            )
            .bind::<Nullable<Text>, _>(backend.map(BackendName::as_str))
            .bind::<BigInt, _>(limit)
            .bind::<Bool, _>(with_bodies)
            .load(connection)
        })
    }

    /// Keeps what nobody believes, in one commit.
    ///
    /// # Errors
    /// Where Postgres refuses; nothing is kept then.
    pub fn keep_exceptions(&self, backend: &BackendName, exceptions: &[NewException]) -> Result<(), DbError> {
        self.transaction("keep what a rail said and nobody believes", |connection| {
            insert(connection, backend, exceptions)
        })
    }

    /// The batches of these numbers. A number that no batch has is left out.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn batches_by_no(&self, numbers: &[BatchNo]) -> Result<HashMap<BatchNo, BatchId>, DbError> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            batch_no: i64,
            #[diesel(sql_type = SqlUuid)]
            batch_id: Uuid,
        }
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        let numbers: Vec<i64> = numbers.iter().map(|number| number.0).collect();
        let rows: Vec<Row> = self.with("look up batches by their numbers", |connection| {
            diesel::sql_query("SELECT batch_no, batch_id FROM batches WHERE batch_no = ANY($1)")
                .bind::<Array<BigInt>, _>(numbers)
                .load(connection)
        })?;
        Ok(rows.into_iter().map(|row| (BatchNo(row.batch_no), BatchId::from_uuid(row.batch_id))).collect())
    }
}

pub(super) fn insert(
    connection: &mut PgConnection,
    backend: &BackendName,
    exceptions: &[NewException],
) -> Result<(), Abort> {
    if exceptions.is_empty() {
        return Ok(());
    }
    let each = || exceptions.iter();
    let text = |text: &Option<String>, chars| text.as_deref().map(|text| cut(text, chars));
    diesel::sql_query(
        "INSERT INTO rail_exceptions (backend, kind, detail, rail_key, batch_id, seq, body)
         SELECT $1, e.* FROM unnest($2, $3, $4, $5, $6, $7) AS e",
    )
    .bind::<Text, _>(backend.as_str())
    .bind::<Array<Text>, _>(each().map(|exception| exception.kind).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(each().map(|exception| cut(&exception.detail, DETAIL_CHARS_MAX)).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(
        each().map(|exception| text(&exception.rail_key, KEY_CHARS_MAX)).collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<SqlUuid>>, _>(
        each().map(|exception| exception.instruction.map(|(batch, _)| batch.as_uuid())).collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Integer>>, _>(
        each().map(|exception| exception.instruction.map(|(_, seq)| seq.0)).collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Text>>, _>(each().map(|exception| text(&exception.body, BODY_CHARS_MAX)).collect::<Vec<_>>())
    .execute(connection)?;
    Ok(())
}

/// At most so many characters, without the one that Postgres takes in no text.
fn cut(text: &str, chars: usize) -> String {
    text.chars().filter(|letter| *letter != '\0').take(chars).collect()
}
