//! The `gctb-simulator` command: reads its settings, starts its log and runs until it is told to stop.
//!
//! It must not know what a mapper or a bank does; that is the library's business.

use anyhow::Context;
use clap::Parser;
use gctb_simulator::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    start_log();
    gctb_simulator::run(settings, stop_signal()?).await.context("the simulator stopped")
}

/// JSON lines on stderr, at level `info` unless `RUST_LOG` says otherwise.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();
}

/// Completes at the first SIGTERM or SIGINT. The handlers are in place when this function returns.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
