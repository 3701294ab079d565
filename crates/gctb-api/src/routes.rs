//! The routes, and how a request gets to its handler: body within the limits, work on a thread that may block.

use std::time::Instant;

use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use gctb_runtime::trace;

use crate::body::{self, BodyLimits};
use crate::budget::Room;
use crate::reply::{Reply, RequestError};
use crate::world::World;
use crate::{docs, intake, status};

/// Where disburse messages go.
pub(crate) const DISBURSE: &str = "/disburse/sync/disburse";
/// Where status messages go.
pub(crate) const STATUS: &str = "/disburse/sync/txn/status";
/// The description of the API.
pub(crate) const OPENAPI: &str = "/openapi.json";
/// The page that shows it; the pattern under which it is mounted begins with it.
#[cfg(test)]
pub(crate) const DOCS: &str = "/docs/";

/// Mounts the API and its description. `/healthz`, `/readyz` and `/metrics` are mounted by gctb-runtime's `admin::routes`.
pub(crate) fn api(world: World) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config: &mut ServiceConfig| {
        config
            .app_data(Data::new(world))
            .service(web::resource(DISBURSE).route(web::post().to(disburse)))
            .service(web::resource(STATUS).route(web::post().to(txn_status)))
            .service(web::resource(OPENAPI).route(web::get().to(docs::openapi)))
            .service(web::resource("/docs").route(web::get().to(docs::to_docs)))
            .service(docs::swagger_ui());
    }
}

async fn disburse(request: HttpRequest, payload: Payload, world: Data<World>) -> HttpResponse {
    let limits = world.bodies.clone();
    answer("disburse", request, payload, world, &limits, |world, body, room| {
        intake::take(world, body, room, (world.clock)(), trace::current_traceparent().as_deref())
    })
    .await
}

async fn txn_status(request: HttpRequest, payload: Payload, world: Data<World>) -> HttpResponse {
    let limits = world.questions.clone();
    answer("status", request, payload, world, &limits, |world, body, _room| status::tell(world, &body, (world.clock)()))
        .await
}

async fn answer(
    endpoint: &'static str,
    request: HttpRequest,
    payload: Payload,
    world: Data<World>,
    limits: &BodyLimits,
    work: impl FnOnce(&World, Vec<u8>, Room) -> Result<Reply, RequestError> + Send + 'static,
) -> HttpResponse {
    let began = Instant::now();
    let result = work_on(endpoint, &request, payload, &world, limits, work).await;
    world.metrics.request(endpoint, began.elapsed());
    result.map_or_else(
        |error| {
            world.metrics.error(error.outcome());
            log(endpoint, &error);
            error.into_response(world.retry_after)
        },
        |reply| reply.into_response(world.answer_timeout),
    )
}

async fn work_on(
    endpoint: &'static str,
    request: &HttpRequest,
    payload: Payload,
    world: &Data<World>,
    limits: &BodyLimits,
    work: impl FnOnce(&World, Vec<u8>, Room) -> Result<Reply, RequestError> + Send + 'static,
) -> Result<Reply, RequestError> {
    let span = tracing::info_span!("request", endpoint);
    if let Some(parent) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
        trace::set_parent(&span, parent);
    }
    let (body, room) = body::receive(request, payload, limits).await?;
    let world = world.clone();
    // A sender that goes away does not stop the work: the room stays taken until it ends.
    web::block(move || span.in_scope(|| work(&world, body, room))).await.unwrap_or(Err(RequestError::Interrupted))
}

/// Faults of ours are logged; those of senders are theirs to know, and counted.
fn log(endpoint: &'static str, error: &RequestError) {
    match error {
        RequestError::Database(_) | RequestError::Interrupted => {
            tracing::warn!(endpoint, error = %gctb_runtime::chain(error), "a request could not be answered");
        }
        RequestError::Busy => tracing::warn!(endpoint, "a request was turned away: too many bodies are in hand"),
        RequestError::Shape(_)
        | RequestError::TooLarge { .. }
        | RequestError::Broken
        | RequestError::TooSlow { .. } => {
            tracing::debug!(endpoint, reason = error.outcome(), "a request could not be read");
        }
    }
}
