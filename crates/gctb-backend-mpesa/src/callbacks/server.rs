//! The HTTP side: who may say something, what it is about, and the answer when it is committed.
//!
//! It knows nothing of Postgres. Nothing of a body, a path or a key appears in a log (invariant I9).

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::{Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt;
use gctb_runtime::Shutdown;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::committer::{Matter, Waiting};
use super::door::Door;
use super::kept::{BODY_BYTES_MAX, Refused};
use super::meters::Meters;
use super::networks::{self, Networks};
use super::outcome::Outcome;
use crate::daraja::{Callback, CallbackError, Daraja, Route};
use crate::funds::Funds;
use crate::settings::ListenerSettings;

/// Where a proxy says for whom it speaks.
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a request needs.
pub(super) struct Desk {
    pub(super) rail: Arc<Daraja>,
    pub(super) funds: Arc<Funds>,
    pub(super) door: Door,
    pub(super) allowed: Networks,
    pub(super) proxies: Networks,
    pub(super) queue: SyncSender<Waiting>,
    pub(super) meters: Meters,
    pub(super) body_bytes_max: usize,
    pub(super) body_timeout: Duration,
    pub(super) answer_timeout: Duration,
}

/// Serves until the shutdown is requested, then answers what is in hand within the settings' deadline.
///
/// # Errors
/// Where the server cannot be started or breaks.
pub(super) fn serve(
    listener: TcpListener,
    settings: &ListenerSettings,
    desk: Desk,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let desk = Data::new(desk);
    let workers = settings.workers.max(1);
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || App::new().app_data(desk.clone()).default_service(web::route().to(take)))
            .workers(workers)
            .max_connections(settings.connections_max.div_ceil(workers).max(1))
            .client_request_timeout(settings.head_timeout)
            .keep_alive(settings.keep_alive)
            .shutdown_timeout(settings.shutdown_deadline.as_secs())
            .disable_signals()
            .listen(listener)?
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            shutdown.requested().await;
            handle.stop(true).await;
        });
        server.await
    })
}

async fn take(request: HttpRequest, payload: Payload, desk: Data<Desk>) -> HttpResponse {
    let outcome = desk.take(&request, payload).await;
    desk.meters.outcome(outcome);
    HttpResponse::build(outcome.status()).insert_header((CONTENT_TYPE, "application/json")).body(outcome.body())
}

impl Desk {
    async fn take(&self, request: &HttpRequest, payload: Payload) -> Outcome {
        let Some(path) = self.door.behind(request.path()).filter(|_| request.method() == Method::POST) else {
            return Outcome::UnknownPath;
        };
        let is_from_there = self.caller(request).is_some_and(|caller| self.allowed.contains(caller));
        let body = match self.body(payload).await {
            Ok(body) => body,
            Err(Cut::Broken) => return Outcome::Broken,
            Err(Cut::TooLarge(beginning)) => {
                let outcome = if is_from_there { Outcome::TooLarge } else { Outcome::Elsewhere };
                return self.refuse(outcome, Route::parse(path), beginning).await;
            }
        };
        let route = Route::parse(path);
        match route {
            _ if !is_from_there => self.refuse(Outcome::Elsewhere, route, body).await,
            Some(route) => self.read(route, body).await,
            None => self.refuse(Outcome::UnknownPath, None, body).await,
        }
    }

    fn caller(&self, request: &HttpRequest) -> Option<IpAddr> {
        let values: Vec<&str> = request
            .headers()
            .get_all(FORWARDED)
            // What is no text is no address.
            .map(|value| value.to_str().unwrap_or("?"))
            .collect();
        networks::caller(request.peer_addr()?.ip(), &self.proxies, values.into_iter())
    }

    async fn body(&self, payload: Payload) -> Result<Vec<u8>, Cut> {
        timeout(self.body_timeout, collect(payload, self.body_bytes_max)).await.unwrap_or(Err(Cut::Broken))
    }

    async fn read(&self, route: Route, body: Vec<u8>) -> Outcome {
        match self.rail.callback(route, &body) {
            Ok(Callback::Payment(news)) => self.wait_for(Matter::News(news, body)).await,
            Ok(Callback::Balance(accounts)) => match self.rail.paying_account(&accounts) {
                Some(account) => {
                    self.funds.told(account.available_minor);
                    Outcome::Balance
                }
                None => Outcome::BalanceUntold,
            },
            Err(error) => self.refuse(why(error), Some(route), body).await,
        }
    }

    /// Has a callback that is not believed written down.
    async fn refuse(&self, outcome: Outcome, route: Option<Route>, mut body: Vec<u8>) -> Outcome {
        body.truncate(BODY_BYTES_MAX);
        let key = match route {
            Some(Route::StatusResult(question) | Route::StatusTimeout(question)) => Some(question.key),
            Some(Route::PaymentResult | Route::PaymentTimeout | Route::BalanceResult | Route::BalanceTimeout)
            | None => None,
        };
        self.wait_for(Matter::Refused(Refused { outcome, key, batch: None, body })).await
    }

    /// Puts it into the queue and waits for its commit.
    async fn wait_for(&self, matter: Matter) -> Outcome {
        let (answer, told) = oneshot::channel();
        match self.queue.try_send(Waiting { matter, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Outcome::Busy,
            Err(TrySendError::Disconnected(_)) => return Outcome::Unavailable,
        }
        match timeout(self.answer_timeout, told).await {
            Ok(Ok(outcome)) => outcome,
            // The thread that commits has ended, and the service ends with it.
            Ok(Err(_)) => Outcome::Unavailable,
            Err(_) => Outcome::Late,
        }
    }
}

/// Why there is no whole body.
enum Cut {
    /// It broke off or took too long.
    Broken,
    /// It is longer than the limit; this is how it begins.
    TooLarge(Vec<u8>),
}

async fn collect(mut payload: Payload, bytes_max: usize) -> Result<Vec<u8>, Cut> {
    let mut body = Vec::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|_| Cut::Broken)?;
        if body.len() + part.len() > bytes_max {
            body.extend_from_slice(&part[..bytes_max - body.len()]);
            return Err(Cut::TooLarge(body));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn why(error: CallbackError) -> Outcome {
    match error {
        CallbackError::TooLarge => Outcome::TooLarge,
        CallbackError::Malformed => Outcome::Malformed,
        CallbackError::NotOurs => Outcome::NotOurs,
        CallbackError::OtherPayment => Outcome::OtherPayment,
        CallbackError::OtherAccount => Outcome::OtherAccount,
        CallbackError::Amount => Outcome::AmountUnreadable,
    }
}
