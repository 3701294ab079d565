//! Payment files: opened by a claim, closed with count and sum, and the lists of those that somebody must look at.
//! How a closed file gets to the bank stands in `file_delivery.rs`.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Binary, Date, Integer, Nullable, SmallInt, Text, Timestamptz};
use gctb_domain::{BackendName, BatchNo, Currency, Money, RailKey, Seq};

use crate::claim::FileGroup;
use crate::error::DbError;
use crate::pool::{Abort, Db};

/// Where a payment file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum FileState {
    /// Claims fill it.
    Open = 1,
    /// Counted and summed; nothing is added any more.
    Closed = 2,
    /// A put may be under way, or may have happened.
    Delivering = 3,
    /// Known to be at the bank.
    Dispatched = 4,
    /// Every line is final.
    Answered = 5,
    /// Closed without a line.
    Void = 6,
}

impl FileState {
    const ALL: [Self; 6] = [Self::Open, Self::Closed, Self::Delivering, Self::Dispatched, Self::Answered, Self::Void];

    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i16 == code)
    }

    /// The name that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Delivering => "DELIVERING",
            Self::Dispatched => "DISPATCHED",
            Self::Answered => "ANSWERED",
            Self::Void => "VOID",
        }
    }
}

/// A payment file.
#[derive(Clone, Debug)]
pub struct OutgoingFile {
    /// Its number.
    pub file_id: i64,
    /// Its name.
    pub name: String,
    /// The payer's account that is debited.
    pub payer_fa: String,
    /// The currency of its lines.
    pub currency: String,
    /// Where it stands.
    pub state: FileState,
    /// The day on which the bank shall pay.
    pub execution_date: Option<NaiveDate>,
    /// Lines, counted by the close.
    pub line_count: i32,
    /// Their sum in minor units.
    pub amount_minor: i128,
    /// Of the rendered bytes.
    pub sha256: Option<Vec<u8>>,
    /// How many lines are final.
    pub answered_count: i32,
    /// When it was known to be at the bank.
    pub dispatched_at: Option<DateTime<Utc>>,
    /// When a put of it began.
    pub delivering_at: Option<DateTime<Utc>>,
    /// Since when an operator must look at it.
    pub needs_operator_since: Option<DateTime<Utc>>,
}

/// One line of a payment file, as the ledger has it.
#[derive(Clone, Debug)]
pub struct PaymentLine {
    /// The key under which the bank knows it.
    pub rail_key: RailKey,
    /// Payee's address.
    pub resolved_fa: String,
    /// Payee's name.
    pub payee_name: String,
    /// How much.
    pub amount: Money,
    /// For the payee's statement.
    pub narrative: String,
}

#[derive(diesel::QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = BigInt)]
    file_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    payer_fa: String,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = Nullable<Date>)]
    execution_date: Option<NaiveDate>,
    #[diesel(sql_type = Integer)]
    line_count: i32,
    #[diesel(sql_type = Text)]
    amount_minor: String,
    #[diesel(sql_type = Nullable<Binary>)]
    sha256: Option<Vec<u8>>,
    #[diesel(sql_type = Integer)]
    answered_count: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    dispatched_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    delivering_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    needs_operator_since: Option<DateTime<Utc>>,
}

pub(crate) const COLUMNS: &str = "file_id, name, payer_fa, currency, state, execution_date, coalesce(line_count, 0) AS line_count,
     coalesce(amount_minor, 0)::text AS amount_minor, sha256, answered_count, dispatched_at, delivering_at, needs_operator_since";

impl Row {
    pub(crate) fn read(self) -> Result<OutgoingFile, Abort> {
        Ok(OutgoingFile {
            file_id: self.file_id,
            name: self.name,
            payer_fa: self.payer_fa,
            currency: self.currency,
            state: FileState::from_code(self.state).ok_or(Abort::Unreadable("outgoing_files.state"))?,
            execution_date: self.execution_date,
            line_count: self.line_count,
            amount_minor: self.amount_minor.parse().map_err(|_| Abort::Unreadable("outgoing_files.amount_minor"))?,
            sha256: self.sha256,
            answered_count: self.answered_count,
            dispatched_at: self.dispatched_at,
            delivering_at: self.delivering_at,
            needs_operator_since: self.needs_operator_since,
        })
    }
}

