//! `ledger_work`: what needs attention later, one row for many instructions.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};
use gctb_domain::{BackendName, BatchId};
use uuid::Uuid;

use crate::pool::Abort;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub(super) enum WorkKind {
    /// Calls are under way; it comes due when their owner's lease is over.
    Window = 1,
    /// The rail is asked.
    Ask = 2,
    /// It is sent again under the same key.
    Send = 3,
    /// Another attempt begins.
    Retry = 4,
    /// A person decides.
    Operator = 5,
    /// What was prepared is made impossible.
    Fence = 6,
}

impl WorkKind {
    pub(super) fn from_code(code: i16) -> Result<Self, Abort> {
        let all = [Self::Window, Self::Ask, Self::Send, Self::Retry, Self::Operator, Self::Fence];
        all.into_iter().find(|kind| *kind as i16 == code).ok_or(Abort::Unreadable("ledger_work.kind"))
    }
}

/// Milliseconds as Postgres takes them.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Writes a row, due after `after`, and gives its id.
pub(super) fn insert(
    connection: &mut PgConnection,
    backend: &BackendName,
    kind: WorkKind,
    after: Duration,
    owner: Option<Uuid>,
    batch: BatchId,
    seqs: &[i32],
) -> Result<Uuid, Abort> {
    let id = Uuid::now_v7();
    diesel::sql_query(
        "INSERT INTO ledger_work (work_id, backend, kind, due_at, owner, batch_id, seqs)
         VALUES ($1, $2, $3, now() + $4 * interval '1 millisecond', $5, $6, $7)",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(backend.as_str())
    .bind::<SmallInt, _>(kind as i16)
    .bind::<BigInt, _>(milliseconds(after))
    .bind::<Nullable<SqlUuid>, _>(owner)
    .bind::<SqlUuid, _>(batch.as_uuid())
    .bind::<Array<Integer>, _>(seqs)
    .execute(connection)?;
    Ok(id)
}

/// What a commit leaves for later, gathered so that what is alike becomes one row.
#[derive(Debug, Default)]
pub(super) struct Later(BTreeMap<(WorkKind, Duration), Vec<i32>>);

impl Later {
    pub(super) fn add(&mut self, kind: WorkKind, after: Duration, seq: i32) {
        self.0.entry((kind, after)).or_default().push(seq);
    }

    /// Whether something is left to do about this position.
    pub(super) fn has(&self, seq: i32) -> bool {
        self.0.values().any(|seqs| seqs.contains(&seq))
    }

    pub(super) fn insert(
        &self,
        connection: &mut PgConnection,
        backend: &BackendName,
        batch: BatchId,
    ) -> Result<(), Abort> {
        for ((kind, after), seqs) in &self.0 {
            insert(connection, backend, *kind, *after, None, batch, seqs)?;
        }
        Ok(())
    }
}

/// Ends a row, and gives the positions that it was about. None: it is gone.
pub(super) fn end(connection: &mut PgConnection, id: Uuid) -> Result<Option<Vec<i32>>, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Array<Integer>)]
        seqs: Vec<i32>,
    }
    let row: Option<Row> = diesel::sql_query("DELETE FROM ledger_work WHERE work_id = $1 RETURNING seqs")
        .bind::<SqlUuid, _>(id)
        .get_result(connection)
        .optional()?;
    Ok(row.map(|row| row.seqs))
}
