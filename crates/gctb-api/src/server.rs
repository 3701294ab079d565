//! The HTTP server on a thread that waits for its end.

use std::net::TcpListener;

use actix_web::{App, HttpServer};
use gctb_runtime::{Health, Shutdown, Telemetry, admin};

use crate::routes;
use crate::settings::HttpSettings;
use crate::world::World;

/// Serves until the shutdown is requested, then finishes what is in hand within the settings' deadline.
///
/// `blocking_threads` is how many requests are worked on at once: more than the database has connections only wait there.
///
/// # Errors
/// Where the server cannot be started or breaks.
pub(crate) fn serve(
    listener: TcpListener,
    settings: &HttpSettings,
    blocking_threads: usize,
    world: World,
    health: Health,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let pages = admin::routes(health, telemetry, shutdown.clone());
    let api = routes::api(world);
    let workers = settings.workers.max(1);
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || App::new().configure(pages.clone()).configure(api.clone()))
            .workers(workers)
            .worker_max_blocking_threads(blocking_threads.div_ceil(workers).max(1))
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
