//! The mapper's decision that an instruction cannot be paid: REJECTED, unless somebody decided before.

use std::collections::HashSet;

use gctb_domain::{BatchId, BatchNo, LedgerState, ReasonCode, Seq};

use crate::controls::{ControlState, lock_control};
use crate::error::DbError;
use crate::ledger::{self, Closed};
use crate::outbox::{self, OutboxRow};
use crate::pool::Db;

/// An instruction that cannot be paid.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Its position.
    pub seq: Seq,
    /// Why.
    pub reason: ReasonCode,
    /// A sentence, without personal data.
    pub message: String,
}

/// What deciding about a chunk came to.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// How many rows this call inserted.
    pub inserted: usize,
    /// How many instructions had a row already; it stands and is emitted again.
    pub already_known: usize,
    /// The outbox rows that were committed, to be published from memory.
    pub outbox: Vec<OutboxRow>,
}

impl Db {
    /// Inserts REJECTED rows where nobody has decided yet; emits those that stand as they are. One commit.
    ///
    /// # Errors
    /// `UnknownBatch` where the batch is not here; else where Postgres refuses.
    pub fn reject(
        &self,
        batch: BatchId,
        batch_no: BatchNo,
        rejections: &[Rejection],
        traceparent: Option<&str>,
    ) -> Result<Decided, DbError> {
        self.transaction("reject instructions", |connection| {
            let (control, _) = lock_control(connection, batch)?;
            // A cancelled batch's instructions end as CANCELLED, whoever comes first; what is held may be refused.
            let state = match control {
                ControlState::Cancelled => LedgerState::Cancelled,
                ControlState::Open | ControlState::Held => LedgerState::Rejected,
            };
            let rows: Vec<Closed<'_>> = rejections
                .iter()
                .map(|rejection| Closed {
                    seq: rejection.seq.0,
                    state,
                    reason: (state == LedgerState::Rejected).then_some(rejection.reason),
                    message: &rejection.message,
                })
                .collect();
            let inserted = ledger::insert_closed(connection, batch, batch_no, &rows)?;
            let mine: HashSet<i32> = inserted.iter().map(|row| row.seq).collect();
            let others: Vec<i32> = rows.iter().map(|row| row.seq).filter(|seq| !mine.contains(seq)).collect();
            let standing = ledger::standing(connection, batch, &others)?;
            let entries = inserted.iter().chain(&standing).map(ledger::LedgerRow::entry).collect::<Result<_, _>>()?;
            let outbox = outbox::insert_status(connection, batch, entries, traceparent)?;
            fail::fail_point!("reject.commit.before");
            Ok(Decided { inserted: inserted.len(), already_known: standing.len(), outbox })
        })
        .inspect(|_| fail::fail_point!("reject.commit.after"))
    }
}
