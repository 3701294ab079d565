//! A disburse message becomes rows: parse, find what is known already, store in one commit, answer.
//!
//! Everything here blocks and runs on a thread that may. The answer is made after the commit (invariant I1).

use chrono::{DateTime, Utc};
use gctb_connect::answer::{self, Counts, ItemStatus, To};
use gctb_connect::disburse::{Batch, DIGEST_VERSION, Disbursement};
use gctb_connect::{HeaderCode, HeaderRefusal, Rejected, disburse};
use gctb_db::{BatchRow, DbError, InstructionRow, Intake, NewBatch, NewInstruction, Refusal};
use gctb_domain::{BatchId, G2pStatus, Seq};

use crate::outbox_rows;
use crate::reply::{Reply, RequestError};
use crate::rows::{given_currency, item_status};
use crate::world::World;

/// Takes the disburse message in `body`, which arrived at `received_at`.
///
/// # Errors
/// Where the body has a broken shape or the database cannot be used: nothing is acknowledged then.
pub(crate) fn take(
    world: &World,
    body: &[u8],
    received_at: DateTime<Utc>,
    traceparent: Option<&str>,
) -> Result<Reply, RequestError> {
    let batch = match disburse::read(body, &world.rules, received_at) {
        Ok(batch) => batch,
        Err(Rejected::Shape(error)) => return Err(RequestError::Shape(error)),
        Err(Rejected::Refused(message)) => {
            world.metrics.message("refused");
            let to = world.to(&message.message_id, &message.sender_id, received_at);
            let body = answer::disburse_refused(&to, message.transaction_id.as_deref(), &message.refusal);
            return Ok(Reply::refused(to.mode, message.refusal.code, body));
        }
    };
    let known = world.db.find_batch(&batch.header.sender_id, &batch.transaction_id)?;
    match known {
        Some(row) => answer_known(world, batch, &row, received_at),
        None => store(world, batch, received_at, traceparent),
    }
}

fn store(
    world: &World,
    batch: Batch<'_>,
    received_at: DateTime<Utc>,
    traceparent: Option<&str>,
) -> Result<Reply, RequestError> {
    let batch_id = BatchId::accepted_at(received_at);
    let batch_no = world.db.next_batch_no()?;
    let outbox = outbox_rows::of(&batch, batch_id, batch_no, received_at, world.schedule_bucket, traceparent);
    let new_batch = NewBatch {
        batch_id,
        batch_no,
        sender_id: &batch.header.sender_id,
        transaction_id: &batch.transaction_id,
        message_id: &batch.header.message_id,
        digest: &batch.digest.0,
        digest_version: DIGEST_VERSION,
        request_timestamp: batch.header.sent_at,
        received_at,
        traceparent,
    };
    let stored = {
        let instructions: Vec<NewInstruction<'_>> = batch.items.iter().map(new_instruction).collect();
        world.db.intake(&new_batch, &instructions, &outbox)?
    };
    match stored {
        Intake::Stored => {
            world.outbox.publish(outbox);
            Ok(answer_stored(world, &batch, batch_id, received_at))
        }
        // Another request of the same transaction was quicker.
        Intake::Existing(row) => answer_known(world, batch, &row, received_at),
        Intake::MessageIdTaken => Ok(refuse(world, &batch, message_id_taken(), received_at)),
    }
}

fn new_instruction<'b>(item: &'b Disbursement<'_>) -> NewInstruction<'b> {
    NewInstruction {
        seq: item.seq,
        request_id: &item.reference_id,
        from_fa: &item.from_fa,
        to_fa: &item.to_fa,
        amount: item.money,
        currency: &item.currency_text,
        amount_text: item.money.is_none().then_some(&*item.amount_text),
        scheduled_at: item.scheduled_at,
        scheduled_text: item.scheduled_text.as_deref(),
        payer_name: item.payer_name.as_deref(),
        payee_name: item.payee_name.as_deref(),
        purpose: item.purpose.as_deref(),
        note: item.note.as_deref(),
        instruction: item.instruction.as_deref(),
        locale: item.locale.as_deref(),
        refusal: item.verdict.as_ref().err().map(|refusal| Refusal { code: refusal.code, message: &refusal.message }),
    }
}

