//! Puts the service together and runs it to its end.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use gctb_outbox::Outbox;
use gctb_runtime::{Health, Producer, Shutdown, Telemetry, Workers};

use crate::listen::listen;
use crate::metrics::Metrics;
use crate::settings::{IDENTITY, Settings};
use crate::world::World;
use crate::{readiness, server};

/// What the threads may take beyond the time in which requests in hand are answered.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Runs the service until the shutdown is requested.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(settings: &Settings, shutdown: &Shutdown) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&IDENTITY, &settings.telemetry)?;
    let listener = listen(&settings.http)?;
    let health = Health::new();
    let db = gctb_outbox::database(&settings.database, IDENTITY.name);
    let producer = Producer::new(&settings.kafka, IDENTITY.name, &health)?;
    let address = listener.local_addr().context("could not tell the address that was bound")?;

    let mut workers = Workers::new(shutdown);
    let outbox = Outbox::start(&settings.outbox, &db, &producer, &health, &telemetry.meter(), shutdown, &mut workers)?;
    let world = World::new(settings, db.clone(), outbox, Metrics::new(telemetry.meter()), Utc::now)?;
    workers.spawn("readiness", {
        let (settings, health, shutdown) = (settings.clone(), health.clone(), shutdown.clone());
        // The pool's wait for a connection, and as long again for the questions.
        let answer_time_max = settings.database.connect_timeout * 2;
        move || {
            let (readiness, durability) = (&settings.readiness, settings.durability);
            readiness::watch(&db, readiness, answer_time_max, durability, Utc::now, &health, &shutdown)
        }
    })?;
    workers.spawn("http", {
        let (settings, telemetry, shutdown) = (settings.clone(), telemetry.clone(), shutdown.clone());
        let threads = settings.database.pool_size as usize;
        move || server::serve(listener, &settings.http, threads, world, health, telemetry, shutdown)
    })?;
    tracing::info!(%address, "gctb-api takes requests");
    let ended = workers.join(settings.http.shutdown_deadline + STOP_MARGIN);
    telemetry.shutdown();
    Ok(ended?)
}
