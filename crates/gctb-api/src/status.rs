//! A status message is answered from the projection. It decides nothing.

use chrono::{DateTime, Utc};
use gctb_connect::answer::{self, Counts, ItemStatus, StatusOf};
use gctb_connect::status::{self, Page, Query, StatusRequest};
use gctb_connect::{Mode, Rejected};
use gctb_db::{BatchRow, DbError, InstructionRow};
use gctb_domain::{BatchId, Seq};
use std::collections::HashMap;
use uuid::Uuid;

use crate::reply::{Reply, RequestError};
use crate::rows::item_status;
use crate::world::World;

/// Answers the status message in `body`, which arrived at `received_at`.
///
/// # Errors
/// Where the body has a broken shape or the database cannot be used.
pub(crate) fn tell(world: &World, body: &[u8], received_at: DateTime<Utc>) -> Result<Reply, RequestError> {
    let request = match status::read(body, &world.limits) {
        Ok(request) => request,
        Err(Rejected::Shape(error)) => return Err(RequestError::Shape(error)),
        Err(Rejected::Refused(message)) => {
            let to = world.to(&message.message_id, &message.sender_id, received_at);
            let body = answer::status_refused(&to, message.transaction_id.as_deref(), &message.refusal);
            return Ok(Reply::refused(to.mode, message.refusal.code, body));
        }
    };
    let sender = &*request.header.sender_id;
    let body = match &request.query {
        Query::Transaction(id) => {
            let batch = world.db.find_batch(sender, id)?;
            of_batch(world, &request, batch, received_at)?
        }
        Query::Correlation(id) => {
            // An id that is none of ours is answered like one that is not this sender's.
            let batch = match Uuid::parse_str(id) {
                Ok(id) => world.db.find_batch_by_id(sender, BatchId::from_uuid(id))?,
                Err(_) => None,
            };
            of_batch(world, &request, batch, received_at)?
        }
        Query::References(references) => {
            let asked: Vec<&str> = references.iter().map(|reference| &**reference).collect();
            let rows = world.db.instructions_by_reference(sender, &asked)?;
            of_references(world, &request, &asked, &rows, received_at)
        }
    };
    Ok(Reply::taken(body))
}

/// A page of a batch in the order of its message. A transaction that this sender never sent has no items.
fn of_batch(
    world: &World,
    request: &StatusRequest<'_>,
    batch: Option<BatchRow>,
    received_at: DateTime<Utc>,
) -> Result<Vec<u8>, DbError> {
    let to = world.to(&request.header.message_id, &request.header.sender_id, received_at);
    let page = request.page.unwrap_or(Page { size: world.limits.default_page_size, number: 1 });
    let Some(batch) = batch else {
        let of = StatusOf {
            transaction_id: &request.transaction_id,
            items_of: &request.transaction_id,
            correlation_id: &Uuid::new_v4().to_string(),
            page: Some(page),
        };
        return Ok(answer::status(&to, Counts { total: 0, completed: 0 }, &of, std::iter::empty()));
    };
    let rows = page_of(world, &batch, page)?;
    let total = u64::from(batch.instruction_count.unsigned_abs());
    let counts = Counts { total, completed: total.saturating_sub(u64::from(batch.in_flight.unsigned_abs())) };
    let of = StatusOf {
        transaction_id: if request.transaction_id.is_empty() { &batch.transaction_id } else { &request.transaction_id },
        items_of: &batch.transaction_id,
        correlation_id: &batch.batch_id().to_string(),
        page: Some(page),
    };
    Ok(answer::status(&to, counts, &of, rows.iter().map(item_status)))
}

fn page_of(world: &World, batch: &BatchRow, page: Page) -> Result<Vec<InstructionRow>, DbError> {
    // A page beyond what fits into a position has no items.
    match (i32::try_from(page.offset()), i32::try_from(page.size)) {
        (Ok(first), Ok(size)) if first < batch.instruction_count => {
            world.db.instructions_page(batch.batch_id(), Seq(first), size)
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Ok(Vec::new()),
    }
}

/// The references in the order in which they were asked about; unknown ones are named where the mode allows it.
fn of_references(
    world: &World,
    request: &StatusRequest<'_>,
    asked: &[&str],
    rows: &[InstructionRow],
    received_at: DateTime<Utc>,
) -> Vec<u8> {
    let to = world.to(&request.header.message_id, &request.header.sender_id, received_at);
    let known: HashMap<&str, &InstructionRow> = rows.iter().map(|row| (row.request_id.as_str(), row)).collect();
    let items: Vec<ItemStatus<'_>> = asked
        .iter()
        .filter_map(|reference| match (known.get(reference), to.mode) {
            (Some(row), Mode::OpenG2p | Mode::Spec) => Some(item_status(row)),
            (None, Mode::Spec) => Some(ItemStatus::unknown_reference(reference, received_at)),
            (None, Mode::OpenG2p) => None,
        })
        .collect();
    let completed = rows.iter().filter(|row| !row.status.is_in_flight()).count();
    let counts = Counts { total: items.len() as u64, completed: completed as u64 };
    let of = StatusOf {
        transaction_id: &request.transaction_id,
        items_of: &request.transaction_id,
        correlation_id: &correlation_of(rows).to_string(),
        page: request.page,
    };
    let shown = match request.page {
        None => &items[..],
        Some(page) => {
            let first = usize::try_from(page.offset()).unwrap_or(usize::MAX).min(items.len());
            let size = usize::try_from(page.size).unwrap_or(usize::MAX);
            &items[first..first.saturating_add(size).min(items.len())]
        }
    };
    answer::status(&to, counts, &of, shown.iter().copied())
}

/// Our id of the batch where all items come from one, else a new one: the specification wants one in every answer.
fn correlation_of(rows: &[InstructionRow]) -> Uuid {
    match rows {
        [first, rest @ ..] if rest.iter().all(|row| row.batch_id == first.batch_id) => first.batch_id.as_uuid(),
        [] | [_, ..] => Uuid::new_v4(),
    }
}
