//! Response files: each content is read once, line by line, and where it broke off it goes on.

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Binary, Integer, SmallInt, Text};
use gctb_domain::BackendName;

use crate::conflicts;
use crate::error::DbError;
use crate::pool::Db;
use crate::settle::LineException;

/// Where a response file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum IncomingState {
    /// Found; some of its lines may be recorded.
    New = 1,
    /// Every line is recorded.
    Processed = 2,
    /// Its structure is wrong: nothing of it was used.
    SetAside = 3,
}

/// A response file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingFile {
    /// Its number.
    pub incoming_id: i64,
    /// Where it stands.
    pub state: IncomingState,
    /// How many of its lines are recorded.
    pub lines_done: i32,
}

/// Whether the content was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Not before.
    New(IncomingFile),
    /// It was: go on where it broke off, or leave it.
    Known(IncomingFile),
}

impl Db {
    /// Registers a response file by the hash of its content.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn register_incoming(
        &self,
        backend: &BackendName,
        name: &str,
        sha256: &[u8],
        size_bytes: i64,
    ) -> Result<Registration, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            incoming_id: i64,
            #[diesel(sql_type = SmallInt)]
            state: i16,
            #[diesel(sql_type = Integer)]
            lines_done: i32,
        }
        let doing = "register a response file";
        fail::fail_point!("answers.registered.before");
        let (new, row) = self.with(doing, |connection| {
            let inserted: Vec<Row> = diesel::sql_query(
                "INSERT INTO incoming_files (backend, name, sha256, size_bytes) VALUES ($1, $2, $3, $4)
                 ON CONFLICT DO NOTHING RETURNING incoming_id, state, lines_done",
            )
            .bind::<Text, _>(backend.as_str())
            .bind::<Text, _>(name)
            .bind::<Binary, _>(sha256)
            .bind::<BigInt, _>(size_bytes)
            .load(connection)?;
            if let Some(row) = inserted.into_iter().next() {
                return Ok((true, row));
            }
            diesel::sql_query(
                "SELECT incoming_id, state, lines_done FROM incoming_files WHERE backend = $1 AND sha256 = $2",
            )
            .bind::<Text, _>(backend.as_str())
            .bind::<Binary, _>(sha256)
            .get_result(connection)
            .map(|row| (false, row))
        })?;
        fail::fail_point!("answers.registered.after");
        let state = match row.state {
            1 => IncomingState::New,
            2 => IncomingState::Processed,
            3 => IncomingState::SetAside,
            _ => return Err(DbError::Unreadable { doing, what: "incoming_files.state" }),
        };
        let file = IncomingFile { incoming_id: row.incoming_id, state, lines_done: row.lines_done };
        Ok(if new { Registration::New(file) } else { Registration::Known(file) })
    }

    /// Sets a response file of the wrong structure aside. It is an exception at the line where it went wrong, so that it
    /// stands in the operators' list.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn set_incoming_aside(&self, incoming_id: i64, line_no: i32, problem: &str) -> Result<(), DbError> {
        self.transaction("set a response file aside", |connection| {
            let set_aside = diesel::sql_query(
                "UPDATE incoming_files SET state = 3, problem = $2, processed_at = now() WHERE incoming_id = $1 AND state = 1",
            )
            .bind::<BigInt, _>(incoming_id)
            .bind::<Text, _>(problem)
            .execute(connection)?;
            if set_aside == 1 {
                let detail = format!("the whole file was set aside: {problem}");
                let exception =
                    LineException { line_no, kind: "file_set_aside", detail, payment_ref: String::new(), instruction: None };
                conflicts::insert_exceptions(connection, incoming_id, &[exception])?;
            }
            fail::fail_point!("answers.set_aside.before");
            Ok(())
        })
        .inspect(|()| fail::fail_point!("answers.set_aside.after"))
    }

    /// Records that every line of a response file is recorded. False where that is not so: another replica is at it.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn finish_incoming(&self, incoming_id: i64, line_count: i32) -> Result<bool, DbError> {
        fail::fail_point!("answers.finished.before");
        let finished = self.with("finish a response file", |connection| {
            diesel::sql_query(
                "UPDATE incoming_files SET state = 2, line_count = $2, processed_at = coalesce(processed_at, now())
                 WHERE incoming_id = $1 AND state IN (1, 2) AND lines_done = $2",
            )
            .bind::<BigInt, _>(incoming_id)
            .bind::<Integer, _>(line_count)
            .execute(connection)
        })?;
        fail::fail_point!("answers.finished.after");
        Ok(finished == 1)
    }
}
