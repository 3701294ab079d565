//! What people must look at: contradictions in the ledger, and lines of response files that could not be believed.

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use gctb_domain::{BatchId, LedgerState};
use uuid::Uuid;

use crate::error::DbError;
use crate::pool::{Abort, Db};
use crate::settle::LineException;

/// A contradiction between final answers.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct ConflictRow {
    /// Its number.
    #[diesel(sql_type = BigInt)]
    pub conflict_id: i64,
    /// The batch.
    #[diesel(sql_type = SqlUuid)]
    pub batch_id: Uuid,
    /// Position in the batch.
    #[diesel(sql_type = Integer)]
    pub seq: i32,
    /// What the ledger said, by number.
    #[diesel(sql_type = SmallInt)]
    pub before_state: i16,
    /// What it says now, by number.
    #[diesel(sql_type = SmallInt)]
    pub after_state: i16,
    /// A sentence about it.
    #[diesel(sql_type = Text)]
    pub detail: String,
    /// The rail's reference of the news.
    #[diesel(sql_type = Nullable<Text>)]
    pub rail_reference: Option<String>,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub recorded_at: DateTime<Utc>,
}

/// A line of a response file that could not be believed.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct ExceptionRow {
    /// The response file.
    #[diesel(sql_type = Text)]
    pub file: String,
    /// The line in it.
    #[diesel(sql_type = Integer)]
    pub line_no: i32,
    /// A word for what is wrong.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// A sentence about it.
    #[diesel(sql_type = Text)]
    pub detail: String,
    /// The reference as the bank gave it.
    #[diesel(sql_type = Text)]
    pub payment_ref: String,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub recorded_at: DateTime<Utc>,
}

/// A contradiction to be recorded.
pub(crate) struct NewConflict {
    pub(crate) batch: BatchId,
    pub(crate) seq: i32,
    pub(crate) version: i32,
    pub(crate) before: LedgerState,
    pub(crate) after: LedgerState,
    pub(crate) detail: String,
    pub(crate) rail_reference: Option<String>,
}

pub(crate) fn insert_conflicts(connection: &mut PgConnection, conflicts: &[NewConflict]) -> Result<(), Abort> {
    for conflict in conflicts {
        diesel::sql_query(
            "INSERT INTO ledger_conflicts (batch_id, seq, ledger_version, before_state, after_state, detail, rail_reference)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind::<SqlUuid, _>(conflict.batch.as_uuid())
        .bind::<Integer, _>(conflict.seq)
        .bind::<Integer, _>(conflict.version)
        .bind::<SmallInt, _>(conflict.before.code())
        .bind::<SmallInt, _>(conflict.after.code())
        .bind::<Text, _>(&conflict.detail)
        .bind::<Nullable<Text>, _>(conflict.rail_reference.as_deref())
        .execute(connection)?;
    }
    Ok(())
}

pub(crate) fn insert_exceptions(
    connection: &mut PgConnection,
    incoming_id: i64,
    exceptions: &[LineException],
) -> Result<(), Abort> {
    if exceptions.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO file_exceptions (incoming_id, line_no, kind, detail, payment_ref, batch_id, seq)
         SELECT $1, e.* FROM unnest($2, $3, $4, $5, $6, $7) AS e ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(incoming_id)
    .bind::<Array<Integer>, _>(exceptions.iter().map(|e| e.line_no).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(exceptions.iter().map(|e| e.kind).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(exceptions.iter().map(|e| e.detail.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(exceptions.iter().map(|e| e.payment_ref.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(
        exceptions.iter().map(|e| e.instruction.map(|id| id.batch.as_uuid())).collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Integer>>, _>(
        exceptions.iter().map(|e| e.instruction.map(|id| id.seq.0)).collect::<Vec<_>>(),
    )
    .execute(connection)?;
    Ok(())
}

impl Db {
    /// The contradictions, newest first.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn conflicts(&self, limit: i64) -> Result<Vec<ConflictRow>, DbError> {
        self.with("list the ledger's conflicts", |connection| {
            diesel::sql_query(
                "SELECT conflict_id, batch_id, seq, before_state, after_state, detail, rail_reference, recorded_at
                 FROM ledger_conflicts ORDER BY conflict_id DESC LIMIT $1",
            )
            .bind::<BigInt, _>(limit)
            .load(connection)
        })
    }

    /// The lines that could not be believed, newest first.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn exceptions(&self, limit: i64) -> Result<Vec<ExceptionRow>, DbError> {
        self.with("list the exceptions of response files", |connection| {
            diesel::sql_query(
                "SELECT i.name AS file, e.line_no, e.kind, e.detail, e.payment_ref, e.recorded_at
                 FROM file_exceptions e JOIN incoming_files i USING (incoming_id)
                 ORDER BY e.incoming_id DESC, e.line_no LIMIT $1",
            )
            .bind::<BigInt, _>(limit)
            .load(connection)
        })
    }
}
