//! Receives a body into one buffer, within the limits of one body and of all bodies in hand.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::rt::time::timeout;
use actix_web::web::Payload;
use futures_util::StreamExt;

use crate::budget::{ByteBudget, Room};
use crate::reply::RequestError;

/// Limits of bodies.
#[derive(Clone, Debug)]
pub(crate) struct BodyLimits {
    /// Bytes of one body.
    pub(crate) one_bytes_max: u32,
    /// Bytes of all bodies in hand.
    pub(crate) budget: ByteBudget,
    /// How long a body waits for room before any of it is read.
    pub(crate) room_wait: Duration,
    /// How long one may take to arrive.
    pub(crate) timeout: Duration,
}

/// Bytes that are set aside for a body whose length is not announced, before any of it came.
const UNANNOUNCED_BYTES: u32 = 64 * 1024;

/// The whole body, and its room in the budget: keep the room as long as the body or what was made of it.
pub(crate) async fn receive(
    request: &HttpRequest,
    payload: Payload,
    limits: &BodyLimits,
) -> Result<(Vec<u8>, Room), RequestError> {
    let announced = announced_bytes(request);
    let limit = limits.one_bytes_max;
    if announced.is_some_and(|bytes| bytes > u64::from(limit)) {
        return Err(RequestError::TooLarge { limit });
    }
    let expected = announced.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(UNANNOUNCED_BYTES.min(limit));
    let room = limits.budget.wait_for(expected, limits.room_wait).await.ok_or(RequestError::Busy)?;
    timeout(limits.timeout, collect(payload, room, expected as usize, limit))
        .await
        .unwrap_or(Err(RequestError::TooSlow { limit: limits.timeout }))
}

async fn collect(
    mut payload: Payload,
    mut room: Room,
    expected: usize,
    limit: u32,
) -> Result<(Vec<u8>, Room), RequestError> {
    let mut body = Vec::with_capacity(expected);
    while let Some(part) = payload.next().await {
        let part = part.map_err(|_| RequestError::Broken)?;
        let bytes = body.len() + part.len();
        if bytes > limit as usize {
            return Err(RequestError::TooLarge { limit });
        }
        if !room.grow_to(bytes) {
            return Err(RequestError::Busy);
        }
        body.extend_from_slice(&part);
    }
    Ok((body, room))
}

fn announced_bytes(request: &HttpRequest) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
