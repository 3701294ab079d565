//! Receives M-Pesa's callbacks for the floor: answers each with 200 and counts it. It must not know what they say.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, rt, web};

use crate::error::BenchError;

/// A listener that runs until it is dropped.
pub(super) struct Callbacks {
    address: SocketAddr,
    received: Arc<AtomicU64>,
    server: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Callbacks {
    /// Listens on a free port of this machine.
    pub(super) fn listen() -> Result<Self, BenchError> {
        let failed = |source| BenchError::Listen { source };
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let received = Arc::new(AtomicU64::new(0));
        let counter = web::Data::from(Arc::clone(&received));
        let app = move || App::new().app_data(counter.clone()).default_service(web::to(take));
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0).listen(listener);
                let server = server.map(HttpServer::run);
                // Whoever waits for this hears of it, or has ended.
                let _ = tell.send(server.as_ref().map(actix_web::dev::Server::handle).map_err(ToString::to_string));
                if let Ok(server) = server {
                    // It ends when it is told to.
                    let _ = server.await;
                }
            });
        });
        let server = match told.recv() {
            Ok(Ok(server)) => server,
            Ok(Err(why)) => return Err(failed(std::io::Error::other(why))),
            Err(_) => return Err(BenchError::Client),
        };
        Ok(Self { address, received, server, thread: Some(thread) })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many have come.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Reads the whole of it, since the bridge must too.
async fn take(received: web::Data<AtomicU64>, body: web::Bytes) -> HttpResponse {
    drop(body);
    received.fetch_add(1, Ordering::Relaxed);
    HttpResponse::Ok().content_type("application/json").body(r#"{"ResultCode":0,"ResultDesc":"Accepted"}"#)
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        // The thread drives the server; the future says only when it has stopped.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            // Had it panicked, the floor would have missed its callbacks.
            let _ = thread.join();
        }
    }
}
