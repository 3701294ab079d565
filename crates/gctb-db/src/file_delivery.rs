//! How a closed payment file gets to the bank: once.
//!
//! Who holds a file's row lock acts for it. A put happens only from CLOSED through DELIVERING, which is committed before
//! with the hash of the bytes and the number of the put. A file found in DELIVERING is looked for at the bank and never put
//! by itself again. The number fences a writer that froze in an earlier put: see the file backend's store.

use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, SmallInt, Text, Uuid as SqlUuid};
use gctb_domain::BackendName;
use uuid::Uuid;

use crate::error::DbError;
use crate::operators;
use crate::outgoing_files::{COLUMNS, FileState, IdAndName, OutgoingFile, Row, lock};
use crate::pool::{Abort, Db};

/// What came of trying to put a file, or of looking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The file is at the bank.
    Delivered,
    /// The put failed before anything could be seen: it may be tried again after this many milliseconds.
    NothingSeen {
        /// The back-off.
        retry_after_ms: i64,
    },
    /// Nobody knows whether the bank has it: an operator must say.
    Unclear,
}

/// The number of a put, and of the last one that an operator vouched for not having happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutNumber {
    /// From 1, for each file.
    pub this: i32,
    /// Puts up to this number did not happen, by an operator's word; 0: nobody said so of any.
    pub vouched: i32,
}

/// Whether a put may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It may.
    Begun(PutNumber),
    /// Somebody else acts for the file, or it is not to be put.
    NotOurs,
    /// The bytes are not those of an earlier put: the settings have changed. An operator must look.
    OtherBytes,
}

impl Beginning {
    /// Whether the put may go on.
    pub const fn is_begun(self) -> bool {
        matches!(self, Self::Begun(_))
    }
}

/// What an operator found out about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The bank has it.
    Delivered,
    /// The bank never had it: it is put again, under the same name.
    Absent,
}

