//! Takes up what came due: windows that their owners left, questions, sends, further attempts. A successor begins with a
//! question, never with a payment.

use std::time::Duration;

use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};
use gctb_domain::paying::{Dedupe, Next, may_try_again, take_over};
use gctb_domain::{BackendName, BatchId, LedgerState, News};
use uuid::Uuid;

use super::row::{self, RailRow};
use super::work::{self, Later, WorkKind};
use super::{DueAttempt, DueWork, Holder, Todo, control};
use crate::controls::{ControlState, lock_control};
use crate::error::DbError;
use crate::ledger::Said;
use crate::outbox;
use crate::pool::{Abort, Db, until_first};

impl Db {
    /// Takes up the work of this backend that has been due longest and makes its attempts this process's own for a lease. None
    /// where nothing is due, or the rail is paused or held and may not even be asked.
    ///
    /// Only attempts that the answer names may be acted on, and each only as it says. It may name none: what was due needed
    /// nothing any more, or waits for a person now.
    ///
    /// # Errors
    /// Where Postgres refuses; nothing is taken up then.
    pub fn take_up(&self, holder: &Holder) -> Result<Option<DueWork>, DbError> {
        until_first(|| self.transaction("take up payments that came due", |connection| take_up(connection, holder)))
    }

    /// Makes the control row of a backend where there is none, so that who pauses it waits for the claims that saw it open.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn introduce_rail(&self, backend: &BackendName) -> Result<(), DbError> {
        self.with("introduce a backend", |connection| {
            diesel::sql_query(
                "INSERT INTO rail_controls (backend, state, reason) VALUES ($1, 1, 'never stopped') ON CONFLICT DO NOTHING",
            )
            .bind::<Text, _>(backend.as_str())
            .execute(connection)
        })?;
        Ok(())
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
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
}

fn take_up(connection: &mut PgConnection, holder: &Holder) -> Result<Option<DueWork>, Abort> {
    let open = control::is_open(connection, &holder.backend)?;
    // While the rail is stopped its questions go on: they move no money, and a paused rail may have paid.
    let kinds: &[i16] = if open { &[1, 2, 3, 4, 6] } else { &[1, 2, 6] };
    let row: Option<WorkRow> = diesel::sql_query(
        "SELECT w.work_id, w.kind, w.batch_id, w.seqs, b.traceparent, b.batch_no
         FROM ledger_work w JOIN batches b USING (batch_id)
         WHERE w.backend = $1 AND w.kind = ANY($2) AND w.due_at <= now()
         ORDER BY w.due_at LIMIT 1 FOR UPDATE OF w SKIP LOCKED",
    )
    .bind::<Text, _>(holder.backend.as_str())
    .bind::<Array<SmallInt>, _>(kinds)
    .get_result(connection)
    .optional()?;
    let Some(work) = row else { return Ok(None) };
    let batch = BatchId::from_uuid(work.batch_id);
    let kind = WorkKind::from_code(work.kind)?;
    let (control, now) = lock_control(connection, batch)?;
    let rows = row::read(connection, batch, work.seqs, holder.settle)?;
    let mut taking = Taking { holder, control, attempts: Vec::new(), changed: Vec::new(), later: Later::default() };
    for row in rows.into_iter().filter(|row| row.is_of(holder)) {
        taking.take(kind, row)?;
    }
    let Taking { attempts, mut changed, later, .. } = taking;
    changed.iter_mut().for_each(|row| row.ledger.changed_at = now);
    row::update(connection, batch, &changed)?;
    let entries = changed.iter().map(|row| row.ledger.entry()).collect::<Result<Vec<_>, _>>()?;
    let outbox = outbox::insert_status(connection, batch, entries, work.traceparent.as_deref())?;
    later.insert(connection, &holder.backend, batch)?;
    // Never the same row again: its former owner may come back with words about it.
    work::end(connection, work.work_id)?;
    let seqs: Vec<i32> = attempts.iter().map(|attempt: &DueAttempt| attempt.seq.0).collect();
    let id = if seqs.is_empty() {
        work.work_id
    } else {
        let (lease, owner) = (holder.lease, Some(holder.owner));
        work::insert(connection, &holder.backend, WorkKind::Window, lease, owner, batch, &seqs)?
    };
    let batch_no = gctb_domain::BatchNo(work.batch_no);
    Ok(Some(DueWork { work: id, batch, batch_no, attempts, outbox }))
}

struct Taking<'a> {
    holder: &'a Holder,
    control: ControlState,
    attempts: Vec<DueAttempt>,
    changed: Vec<RailRow>,
    later: Later,
}

