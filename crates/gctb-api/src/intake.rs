//! A disburse message becomes rows: parse, find what is known already, store in one commit, answer.
//!
//! Everything here blocks and runs on a thread that may. The answer is made after the commit (invariant I1).

use std::cell::{OnceCell, RefCell};

use chrono::{DateTime, Utc};
use gctb_connect::disburse::{Batch, DIGEST_VERSION, Disbursement};
use gctb_connect::{HeaderCode, HeaderRefusal, Rejected, answer, disburse};
use gctb_db::{BatchRow, Intake, NewBatch, NewInstruction, OutboxRow, Refusal};
use gctb_domain::BatchId;

use crate::answers::{FromMessage, FromRows};
use crate::budget::Room;
use crate::outbox_rows::Chunks;
use crate::reply::{Reply, RequestError};
use crate::world::World;

/// Takes the disburse message in `body`, which arrived at `received_at` and for which there is `room`.
///
/// # Errors
/// Where the body has a broken shape or the database cannot be used: nothing is acknowledged then.
pub(crate) fn take(
    world: &World,
    body: Vec<u8>,
    room: Room,
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
        Some(row) => answer_known(world, batch, row, received_at),
        None => store(world, batch, room, received_at, traceparent),
    }
}

fn store(
    world: &World,
    batch: Batch,
    room: Room,
    received_at: DateTime<Utc>,
    traceparent: Option<&str>,
) -> Result<Reply, RequestError> {
    let batch_id = BatchId::accepted_at(received_at);
    let batch_no = world.db.next_batch_no()?;
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
        instructions: batch.count(),
        in_flight: batch.count() - batch.refused(),
    };
    let chunks = RefCell::new(Chunks::new(&batch, batch_id, batch_no, received_at, world.schedule_bucket, traceparent));
    let rows: OnceCell<Vec<OutboxRow>> = OnceCell::new();
    let instructions = batch.items().enumerate().map(|(position, item)| {
        chunks.borrow_mut().add(position, &item);
        new_instruction(&item)
    });
    match world.db.intake(&new_batch, instructions, || rows.get_or_init(|| chunks.borrow_mut().finish()))? {
        Intake::Stored => {
            world.outbox.publish(rows.into_inner().unwrap_or_default());
            answer_stored(world, batch, room, batch_id, received_at)
        }
        // Another request of the same transaction was quicker.
        Intake::Existing(row) => answer_known(world, batch, *row, received_at),
        Intake::MessageIdTaken => Ok(refuse(world, &batch, message_id_taken(), received_at)),
    }
}

fn new_instruction<'b>(item: &Disbursement<'b>) -> NewInstruction<'b> {
    NewInstruction {
        seq: item.seq,
        request_id: item.reference_id,
        from_fa: item.from_fa,
        to_fa: item.to_fa,
        amount: item.money,
        currency: item.currency_text,
        amount_text: item.money.is_none().then_some(item.amount_text),
        scheduled_at: item.scheduled_at,
        scheduled_text: item.scheduled_text,
        payer_name: item.payer_name,
        payee_name: item.payee_name,
        purpose: item.purpose,
        note: item.note,
        instruction: item.instruction,
        locale: item.locale,
        refusal: item.refusal.map(|refusal| Refusal { code: refusal.code, message: &refusal.message }),
    }
}

fn answer_stored(
    world: &World,
    batch: Batch,
    room: Room,
    batch_id: BatchId,
    received_at: DateTime<Utc>,
) -> Result<Reply, RequestError> {
    let (instructions, refused) = (batch.count(), batch.refused());
    world.metrics.message("stored");
    world.metrics.disbursements(instructions - refused, refused);
    tracing::info!(batch.id = %batch_id, instructions, refused, "a batch is stored");
    let (begun, answer) = FromMessage::begin(world, batch, room, batch_id, received_at);
    Ok(Reply::in_pieces(begun, answer)?)
}

/// A transaction that is stored already: the same content is answered from what is stored, other content is refused.
fn answer_known(world: &World, batch: Batch, row: BatchRow, received_at: DateTime<Utc>) -> Result<Reply, RequestError> {
    let same = row.digest_version == DIGEST_VERSION && row.digest == batch.digest.0;
    if !same {
        let refusal = changed_content(&batch.transaction_id);
        return Ok(refuse(world, &batch, refusal, received_at));
    }
    world.metrics.message("already_known");
    let header = batch.header.clone();
    // The message is of no further use, and its memory is wanted.
    drop(batch);
    let to = world.to(&header.message_id, &header.sender_id, received_at);
    let (begun, answer) = FromRows::begin(world, &to, row)?;
    Ok(Reply::in_pieces(begun, answer)?)
}

fn refuse(world: &World, batch: &Batch, refusal: HeaderRefusal, received_at: DateTime<Utc>) -> Reply {
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
