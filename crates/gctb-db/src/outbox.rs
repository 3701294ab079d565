//! The outbox: what must reach Kafka, written in the commit that it tells of.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Binary, Double, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{ExecuteCopyFromDsl, RunQueryDsl};
use gctb_domain::BatchId;
use gctb_events::{BatchProgress, Headers, InstructionChunk, Outgoing, StatusChunk, Topic, header};
use uuid::Uuid;

use crate::error::DbError;
use crate::pool::{Abort, Db};

/// How long a row that its writer publishes from memory is left alone by the relay, in seconds.
const GRACE_SECONDS: i64 = 5;

/// What a row holds, which decides who deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum OutboxKind {
    /// Instructions: deleted after the delivery report.
    Instructions = 1,
    /// A status chunk: deleted by its fold alone.
    Status = 2,
    /// A batch's progress: deleted after the delivery report.
    Progress = 3,
}

impl OutboxKind {
    /// Whether the row has done its work once Kafka has the message.
    pub const fn ends_with_delivery(self) -> bool {
        match self {
            Self::Instructions | Self::Progress => true,
            Self::Status => false,
        }
    }

    fn from_code(code: i16) -> Option<Self> {
        [Self::Instructions, Self::Status, Self::Progress].into_iter().find(|kind| *kind as i16 == code)
    }
}

/// A row to be written.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// The row's id.
    pub id: Uuid,
    /// What it holds.
    pub kind: OutboxKind,
    /// The batch.
    pub batch_id: BatchId,
    /// The message.
    pub message: Outgoing,
    /// Not before this time. None: the writer publishes it from memory right after the commit.
    pub due_at: Option<DateTime<Utc>>,
}

impl OutboxRow {
    /// A chunk of accepted instructions.
    pub fn instructions(chunk: &InstructionChunk, due_at: Option<DateTime<Utc>>, traceparent: Option<&str>) -> Self {
        let id = Uuid::new_v4();
        let message = Outgoing::new(&Topic::Batches, chunk, id, traceparent);
        Self { id, kind: OutboxKind::Instructions, batch_id: chunk.batch_id, message, due_at }
    }

    /// A chunk of ledger rows.
    pub fn status(chunk: &StatusChunk, traceparent: Option<&str>) -> Self {
        let message = Outgoing::new(&Topic::Status, chunk, chunk.outbox_id, traceparent);
        Self { id: chunk.outbox_id, kind: OutboxKind::Status, batch_id: chunk.batch_id, message, due_at: None }
    }

    /// News that a batch finished, or changed after it had.
    pub fn progress(progress: &BatchProgress, traceparent: Option<&str>) -> Self {
        let id = Uuid::new_v4();
        let message = Outgoing::new(&Topic::Completions, progress, id, traceparent);
        Self { id, kind: OutboxKind::Progress, batch_id: progress.batch_id, message, due_at: None }
    }
}

/// A row that the relay has taken.
#[derive(Clone, Debug)]
pub struct LeasedRow {
    /// The row's id.
    pub id: Uuid,
    /// What it holds.
    pub kind: OutboxKind,
    /// The message.
    pub message: Outgoing,
}

#[derive(diesel::QueryableByName)]
struct Clock {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Inserts rows by COPY.
pub(crate) fn insert(connection: &mut PgConnection, rows: &[OutboxRow]) -> Result<(), Abort> {
    #[derive(diesel::Insertable)]
    #[diesel(table_name = crate::schema::outbox, treat_none_as_default_value = false)]
    struct New<'a> {
        id: Uuid,
        kind: i16,
        batch_id: Uuid,
        topic: &'a str,
        key: &'a str,
        schema: &'a str,
        traceparent: Option<&'a str>,
        payload: &'a [u8],
        due_at: DateTime<Utc>,
    }
    if rows.is_empty() {
        return Ok(());
    }
    // Not the transaction's time: a large intake takes seconds, and its rows would be the relay's before it has committed.
    let now: Clock = diesel::sql_query("SELECT clock_timestamp() AS now").get_result(connection)?;
    let left_alone_until = now.now + chrono::TimeDelta::seconds(GRACE_SECONDS);
    let new: Vec<New<'_>> = rows
        .iter()
        .map(|row| New {
            id: row.id,
            kind: row.kind as i16,
            batch_id: row.batch_id.as_uuid(),
            topic: &row.message.topic,
            key: &row.message.key,
            schema: row.message.headers.get(header::SCHEMA).map_or("", String::as_str),
            traceparent: row.message.headers.get(header::TRACEPARENT).map(String::as_str),
            payload: &row.message.payload,
            due_at: row.due_at.unwrap_or(left_alone_until),
        })
        .collect();
    diesel::copy_from(crate::schema::outbox::table).from_insertable(new).execute(connection)?;
    Ok(())
}

/// Writes the status chunks of ledger rows that were decided in this transaction.
pub(crate) fn insert_status(
    connection: &mut PgConnection,
    batch: BatchId,
    entries: Vec<gctb_events::LedgerEntry>,
    traceparent: Option<&str>,
) -> Result<Vec<OutboxRow>, Abort> {
    let rows: Vec<OutboxRow> =
        StatusChunk::split(batch, entries).iter().map(|chunk| OutboxRow::status(chunk, traceparent)).collect();
    insert(connection, &rows)?;
    Ok(rows)
}