impl Db {
    /// Commits that `owner` is about to put a file: from CLOSED to DELIVERING, with the hash of what it will put.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn begin_delivery(
        &self,
        file_id: i64,
        owner: Uuid,
        sha256: &[u8],
        layout_version: i16,
    ) -> Result<Beginning, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Begun {
            #[diesel(sql_type = Integer)]
            put_no: i32,
            #[diesel(sql_type = Integer)]
            puts_vouched: i32,
        }
        self.transaction("begin the delivery of a payment file", |connection| {
            let Some(file) = lock(connection, file_id, false)?.filter(may_be_put) else {
                return Ok(Beginning::NotOurs);
            };
            if file.sha256.as_deref().is_some_and(|earlier| earlier != sha256) {
                record(connection, file_id, PutOutcome::Unclear)?;
                return Ok(Beginning::OtherBytes);
            }
            let begun: Begun = diesel::sql_query(
                "UPDATE outgoing_files SET state = 3, put_no = put_no + 1, delivering_owner = $2, delivering_at = now(),
                        sha256 = $3, layout_version = $4
                 WHERE file_id = $1 RETURNING put_no, puts_vouched",
            )
            .bind::<BigInt, _>(file_id)
            .bind::<SqlUuid, _>(owner)
            .bind::<Binary, _>(sha256)
            .bind::<SmallInt, _>(layout_version)
            .get_result(connection)?;
            fail::fail_point!("file.delivering.before");
            Ok(Beginning::Begun(PutNumber { this: begun.put_no, vouched: begun.puts_vouched }))
        })
        .inspect(|_| fail::fail_point!("file.delivering.after"))
    }

    /// Holds the lock of a file that `owner` began to deliver while `put` runs, and records what came of it.
    /// None where `owner` may not act for it any more. A put that takes longer than `put_max` loses the lock, and the file stays
    /// in DELIVERING.
    ///
    /// # Errors
    /// Where Postgres refuses; the file then stays in DELIVERING.
    pub fn deliver(
        &self,
        file_id: i64,
        owner: Uuid,
        put_max: Duration,
        put: impl FnOnce(&OutgoingFile) -> PutOutcome,
    ) -> Result<Option<PutOutcome>, DbError> {
        self.transaction("deliver a payment file", |connection| {
            // The put runs inside this transaction; a large file over a slow link takes its time.
            // Postgres takes 0 for "no limit".
            let put_max_ms = put_max.as_millis().max(1);
            connection.batch_execute(&format!("SET LOCAL idle_in_transaction_session_timeout = {put_max_ms}"))?;
            // A look of another replica may hold the lock for a moment: wait for it, and then ask whose file it is.
            let Some(file) = lock(connection, file_id, true)? else { return Ok(None) };
            let mine: Flag = diesel::sql_query(
                "SELECT state = 3 AND delivering_owner = $2 AS yes FROM outgoing_files WHERE file_id = $1",
            )
            .bind::<BigInt, _>(file_id)
            .bind::<SqlUuid, _>(owner)
            .get_result(connection)?;
            if !mine.yes {
                return Ok(None);
            }
            let outcome = put(&file);
            record(connection, file_id, outcome)?;
            fail::fail_point!("file.dispatched.before");
            Ok(Some(outcome))
        })
        .inspect(|_| fail::fail_point!("file.dispatched.after"))
    }

    /// Looks for the files of a backend that have been in DELIVERING for `quiet_seconds` and that nobody acts for. What
    /// `look` finds is DISPATCHED; what it does not find waits for an operator, and is looked for again at the next call.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn recover_deliveries(
        &self,
        backend: &BackendName,
        quiet_seconds: i64,
        mut look: impl FnMut(&OutgoingFile) -> PutOutcome,
    ) -> Result<Vec<(String, PutOutcome)>, DbError> {
        let ids: Vec<IdAndName> = self.with("find payment files whose delivery broke off", |connection| {
            diesel::sql_query(
                "SELECT file_id, name FROM outgoing_files
                 WHERE backend = $1 AND state = 3 AND delivering_at <= now() - $2 * interval '1 second' ORDER BY file_id",
            )
            .bind::<Text, _>(backend.as_str())
            .bind::<BigInt, _>(quiet_seconds)
            .load(connection)
        })?;
        let mut outcomes = Vec::new();
        for IdAndName { file_id, name } in ids {
            let outcome = self.transaction("recover the delivery of a payment file", |connection| {
                let Some(file) = lock(connection, file_id, false)?.filter(|file| file.state == FileState::Delivering)
                else {
                    return Ok(None);
                };
                // Somebody may have looked away between the commit of DELIVERING and the put: never put it from here.
                let outcome = match look(&file) {
                    PutOutcome::Delivered => PutOutcome::Delivered,
                    PutOutcome::NothingSeen { .. } | PutOutcome::Unclear => PutOutcome::Unclear,
                };
                record(connection, file_id, outcome)?;
                fail::fail_point!("file.recovered.before");
                Ok(Some(outcome))
            })?;
            fail::fail_point!("file.recovered.after");
            outcomes.extend(outcome.map(|outcome| (name, outcome)));
        }
        Ok(outcomes)
    }

    /// Leaves a closed file to an operator, since it cannot be rendered.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn leave_file_to_operator(&self, file_id: i64) -> Result<(), DbError> {
        self.transaction("leave a payment file to an operator", |connection| {
            record(connection, file_id, PutOutcome::Unclear)?;
            fail::fail_point!("file.left_to_operator.before");
            Ok(())
        })
        .inspect(|()| fail::fail_point!("file.left_to_operator.after"))
    }

    /// Records an operator's word about a file whose delivery is unclear, with the evidence. Nothing happens before
    /// `quarantine_seconds` have passed since the put began: until then a put may still be under way.
    /// None where there is no such file; else the file as it stood, and whether its state allowed the word.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn resolve_file(
        &self,
        name: &str,
        resolution: Resolution,
        actor: &str,
        evidence: &str,
        quarantine_seconds: i64,
        dry_run: bool,
    ) -> Result<Option<(OutgoingFile, bool)>, DbError> {
        self.transaction("record an operator's word about a payment file", |connection| {
            let rows: Vec<Row> =
                diesel::sql_query(format!("SELECT {COLUMNS} FROM outgoing_files WHERE name = $1 FOR UPDATE"))
                    .bind::<Text, _>(name)
                    .load(connection)?;
            let Some(file) = rows.into_iter().next().map(Row::read).transpose()? else { return Ok(None) };
            let quiet: Flag = diesel::sql_query(
                "SELECT state IN (2, 3) AND needs_operator_since IS NOT NULL
                        AND coalesce(delivering_at + $2 * interval '1 second' <= now(), true) AS yes
                 FROM outgoing_files WHERE file_id = $1",
            )
            .bind::<BigInt, _>(file.file_id)
            .bind::<BigInt, _>(quarantine_seconds)
            .get_result(connection)?;
            let makes_sense = match resolution {
                // What nobody tried to put and nothing was paid of is not there: its payments would wait for ever.
                Resolution::Delivered => file.delivering_at.is_some() || file.answered_count > 0,
                // What was answered was there: nobody may send it again.
                Resolution::Absent => file.answered_count == 0,
            };
            let allowed = quiet.yes && makes_sense && !evidence.trim().is_empty();
            if allowed && !dry_run {
                obey(connection, &file, resolution)?;
                let word = match resolution {
                    Resolution::Delivered => "files resolve --delivered",
                    Resolution::Absent => "files resolve --absent",
                };
                operators::record(connection, actor, word, name, evidence)?;
            }
            Ok(Some((file, allowed)))
        })
    }
}

