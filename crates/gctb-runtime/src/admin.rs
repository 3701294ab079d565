//! `/healthz`, `/readyz` and `/metrics`, on a port of their own or within a service's own HTTP server.
//!
//! The pages need no password and carry nobody's data; they bind to loopback unless the settings open them.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::header::ContentType;
use actix_web::web::{Data, ServiceConfig, get};
use actix_web::{App, HttpResponse, HttpServer};

use crate::health::{Health, Report};
use crate::settings::AdminSettings;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// The running server. Dropping it ends it.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// Why the pages are not served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Not an address.
    #[error("{bind:?} (setting admin.bind) is not an address such as \"127.0.0.1:9100\"")]
    Address {
        /// What the settings say.
        bind: String,
        /// What is wrong with it.
        #[source]
        cause: std::io::Error,
    },
    /// An address that others reach, without leave to be reached.
    #[error("{bind} (setting admin.bind) is reachable by others; set admin.open = true if that is wanted")]
    NotLoopback {
        /// What the settings say.
        bind: String,
    },
    /// Somebody else has the port.
    #[error("the port of {bind} (setting admin.bind) is in use; stop its user or choose another port")]
    InUse {
        /// What the settings say.
        bind: String,
    },
    /// The address cannot be bound or the thread not started.
    #[error("could not serve on {bind} (setting admin.bind)")]
    Serve {
        /// What the settings say.
        bind: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

impl AdminServer {
    /// Serves the pages on a thread of their own until the returned value is dropped.
    ///
    /// # Errors
    /// [`AdminError`], which names the setting to change.
    pub fn start(
        settings: &AdminSettings,
        health: Health,
        telemetry: Telemetry,
        shutdown: Shutdown,
    ) -> Result<Self, AdminError> {
        let bind = settings.bind.clone();
        let listener = listen(settings)?;
        let serve = |cause| AdminError::Serve { bind: bind.clone(), cause };
        let address = listener.local_addr().map_err(serve)?;
        let (tell_handle, handle) = std::sync::mpsc::channel();
        let run = move || {
            actix_web::rt::System::new().block_on(async move {
                let pages = Pages::new(health, telemetry, shutdown);
                let server = HttpServer::new(move || App::new().configure(pages.clone().routes()))
                    .workers(1)
                    .disable_signals()
                    .shutdown_timeout(1)
                    .listen(listener)
                    .map(HttpServer::run);
                match server {
                    Ok(server) => {
                        let _ = tell_handle.send(Ok(server.handle()));
                        if let Err(error) = server.await {
                            tracing::error!(error = %error, "the health pages are no longer served");
                        }
                    }
                    Err(error) => {
                        let _ = tell_handle.send(Err(error));
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(run).map_err(serve)?;
        let handle =
            handle.recv().map_err(|_| serve(std::io::Error::other("the thread ended at once")))?.map_err(serve)?;
        Ok(Self { address, handle, thread: Some(thread) })
    }

    /// Where it listens; with port 0 in the settings, the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        // The server hears the command when it is given; the answer only says when it has ended.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Mounts the three pages on a service's own server: `App::new().configure(admin::routes(health, telemetry, shutdown))`.
pub fn routes(health: Health, telemetry: Telemetry, shutdown: Shutdown) -> impl FnOnce(&mut ServiceConfig) + Clone {
    Pages::new(health, telemetry, shutdown).routes()
}

#[derive(Clone)]
struct Pages {
    health: Health,
    telemetry: Telemetry,
    shutdown: Shutdown,
}

impl Pages {
    fn new(health: Health, telemetry: Telemetry, shutdown: Shutdown) -> Self {
        health.observe(&telemetry.meter());
        Self { health, telemetry, shutdown }
    }

    fn routes(self) -> impl FnOnce(&mut ServiceConfig) + Clone {
        move |config: &mut ServiceConfig| {
            config
                .app_data(Data::new(self))
                .route("/healthz", get().to(|pages: Data<Self>| async move { answer(&pages.health.alive()) }))
                .route("/readyz", get().to(|pages: Data<Self>| async move { answer(&pages.ready()) }))
                .route("/metrics", get().to(|pages: Data<Self>| async move { pages.metrics() }));
        }
    }

    fn ready(&self) -> Report {
        let mut report = self.health.ready();
        if self.shutdown.is_requested() {
            report.ok = false;
            report.failing.insert("process".to_owned(), "shutting down".to_owned());
        }
        report
    }

    fn metrics(&self) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4; charset=utf-8")
            .body(self.telemetry.render_metrics())
    }
}

fn answer(report: &Report) -> HttpResponse {
    let mut response = if report.ok { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    // A report is two plain fields, which always serialise.
    response.content_type(ContentType::json()).body(serde_json::to_string(report).unwrap_or_default())
}

fn listen(settings: &AdminSettings) -> Result<TcpListener, AdminError> {
    let bind = settings.bind.clone();
    let addresses: Vec<SocketAddr> = match settings.bind.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(cause) => return Err(AdminError::Address { bind, cause }),
    };
    if !settings.open && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(AdminError::NotLoopback { bind });
    }
    TcpListener::bind(addresses.as_slice()).map_err(|cause| {
        if cause.kind() == std::io::ErrorKind::AddrInUse {
            AdminError::InUse { bind }
        } else {
            AdminError::Serve { bind, cause }
        }
    })
}

#[cfg(test)]
mod tests;