#[derive(diesel::QueryableByName)]
pub(crate) struct IdAndName {
    #[diesel(sql_type = BigInt)]
    pub(crate) file_id: i64,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
}

/// Share-locks those of `ids` that are open, in order; a close waits for the lock, or has happened.
pub(crate) fn share_lock_open(connection: &mut PgConnection, ids: &[i64]) -> Result<HashMap<i64, String>, Abort> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<IdAndName> = diesel::sql_query(
        "SELECT file_id, name FROM outgoing_files WHERE file_id = ANY($1) AND state = 1 ORDER BY file_id FOR SHARE",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(connection)?;
    Ok(rows.into_iter().map(|row| (row.file_id, row.name)).collect())
}

/// Opens a file.
pub(crate) fn open(
    connection: &mut PgConnection,
    backend: &BackendName,
    group: &FileGroup,
    close_after_ms: i64,
) -> Result<(i64, String), Abort> {
    let row: IdAndName = diesel::sql_query(
        "INSERT INTO outgoing_files (file_id, name, backend, payer_fa, currency, close_due_at)
         OVERRIDING SYSTEM VALUE
         SELECT id, format('gctb_%s_%s_%s.csv', $1, to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'), lpad(id::text, 6, '0')),
                $1, $2, $3, now() + $4 * interval '1 millisecond'
         FROM nextval(pg_get_serial_sequence('outgoing_files', 'file_id')) AS id
         RETURNING file_id, name",
    )
    .bind::<Text, _>(backend.as_str())
    .bind::<Text, _>(&group.payer_fa)
    .bind::<Text, _>(&group.currency)
    .bind::<BigInt, _>(close_after_ms)
    .get_result(connection)?;
    Ok((row.file_id, row.name))
}

pub(crate) fn lock(connection: &mut PgConnection, file_id: i64, wait: bool) -> Result<Option<OutgoingFile>, Abort> {
    let how = if wait { "FOR UPDATE" } else { "FOR UPDATE SKIP LOCKED" };
    let rows: Vec<Row> = diesel::sql_query(format!("SELECT {COLUMNS} FROM outgoing_files WHERE file_id = $1 {how}"))
        .bind::<BigInt, _>(file_id)
        .load(connection)?;
    rows.into_iter().next().map(Row::read).transpose()
}

impl Db {
    /// The open files of a backend whose time is up.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn files_due_to_close(&self, backend: &BackendName) -> Result<Vec<i64>, DbError> {
        let rows: Vec<IdAndName> = self.with("find payment files that are due to close", |connection| {
            diesel::sql_query(
                "SELECT file_id, name FROM outgoing_files WHERE backend = $1 AND state = 1 AND close_due_at <= now() ORDER BY file_id",
            )
            .bind::<Text, _>(backend.as_str())
            .load(connection)
        })?;
        Ok(rows.into_iter().map(|row| row.file_id).collect())
    }

    /// Closes an open file: waits for the claims that fill it, then stores count and sum. True if this call closed it.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn close_file(&self, file_id: i64) -> Result<bool, DbError> {
        self.transaction("close a payment file", |connection| {
            // A claimer that is frozen in the middle keeps its file open; the others do not wait for it.
            connection.batch_execute("SET LOCAL lock_timeout = '2s'")?;
            if lock(connection, file_id, true)?.is_none_or(|file| file.state != FileState::Open) {
                return Ok(false);
            }
            // A statement of its own: its snapshot is younger than the lock, so it counts every claim.
            diesel::sql_query(
                "UPDATE outgoing_files SET closed_at = now(), execution_date = (now() AT TIME ZONE 'UTC')::date,
                        line_count = l.lines, amount_minor = l.amount, state = CASE WHEN l.lines = 0 THEN 6 ELSE 2 END
                 FROM (SELECT count(*)::integer AS lines, coalesce(sum(amount), 0) AS amount FROM payment_ledger WHERE file_id = $1) l
                 WHERE outgoing_files.file_id = $1",
            )
            .bind::<BigInt, _>(file_id)
            .execute(connection)?;
            fail::fail_point!("file.close.before");
            Ok(true)
        })
        .inspect(|_| fail::fail_point!("file.close.after"))
    }

    /// The closed files of a backend that may be put now.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn files_to_deliver(&self, backend: &BackendName) -> Result<Vec<OutgoingFile>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outgoing_files
             WHERE backend = $1 AND state = 2 AND needs_operator_since IS NULL AND answered_count = 0
               AND (retry_at IS NULL OR retry_at <= now()) ORDER BY file_id"
        );
        self.transaction("find payment files to deliver", |connection| {
            let rows: Vec<Row> = diesel::sql_query(sql).bind::<Text, _>(backend.as_str()).load(connection)?;
            rows.into_iter().map(Row::read).collect()
        })
    }

    /// The lines of a file in their fixed order.
    ///
    /// # Errors
    /// Where Postgres refuses, or a row cannot be a line.
    pub fn payment_lines(&self, file_id: i64) -> Result<Vec<PaymentLine>, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Line {
            #[diesel(sql_type = BigInt)]
            batch_no: i64,
            #[diesel(sql_type = Integer)]
            seq: i32,
            #[diesel(sql_type = SmallInt)]
            attempt: i16,
            #[diesel(sql_type = Text)]
            resolved_fa: String,
            #[diesel(sql_type = Text)]
            payee_name: String,
            #[diesel(sql_type = BigInt)]
            amount: i64,
            #[diesel(sql_type = Text)]
            currency: String,
            #[diesel(sql_type = Text)]
            narrative: String,
        }
        let read = |line: Line| {
            let unreadable = Abort::Unreadable;
            let currency = Currency::parse(&line.currency).map_err(|_| unreadable("payment_ledger.currency"))?;
            Ok(PaymentLine {
                rail_key: RailKey::new(BatchNo(line.batch_no), Seq(line.seq), line.attempt)
                    .map_err(|_| unreadable("payment_ledger's rail key"))?,
                resolved_fa: line.resolved_fa,
                payee_name: line.payee_name,
                amount: Money::from_minor(line.amount, currency).map_err(|_| unreadable("payment_ledger.amount"))?,
                narrative: line.narrative,
            })
        };
        self.transaction("read the lines of a payment file", |connection| {
            let rows: Vec<Line> = diesel::sql_query(
                "SELECT batch_no, seq, attempt, resolved_fa, coalesce(payee_name, '') AS payee_name, amount, currency,
                        coalesce(narrative, '') AS narrative
                 FROM payment_ledger WHERE file_id = $1 ORDER BY batch_id, seq",
            )
            .bind::<BigInt, _>(file_id)
            .load(connection)?;
            rows.into_iter().map(read).collect()
        })
    }

    /// The files that are at the bank for more than `hours` and not wholly answered, those that were opened before that
    /// and are not at the bank, and those that wait for an operator; of every backend, also of one that runs no more.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn overdue_files(&self, hours: i64) -> Result<Vec<OutgoingFile>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outgoing_files
             WHERE (state = 4 AND dispatched_at < now() - $1 * interval '1 hour')
                OR (state IN (1, 2, 3) AND opened_at < now() - $1 * interval '1 hour')
                OR (state IN (1, 2, 3, 4) AND needs_operator_since IS NOT NULL) ORDER BY file_id"
        );
        self.transaction("list overdue payment files", |connection| {
            let rows: Vec<Row> = diesel::sql_query(sql).bind::<BigInt, _>(hours).load(connection)?;
            rows.into_iter().map(Row::read).collect()
        })
    }

    /// How many files of a backend stand in each state that is not the end, and how many wait for an operator.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn file_counts(&self, backend: &BackendName) -> Result<(Vec<(FileState, i64)>, i64), DbError> {
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = SmallInt)]
            state: i16,
            #[diesel(sql_type = BigInt)]
            files: i64,
            #[diesel(sql_type = BigInt)]
            operator: i64,
        }
        let rows: Vec<Count> = self.with("count payment files", |connection| {
            diesel::sql_query(
                "SELECT state, count(*) AS files, count(needs_operator_since) AS operator FROM outgoing_files
                 WHERE backend = $1 AND state IN (1, 2, 3, 4) GROUP BY state",
            )
            .bind::<Text, _>(backend.as_str())
            .load(connection)
        })?;
        let operator = rows.iter().map(|row| row.operator).sum();
        Ok((rows.iter().filter_map(|row| Some((FileState::from_code(row.state)?, row.files))).collect(), operator))
    }
}
