//! Which instructions of a batch a backend may claim now: the same for files and for rails that are called.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use gctb_domain::{BatchId, BatchNo, LedgerState, Money, Seq};
use gctb_events::LedgerEntry;

use crate::controls::{ControlState, lock_control};
use crate::ledger::{self, Closed, LedgerRow};
use crate::pool::Abort;

/// An instruction that a backend wants to claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its position.
    pub seq: Seq,
    /// Payer's address.
    pub payer_fa: String,
    /// Payee's resolved address.
    pub resolved_fa: String,
    /// How much.
    pub amount: Money,
    /// Not before, by Postgres' time.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// For the rail.
    pub payee_name: String,
    /// For the payee's statement.
    pub narrative: String,
    /// Why its rail cannot carry it, with a sentence; it becomes REJECTED instead.
    pub refusal: Option<(gctb_domain::ReasonCode, String)>,
}

impl Claim {
    fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.scheduled_at.is_none_or(|at| at <= now)
    }

    /// The row that closes it: refused, or cancelled with its batch.
    fn closed(&self, control: ControlState) -> Closed<'_> {
        match (&self.refusal, control) {
            (Some((reason, message)), ControlState::Open) => {
                Closed { seq: self.seq.0, state: LedgerState::Rejected, reason: Some(*reason), message }
            }
            (None | Some(_), ControlState::Open | ControlState::Held | ControlState::Cancelled) => {
                let message = "the batch was cancelled";
                Closed { seq: self.seq.0, state: LedgerState::Cancelled, reason: None, message }
            }
        }
    }
}

/// What may be claimed, and what was decided about the others.
pub(crate) struct Admission<'a> {
    /// Postgres' time.
    pub(crate) now: DateTime<Utc>,
    /// What is told of rows that stand already or were closed just now.
    pub(crate) entries: Vec<LedgerEntry>,
    /// What nobody has decided about, is due, and is wanted by its backend.
    pub(crate) admitted: Vec<&'a Claim>,
    /// Instructions that had a row already.
    pub(crate) already_known: usize,
    /// Instructions dropped since they are not due yet or their batch is held.
    pub(crate) not_now: usize,
    /// Rows inserted as CANCELLED.
    pub(crate) cancelled: usize,
    /// Rows inserted as REJECTED.
    pub(crate) rejected: usize,
}

/// Locks the batch's control row FOR SHARE until the end of the transaction and sorts `claims`, each position once and in
/// order. Whoever has a ledger row keeps it: it is told again as it stands.
pub(crate) fn admit<'a>(
    connection: &mut PgConnection,
    batch: BatchId,
    batch_no: BatchNo,
    claims: &[&'a Claim],
) -> Result<Admission<'a>, Abort> {
    let (control, now) = lock_control(connection, batch)?;
    let wanted: Vec<&Claim> = match control {
        ControlState::Held => Vec::new(),
        ControlState::Cancelled => claims.to_vec(),
        ControlState::Open => claims.iter().copied().filter(|claim| claim.is_due(now)).collect(),
    };
    let not_now = claims.len() - wanted.len();
    let positions: Vec<i32> = wanted.iter().map(|claim| claim.seq.0).collect();
    let standing = ledger::standing(connection, batch, &positions)?;
    let mut entries = standing.iter().map(LedgerRow::entry).collect::<Result<Vec<_>, _>>()?;
    let known: HashSet<i32> = standing.iter().map(|row| row.seq).collect();
    let undecided = wanted.into_iter().filter(|claim| !known.contains(&claim.seq.0));
    let (unwanted, admitted): (Vec<&Claim>, Vec<&Claim>) = match control {
        ControlState::Held | ControlState::Cancelled => (undecided.collect(), Vec::new()),
        ControlState::Open => undecided.partition(|claim| claim.refusal.is_some()),
    };
    let closed: Vec<Closed<'_>> = unwanted.into_iter().map(|claim| claim.closed(control)).collect();
    entries.extend(close(connection, batch, batch_no, &closed)?);
    let (cancelled, rejected) = match control {
        ControlState::Held | ControlState::Cancelled => (closed.len(), 0),
        ControlState::Open => (0, closed.len()),
    };
    Ok(Admission { now, entries, admitted, already_known: standing.len(), not_now, cancelled, rejected })
}

/// Closes what nobody has decided about.
fn close(
    connection: &mut PgConnection,
    batch: BatchId,
    batch_no: BatchNo,
    rows: &[Closed<'_>],
) -> Result<Vec<LedgerEntry>, Abort> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let inserted = ledger::insert_closed(connection, batch, batch_no, rows)?;
    if inserted.len() < rows.len() {
        return Err(Abort::Overtaken);
    }
    inserted.iter().map(LedgerRow::entry).collect()
}
