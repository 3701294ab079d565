//! `ledger_work`: what needs attention later, one row for many instructions.
//!
//! Each ledger row names the one row of work that looks after it. A row of work that names a position whose ledger row names
//! another means it no more.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use gctb_domain::paying::Naming;
use gctb_domain::{BackendName, BatchId};
use uuid::Uuid;

use super::row::RailRow;
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

/// A row to be written.
pub(super) struct NewWork<'a> {
    pub(super) id: Uuid,
    pub(super) backend: &'a BackendName,
    pub(super) kind: WorkKind,
    pub(super) after: Duration,
    pub(super) owner: Option<Uuid>,
    pub(super) batch: BatchId,
    pub(super) seqs: &'a [i32],
    pub(super) failures: i16,
}

pub(super) fn insert(connection: &mut PgConnection, work: &NewWork<'_>) -> Result<(), Abort> {
    diesel::sql_query(
        "INSERT INTO ledger_work (work_id, backend, kind, due_at, owner, batch_id, seqs, failures)
         VALUES ($1, $2, $3, now() + $4 * interval '1 millisecond', $5, $6, $7, $8)",
    )
    .bind::<SqlUuid, _>(work.id)
    .bind::<Text, _>(work.backend.as_str())
    .bind::<SmallInt, _>(work.kind as i16)
    .bind::<BigInt, _>(milliseconds(work.after))
    .bind::<Nullable<SqlUuid>, _>(work.owner)
    .bind::<SqlUuid, _>(work.batch.as_uuid())
    .bind::<Array<Integer>, _>(work.seqs)
    .bind::<SmallInt, _>(work.failures)
    .execute(connection)?;
    Ok(())
}

/// What a commit leaves for later, gathered so that what is alike becomes one row.
#[derive(Debug, Default)]
pub(super) struct Later(BTreeMap<(WorkKind, Duration, i16), Planned>);

#[derive(Debug)]
struct Planned {
    id: Uuid,
    seqs: Vec<i32>,
}

impl Later {
    /// This is done next about the payment, and nothing else.
    pub(super) fn add(&mut self, kind: WorkKind, after: Duration, row: &mut RailRow) {
        self.add_failed(kind, after, 0, row);
    }

    /// The same, of work that failed so often before.
    pub(super) fn add_failed(&mut self, kind: WorkKind, after: Duration, failures: i16, row: &mut RailRow) {
        let seq = row.ledger.seq;
        if let Some(before) = self.0.values_mut().find(|planned| Some(planned.id) == row.work_id) {
            before.seqs.retain(|other| *other != seq);
        }
        let fresh = || Planned { id: Uuid::now_v7(), seqs: Vec::new() };
        let planned = self.0.entry((kind, after, failures)).or_insert_with(fresh);
        planned.seqs.push(seq);
        row.is_looked_after_by(planned.id);
    }

    /// Whether this commit planned it.
    pub(super) fn holds(&self, work: Uuid) -> bool {
        self.0.values().any(|planned| planned.id == work)
    }

    pub(super) fn insert(
        &self,
        connection: &mut PgConnection,
        backend: &BackendName,
        batch: BatchId,
    ) -> Result<(), Abort> {
        let planned = self.0.iter().filter(|(_, planned)| !planned.seqs.is_empty());
        for ((kind, after, failures), Planned { id, seqs }) in planned {
            let (kind, after, failures) = (*kind, *after, *failures);
            insert(connection, &NewWork { id: *id, backend, kind, after, owner: None, batch, seqs, failures })?;
        }
        Ok(())
    }
}

/// A window, and what is noted of its payments.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Window {
    #[diesel(sql_type = SqlUuid)]
    pub(super) work_id: Uuid,
    #[diesel(sql_type = Array<Integer>)]
    pub(super) seqs: Vec<i32>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    handles: Option<Vec<String>>,
}

impl Window {
    pub(super) const fn new(work_id: Uuid, seqs: Vec<i32>, handles: Option<Vec<String>>) -> Self {
        Self { work_id, seqs, handles }
    }

    /// Gives a payment that this window looks after the handle that was noted for it, which is what may have been paid.
    pub(super) fn name(&self, row: &mut RailRow) {
        if row.work_id != Some(self.work_id) {
            return;
        }
        let place = self.seqs.iter().position(|seq| *seq == row.ledger.seq);
        let noted = place.zip(self.handles.as_ref()).and_then(|(place, handles)| handles.get(place));
        if let Some(handle) = noted.filter(|handle| !handle.is_empty()) {
            row.name(Naming::Noted(handle.clone()));
        }
    }
}

/// Ends a row, and gives what it was about. None: it is gone.
pub(super) fn end(connection: &mut PgConnection, id: Uuid) -> Result<Option<Window>, Abort> {
    Ok(diesel::sql_query("DELETE FROM ledger_work WHERE work_id = $1 RETURNING work_id, seqs, handles")
        .bind::<SqlUuid, _>(id)
        .get_result(connection)
        .optional()?)
}

/// Those of these rows that are windows: their owner's turn looks after what they name, or their end does.
pub(super) fn windows(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Window>, Abort> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(diesel::sql_query("SELECT work_id, seqs, handles FROM ledger_work WHERE work_id = ANY($1) AND kind = 1")
        .bind::<Array<SqlUuid>, _>(ids)
        .load(connection)?)
}

/// Takes payments out of what waits for a person: each as its position and the row of work that it named before. What waits for
/// a person never comes due, so nobody else would.
pub(super) fn waits_no_more(connection: &mut PgConnection, payments: &[(i32, Uuid)]) -> Result<(), Abort> {
    if payments.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = payments.iter().map(|(_, work)| *work).collect();
    let waiting: Vec<Window> = diesel::sql_query(
        "SELECT work_id, seqs, handles FROM ledger_work WHERE work_id = ANY($1) AND kind = 5 ORDER BY work_id FOR UPDATE",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .load(connection)?;
    for Window { work_id, seqs, .. } in waiting {
        let rest: Vec<i32> = seqs.into_iter().filter(|seq| !payments.contains(&(*seq, work_id))).collect();
        if rest.is_empty() {
            end(connection, work_id)?;
        } else {
            diesel::sql_query("UPDATE ledger_work SET seqs = $2 WHERE work_id = $1")
                .bind::<SqlUuid, _>(work_id)
                .bind::<Array<Integer>, _>(rest)
                .execute(connection)?;
        }
    }
    Ok(())
}