impl Db {
    /// Takes up to `limit` rows that are due and puts off their next emission: after `backoff_seconds`, doubled with each
    /// emission, at most an hour. What the caller does not deliver and delete comes again then.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn lease_outbox(&self, limit: i64, backoff_seconds: u32) -> Result<Vec<LeasedRow>, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = SqlUuid)]
            id: Uuid,
            #[diesel(sql_type = SmallInt)]
            kind: i16,
            #[diesel(sql_type = Text)]
            topic: String,
            #[diesel(sql_type = Text)]
            key: String,
            #[diesel(sql_type = Text)]
            schema: String,
            #[diesel(sql_type = Nullable<Text>)]
            traceparent: Option<String>,
            #[diesel(sql_type = Binary)]
            payload: Vec<u8>,
        }
        let sql =
            "WITH due AS (SELECT id FROM outbox WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
                   UPDATE outbox o
                   SET emissions = least(o.emissions + 1, 1000),
                       due_at = now() + least($2 * power(2, least(o.emissions, 20)), 3600) * interval '1 second'
                   FROM due WHERE o.id = due.id
                   RETURNING o.id, o.kind, o.topic, o.key, o.schema, o.traceparent, o.payload";
        let doing = "take due rows from the outbox";
        let rows: Vec<Row> = self.with(doing, |connection| {
            diesel::sql_query(sql)
                .bind::<BigInt, _>(limit)
                .bind::<Double, _>(f64::from(backoff_seconds))
                .load(connection)
        })?;
        rows.into_iter()
            .map(|row| {
                let mut headers = Headers::from([
                    (header::EVENT_ID.to_owned(), row.id.to_string()),
                    (header::SCHEMA.to_owned(), row.schema),
                ]);
                headers.extend(row.traceparent.map(|traceparent| (header::TRACEPARENT.to_owned(), traceparent)));
                let kind = OutboxKind::from_code(row.kind).ok_or(DbError::Unreadable { doing, what: "outbox.kind" })?;
                let message = Outgoing { topic: row.topic, key: row.key, payload: row.payload, headers };
                Ok(LeasedRow { id: row.id, kind, message })
            })
            .collect()
    }

    /// Deletes rows that have done their work.
    ///
    /// # Errors
    /// Where Postgres refuses; the rows are then sent once more, which does no harm.
    pub fn delete_outbox(&self, ids: &[Uuid]) -> Result<(), DbError> {
        self.with("delete delivered rows from the outbox", |connection| {
            diesel::sql_query("DELETE FROM outbox WHERE id = ANY($1)")
                .bind::<Array<SqlUuid>, _>(ids)
                .execute(connection)
        })?;
        Ok(())
    }

    /// Puts off the next emission of rows that Kafka has: they are due again after `seconds`, unless their fold ends them
    /// before. Rows that are being folded at this moment are left alone.
    ///
    /// # Errors
    /// Where Postgres refuses; the rows are then sent once more, which does no harm.
    pub fn postpone_outbox(&self, ids: &[Uuid], seconds: u32) -> Result<(), DbError> {
        self.with("put off the next emission of delivered outbox rows", |connection| {
            diesel::sql_query(
                "UPDATE outbox SET due_at = now() + $2 * interval '1 second'
                 WHERE id = ANY(ARRAY(SELECT id FROM outbox WHERE id = ANY($1) FOR UPDATE SKIP LOCKED))",
            )
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Double, _>(f64::from(seconds))
            .execute(connection)
        })?;
        Ok(())
    }

    /// Gives leased rows back that Kafka did not take: they are due again after `seconds`, and the emission does not count.
    ///
    /// # Errors
    /// Where Postgres refuses; the rows then wait for the end of their lease.
    pub fn release_outbox(&self, ids: &[Uuid], seconds: u32) -> Result<(), DbError> {
        self.with("give rows back to the outbox", |connection| {
            diesel::sql_query(
                "UPDATE outbox SET due_at = now() + $2 * interval '1 second', emissions = greatest(emissions - 1, 0) WHERE id = ANY($1)",
            )
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Double, _>(f64::from(seconds))
            .execute(connection)
        })?;
        Ok(())
    }

    /// How many rows wait, and how many seconds the most overdue one is late.
    ///
    /// # Errors
    /// Where Postgres cannot be asked.
    pub fn outbox_backlog(&self) -> Result<(i64, i64), DbError> {
        #[derive(diesel::QueryableByName)]
        struct Backlog {
            #[diesel(sql_type = BigInt)]
            rows: i64,
            #[diesel(sql_type = BigInt)]
            late_seconds: i64,
        }
        let sql = "SELECT count(*) AS rows, greatest(0, extract(epoch FROM now() - min(due_at)))::bigint AS late_seconds FROM outbox";
        self.with("measure the outbox", |connection| {
            diesel::sql_query(sql).get_result::<Backlog>(connection).map(|row| (row.rows, row.late_seconds))
        })
    }
}
