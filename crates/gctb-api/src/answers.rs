//! The answer to a disburse message, from the message itself or, where it came before, from what is stored.

use chrono::{DateTime, Utc};
use gctb_connect::answer::{Amount, Counts, Disbursed, ItemStatus, To};
use gctb_connect::disburse::{Batch, Disbursement};
use gctb_db::{BatchRow, Db, DbError, InstructionRow};
use gctb_domain::{BatchId, G2pStatus, Seq};

use crate::budget::Room;
use crate::pieces::{Pieces, Progress};
use crate::rows::{given_currency, item_status};
use crate::world::World;

/// Rows that are read from the database together.
const ROWS: i32 = 1_000;

/// The answer to a message that was stored just now.
pub(crate) struct FromMessage {
    batch: Batch,
    /// The message stays in memory until it is answered.
    _room: Room,
    received_at: DateTime<Utc>,
    written: usize,
    answer: Disbursed,
}

impl FromMessage {
    /// What stands before the items, and the items.
    pub(crate) fn begin(
        world: &World,
        batch: Batch,
        room: Room,
        batch_id: BatchId,
        received_at: DateTime<Utc>,
    ) -> (Vec<u8>, Self) {
        let mut begun = Vec::new();
        let counts = Counts { total: batch.count() as u64, completed: batch.refused() as u64 };
        let to = world.to(&batch.header.message_id, &batch.header.sender_id, received_at);
        let answer = Disbursed::begin(&mut begun, &to, counts, &batch.transaction_id, &batch_id.to_string());
        (begun, Self { batch, _room: room, received_at, written: 0, answer })
    }
}

impl Pieces for FromMessage {
    fn write(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<Progress, DbError> {
        for item in self.batch.items_from(self.written) {
            if out.len() >= bytes {
                return Ok(Progress::More);
            }
            self.answer.item(out, &received(&item, self.received_at));
            self.written += 1;
        }
        self.answer.end(out);
        Ok(Progress::Done)
    }
}

fn received<'b>(item: &Disbursement<'b>, received_at: DateTime<Utc>) -> ItemStatus<'b> {
    ItemStatus {
        reference_id: item.reference_id,
        at: received_at,
        status: if item.refusal.is_some() { G2pStatus::Rjct } else { G2pStatus::Rcvd },
        reason: item.refusal.map(|refusal| refusal.code),
        message: item.refusal.map(|refusal| &*refusal.message),
        amount: Some(item.money.map_or(Amount::AsSent(item.amount_text), Amount::Exact)),
        payer_fa: Some(item.from_fa),
        payer_name: item.payer_name,
        payee_fa: Some(item.to_fa),
        payee_name: item.payee_name,
        currency_code: given_currency(item.currency_text),
        locale: item.locale,
    }
}

/// The first answer once more, whatever has become of the instructions since: what became of them is the status API's.
pub(crate) struct FromRows {
    db: Db,
    batch: BatchRow,
    written: i32,
    answer: Disbursed,
}

impl FromRows {
    /// What stands before the items, and the items.
    ///
    /// # Errors
    /// Where the database cannot be used.
    pub(crate) fn begin(world: &World, to: &To<'_>, batch: BatchRow) -> Result<(Vec<u8>, Self), DbError> {
        let mut begun = Vec::new();
        let counts = Counts {
            total: u64::from(batch.instruction_count.unsigned_abs()),
            completed: world.db.refused_at_intake(batch.batch_id())?,
        };
        let correlation_id = batch.batch_id().to_string();
        let answer = Disbursed::begin(&mut begun, to, counts, &batch.transaction_id, &correlation_id);
        Ok((begun, Self { db: world.db.clone(), batch, written: 0, answer }))
    }
}

impl Pieces for FromRows {
    fn write(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<Progress, DbError> {
        while self.written < self.batch.instruction_count {
            if out.len() >= bytes {
                return Ok(Progress::More);
            }
            for row in self.db.instructions_page(self.batch.batch_id(), Seq(self.written), ROWS)? {
                self.answer.item(out, &first_status(&row, self.batch.received_at));
            }
            self.written = self.written.saturating_add(ROWS);
        }
        self.answer.end(out);
        Ok(Progress::Done)
    }
}

fn first_status(row: &InstructionRow, received_at: DateTime<Utc>) -> ItemStatus<'_> {
    let stored = item_status(row);
    if row.refused_at_intake {
        return ItemStatus { at: received_at, ..stored };
    }
    ItemStatus { at: received_at, status: G2pStatus::Rcvd, reason: None, message: None, ..stored }
}
