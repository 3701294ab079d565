//! Takes up what came due: windows that their owners left, questions, sends, further attempts. A successor begins with a
//! question, never with a payment; what was heard meanwhile and decides needs none.

use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};
use gctb_domain::{BatchId, BatchNo};
use uuid::Uuid;

use super::control::{self, RailGate};
use super::row::{self, RailRow};
use super::taking::Taking;
use super::work::{self, NewWork, Window, WorkKind};
use super::{DueWork, Holder, poison};
use crate::controls::lock_control;
use crate::error::{DbError, Fate};
use crate::outbox;
use crate::pool::{Abort, Db, until_first};

/// How many rows of work that cannot be taken up for their content one call passes over.
const PASSED_OVER_MAX: u32 = 10;

impl Db {
    /// Takes up the work of this backend that has been due longest and makes its attempts this process's own for a lease. None
    /// where nothing is due, or the rail is paused or held and may not even be asked.
    ///
    /// Only attempts that the answer names may be acted on, and each only as it says. It may name none: what was due needed
    /// nothing any more, was decided by what was heard of it, or waits for a person now. What cannot be taken up for its content
    /// is put off and told as an error once, and does not stop what is due behind it.
    ///
    /// # Errors
    /// Where Postgres is away or busy; nothing is taken up then.
    pub fn take_up(&self, holder: &Holder) -> Result<Option<DueWork>, DbError> {
        let doing = "take up payments that came due";
        for _ in 0..PASSED_OVER_MAX {
            let mut tried = None;
            match until_first(|| self.transaction(doing, |connection| take_up(connection, holder, &mut tried))) {
                // A look that finds nothing due makes nothing durable.
                Ok(taken) => return Ok(taken.inspect(|_| fail::fail_point!("rail.take_up.after"))),
                Err(error) if error.fate() == Fate::Retry => return Err(error),
                Err(error) => {
                    let Some(work) = tried else { return Err(error) };
                    self.put_off(work, &error)?;
                }
            }
        }
        Ok(None)
    }
}

#[derive(diesel::QueryableByName)]
struct WorkRow {
    #[diesel(sql_type = SqlUuid)]
    work_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = SqlUuid)]
    batch_id: Uuid,
    #[diesel(sql_type = Array<Integer>)]
    seqs: Vec<i32>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    handles: Option<Vec<String>>,
    #[diesel(sql_type = SmallInt)]
    failures: i16,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    batch_no: Option<i64>,
}

/// `tried` is told which row was taken, also where that fails.
fn take_up(connection: &mut PgConnection, holder: &Holder, tried: &mut Option<Uuid>) -> Result<Option<DueWork>, Abort> {
    let rail = control::enter(connection, &holder.backend)?;
    if rail == RailGate::Stopped && control::waits_for_a_person(connection, &holder.backend)? {
        // The rail refuses us, or has locked us out: a question carries the same credential as a payment.
        return Ok(None);
    }
    // While the rail is paused, or its account is short of funds, questions go on: they move no money, and it may have paid.
    let kinds: &[i16] = if rail == RailGate::Stopped { &[1, 2, 6] } else { &[1, 2, 3, 4, 6] };
    let row: Option<WorkRow> = diesel::sql_query(
        "SELECT w.work_id, w.kind, w.batch_id, w.seqs, w.handles, w.failures, b.traceparent, b.batch_no
         FROM ledger_work w LEFT JOIN batches b USING (batch_id)
         WHERE w.backend = $1 AND w.kind = ANY($2) AND w.due_at <= now()
         ORDER BY w.due_at LIMIT 1 FOR UPDATE OF w SKIP LOCKED",
    )
    .bind::<Text, _>(holder.backend.as_str())
    .bind::<Array<SmallInt>, _>(kinds)
    .get_result(connection)
    .optional()?;
    let Some(due) = row else { return Ok(None) };
    *tried = Some(due.work_id);
    let WorkRow { work_id, kind, batch_id, seqs, handles, failures, traceparent, batch_no } = due;
    let (batch, kind) = (BatchId::from_uuid(batch_id), WorkKind::from_code(kind)?);
    let batch_no = BatchNo(batch_no.ok_or(Abort::UnknownBatch)?);
    let (control, now) = lock_control(connection, batch)?;
    let due = Window::new(work_id, seqs, handles);
    let mut taking = Taking::new(holder, control);
    let mut changed = Vec::new();
    for mut row in row::read(connection, batch, due.seqs.clone(), holder.settle)? {
        let is_meant = row.work_id.is_none_or(|work| work == due.work_id) && row.is_of(holder);
        if !is_meant {
            continue;
        }
        due.name(&mut row);
        let as_it_stood = row.clone();
        match taking.take(kind, &mut row) {
            Ok(()) => changed.extend(Some(row).filter(RailRow::is_changed)),
            Err(Abort::Unreadable(what)) => {
                changed.push(poison::set_aside(&mut taking.later, kind, as_it_stood, failures, batch, what)?);
            }
            Err(other) => return Err(other),
        }
    }
    changed.iter_mut().for_each(|row| row.ledger.changed_at = now);
    row::update(connection, batch, &changed)?;
    let entries = changed.iter().map(|row| row.ledger.entry()).collect::<Result<Vec<_>, _>>()?;
    let outbox = outbox::insert_status(connection, batch, entries, traceparent.as_deref())?;
    taking.later.insert(connection, &holder.backend, batch)?;
    // Never the same row again: its former owner may come back with words about it.
    work::end(connection, due.work_id)?;
    let Taking { window, attempts, .. } = taking;
    let seqs: Vec<i32> = attempts.iter().map(|attempt| attempt.seq.0).collect();
    if !seqs.is_empty() {
        let Holder { backend, lease, owner, .. } = holder;
        let (id, kind, after, owner, seqs) = (window, WorkKind::Window, *lease, Some(*owner), seqs.as_slice());
        work::insert(connection, &NewWork { id, backend, kind, after, owner, batch, seqs, failures: 0 })?;
    }
    fail::fail_point!("rail.take_up.before");
    Ok(Some(DueWork { rail, work: window, batch, batch_no, attempts, outbox }))
}