fn may_be_put(file: &OutgoingFile) -> bool {
    file.state == FileState::Closed && file.needs_operator_since.is_none() && file.answered_count == 0
}

fn obey(connection: &mut PgConnection, file: &OutgoingFile, resolution: Resolution) -> Result<(), Abort> {
    match resolution {
        Resolution::Delivered => record(connection, file.file_id, PutOutcome::Delivered),
        Resolution::Absent => {
            record(connection, file.file_id, PutOutcome::NothingSeen { retry_after_ms: 0 })?;
            // The bank never had its bytes, so they may be rendered anew; and the earlier puts are vouched for.
            diesel::sql_query("UPDATE outgoing_files SET puts_vouched = put_no, sha256 = NULL WHERE file_id = $1")
                .bind::<BigInt, _>(file.file_id)
                .execute(connection)?;
            Ok(())
        }
    }
}

#[derive(diesel::QueryableByName)]
struct Flag {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

fn record(connection: &mut PgConnection, file_id: i64, outcome: PutOutcome) -> Result<(), Abort> {
    let (sql, retry_after_ms) = match outcome {
        PutOutcome::Delivered => (
            "UPDATE outgoing_files SET state = CASE WHEN answered_count >= line_count THEN 5 ELSE 4 END,
                    dispatched_at = coalesce(dispatched_at, now()), needs_operator_since = NULL
             WHERE file_id = $1 AND $2 IS NOT NULL",
            0,
        ),
        PutOutcome::NothingSeen { retry_after_ms } => (
            "UPDATE outgoing_files SET state = 2, delivering_owner = NULL, needs_operator_since = NULL,
                    retry_at = now() + $2 * interval '1 millisecond'
             WHERE file_id = $1",
            retry_after_ms,
        ),
        PutOutcome::Unclear => (
            "UPDATE outgoing_files SET needs_operator_since = coalesce(needs_operator_since, now())
             WHERE file_id = $1 AND $2 IS NOT NULL",
            0,
        ),
    };
    diesel::sql_query(sql).bind::<BigInt, _>(file_id).bind::<BigInt, _>(retry_after_ms).execute(connection)?;
    Ok(())
}