fn answer_stored(world: &World, batch: &Batch<'_>, batch_id: BatchId, received_at: DateTime<Utc>) -> Reply {
    let refused = batch.items.iter().filter(|item| item.verdict.is_err()).count();
    world.metrics.message("stored");
    world.metrics.disbursements(batch.items.len() - refused, refused);
    tracing::info!(
        batch.id = %batch_id,
        instructions = batch.items.len(),
        refused,
        "a batch is stored"
    );
    let counts = Counts { total: batch.items.len() as u64, completed: refused as u64 };
    let items = batch.items.iter().map(|item| received(item, received_at));
    let to = world.to(&batch.header.message_id, &batch.header.sender_id, received_at);
    Reply::taken(answer::disbursed(&to, counts, &batch.transaction_id, &batch_id.to_string(), items))
}

fn received<'b>(item: &'b Disbursement<'_>, received_at: DateTime<Utc>) -> ItemStatus<'b> {
    let refusal = item.verdict.as_ref().err();
    ItemStatus {
        reference_id: &item.reference_id,
        at: received_at,
        status: if refusal.is_some() { G2pStatus::Rjct } else { G2pStatus::Rcvd },
        reason: refusal.map(|refusal| refusal.code),
        message: refusal.map(|refusal| &*refusal.message),
        amount: Some(item.money.map_or(answer::Amount::AsSent(&item.amount_text), answer::Amount::Exact)),
        payer_fa: Some(&item.from_fa),
        payer_name: item.payer_name.as_deref(),
        payee_fa: Some(&item.to_fa),
        payee_name: item.payee_name.as_deref(),
        currency_code: given_currency(&item.currency_text),
        locale: item.locale.as_deref(),
    }
}

/// A transaction that is stored already: the same content is answered from what is stored, other content is refused.
fn answer_known(
    world: &World,
    batch: Batch<'_>,
    row: &BatchRow,
    received_at: DateTime<Utc>,
) -> Result<Reply, RequestError> {
    let same = row.digest_version == DIGEST_VERSION && row.digest == batch.digest.0;
    if !same {
        let refusal = changed_content(&batch.transaction_id);
        return Ok(refuse(world, &batch, refusal, received_at));
    }
    world.metrics.message("already_known");
    let header = batch.header;
    // The parsed items are of no further use, and the stored ones take as much memory.
    drop(batch.items);
    let to = world.to(&header.message_id, &header.sender_id, received_at);
    answer_from_rows(world, &to, row).map_err(RequestError::from)
}

/// The first answer once more, whatever has become of the instructions since: what became of them is the status API's.
fn answer_from_rows(world: &World, to: &To<'_>, row: &BatchRow) -> Result<Reply, DbError> {
    let rows = world.db.instructions_page(row.batch_id(), Seq(0), row.instruction_count)?;
    let refused = rows.iter().filter(|row| row.refused_at_intake).count();
    let counts = Counts { total: rows.len() as u64, completed: refused as u64 };
    let batch_id = row.batch_id().to_string();
    let items = rows.iter().map(|item| first_status(item, row.received_at));
    Ok(Reply::taken(answer::disbursed(to, counts, &row.transaction_id, &batch_id, items)))
}

fn first_status(row: &InstructionRow, received_at: DateTime<Utc>) -> ItemStatus<'_> {
    let stored = item_status(row);
    if row.refused_at_intake {
        return ItemStatus { at: received_at, ..stored };
    }
    ItemStatus { at: received_at, status: G2pStatus::Rcvd, reason: None, message: None, ..stored }
}

fn refuse(world: &World, batch: &Batch<'_>, refusal: HeaderRefusal, received_at: DateTime<Utc>) -> Reply {
    world.metrics.message("refused");
    let to = world.to(&batch.header.message_id, &batch.header.sender_id, received_at);
    let body = answer::disburse_refused(&to, Some(&batch.transaction_id), &refusal);
    Reply::refused(to.mode, refusal.code, body)
}

fn changed_content(transaction_id: &str) -> HeaderRefusal {
    let message = format!(
        "the transaction {transaction_id:?} was accepted before with other disbursements, and nothing was changed: \
         send changed disbursements under a new transaction_id"
    );
    HeaderRefusal::new(HeaderCode::TransactionIdDuplicate, message)
}

fn message_id_taken() -> HeaderRefusal {
    let message = "header.message_id was used for another transaction; every message needs an id of its own";
    HeaderRefusal::new(HeaderCode::MessageIdDuplicate, message)
}