impl Taking<'_> {
    fn take(&mut self, kind: WorkKind, row: RailRow) -> Result<(), Abort> {
        let state = row.ledger.state()?;
        let open = matches!(state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown);
        let is_mine = row.owner == Some(self.holder.owner);
        if open && !is_mine && row.leased_ms > 0 {
            // Its owner may still act. A successor waits for the end of the lease.
            let rest = Duration::from_millis(u64::try_from(row.leased_ms).unwrap_or(u64::MAX));
            self.later.add(kind, rest, row.ledger.seq);
            return Ok(());
        }
        match kind {
            WorkKind::Window | WorkKind::Ask if open => self.ask(row),
            WorkKind::Fence if open && row.quiet => self.hand_out(Todo::Fence, row),
            WorkKind::Fence if open => self.ask(row),
            WorkKind::Send if open => self.send_again(row, state),
            WorkKind::Retry if state == LedgerState::NotPaid => self.try_again(row),
            // Decided meanwhile, or a person's.
            WorkKind::Window
            | WorkKind::Ask
            | WorkKind::Send
            | WorkKind::Retry
            | WorkKind::Operator
            | WorkKind::Fence => Ok(()),
        }
    }

    fn ask(&mut self, mut row: RailRow) -> Result<(), Abort> {
        match take_over(self.holder.kind) {
            Next::Ask | Next::SendAgain | Next::Fence => {
                if row.ledger.state()? == LedgerState::Claimed && row.sends > 0 {
                    // It may have been sent, and its sender is gone: whatever this question comes to, that send stays counted.
                    self.news(&mut row, News::Unknown, "an answer is missing")?;
                }
                self.hand_out(Todo::Ask, row)
            }
            Next::Operator => {
                self.news(&mut row, News::Unknown, "an answer is missing, and the rail cannot be asked")?;
                self.later.add(WorkKind::Operator, Duration::ZERO, row.ledger.seq);
                self.keep(row);
                Ok(())
            }
        }
    }

    /// The same attempt, under the same key.
    fn send_again(&mut self, mut row: RailRow, state: LedgerState) -> Result<(), Abort> {
        let never_left = state == LedgerState::Claimed && row.sends == 0;
        let dedupes = self.holder.kind.dedupes != Dedupe::Never && !self.holder.kind.two_phase;
        // Decided some time ago: it must still be so.
        let may_repeat = dedupes && state == LedgerState::Unknown && row.quiet;
        match self.control {
            ControlState::Held => {
                self.later.add(WorkKind::Send, self.holder.retry_after, row.ledger.seq);
                Ok(())
            }
            ControlState::Cancelled if never_left => {
                self.news(&mut row, News::NotPaid, "never sent")?;
                self.news(&mut row, News::Cancelled, "the batch was cancelled")?;
                self.keep(row);
                Ok(())
            }
            // It may have been paid: only the rail or a person can say.
            ControlState::Cancelled => self.ask(row),
            // Never twice at once: what was sent before must be over.
            ControlState::Open if !never_left && !may_repeat => self.ask(row),
            ControlState::Open => {
                row.begin_send(self.holder);
                self.hand_out(Todo::Send, row)
            }
        }
    }

    /// Another attempt, under another key.
    fn try_again(&mut self, mut row: RailRow) -> Result<(), Abort> {
        match self.control {
            ControlState::Held => {
                self.later.add(WorkKind::Retry, self.holder.retry_after, row.ledger.seq);
                Ok(())
            }
            ControlState::Cancelled => {
                self.news(&mut row, News::Cancelled, "the batch was cancelled")?;
                self.keep(row);
                Ok(())
            }
            ControlState::Open if may_try_again(row.standing()?, row.ledger.attempt, self.holder.attempts_max) => {
                row.next_attempt(self.holder);
                self.hand_out(Todo::Send, row)
            }
            ControlState::Open => {
                let message = row.ledger.message.clone().unwrap_or_default();
                self.news(&mut row, News::Refused, &message)?;
                self.keep(row);
                Ok(())
            }
        }
    }

    fn news(&self, row: &mut RailRow, news: News, message: &str) -> Result<(), Abort> {
        let reason = row.ledger.reason_code.as_deref().and_then(gctb_domain::ReasonCode::from_code);
        row.ledger.take(&Said { news, reason, message, rail_reference: None })?;
        Ok(())
    }

    fn hand_out(&mut self, todo: Todo, mut row: RailRow) -> Result<(), Abort> {
        if row.owner != Some(self.holder.owner) {
            row.touch();
            row.owner = Some(self.holder.owner);
        }
        self.attempts.push(row.due(todo)?);
        self.keep(row);
        Ok(())
    }

    fn keep(&mut self, row: RailRow) {
        if row.is_changed() {
            self.changed.push(row);
        }
    }
}
