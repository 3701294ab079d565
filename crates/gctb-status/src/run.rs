//! Puts the service together and runs it to its end.

use std::time::Duration;

use chrono::Utc;
use gctb_db::{Db, DbError, DueSweep};
use gctb_events::{Topic, declared_topics};
use gctb_outbox::{Outbox, database, wait_for_database};
use gctb_runtime::{AdminServer, Health, LoopWorld, Producer, Shutdown, Telemetry, Workers, consume, topics_admin};

use crate::consumers::Consumers;
use crate::fold::StatusFolder;
use crate::settings::{IDENTITY, Settings};
use crate::sweeper::Sweeper;
use crate::{attention, partitions};

/// What the threads may take beyond the time in which the consumer finishes what is in hand.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Runs the service until the shutdown is requested.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(settings: &Settings, shutdown: &Shutdown) -> anyhow::Result<()> {
    settings.check()?;
    let telemetry = Telemetry::start(&IDENTITY, &settings.telemetry)?;
    let health = Health::new();
    // Until all is started the service is not ready, whatever its parts say.
    let start = health.component("start-up");
    let _pages = AdminServer::start(&settings.admin, health.clone(), telemetry.clone(), shutdown.clone())?;
    let db = database(&settings.database, IDENTITY.name);
    wait_for_database(&db, settings.durability, Utc::now, &health, shutdown)?;
    let topics = declared_topics(&settings.backends)?;
    topics_admin::wait_until_declared(&settings.kafka, &topics, &health, shutdown)?;

    let ended = if shutdown.is_requested() {
        Ok(())
    } else {
        let workers = spawn_workers(settings, &db, &telemetry, &health, shutdown)?;
        start.ok();
        workers.join(settings.consumer.shutdown_deadline + STOP_MARGIN)
    };
    telemetry.shutdown();
    Ok(ended?)
}

fn spawn_workers(
    settings: &Settings,
    db: &Db,
    telemetry: &Telemetry,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<Workers> {
    let meter = telemetry.meter();
    let producer = Producer::new(&settings.kafka, IDENTITY.name, health)?;
    let mut workers = Workers::new(shutdown);
    let outbox = Outbox::start(&settings.outbox, db, &producer, health, &meter, shutdown, &mut workers)?;

    let world = LoopWorld {
        service: IDENTITY.name,
        kafka: settings.kafka.clone(),
        consumer: settings.consumer.clone(),
        producer,
        health: health.clone(),
        meter: meter.clone(),
        shutdown: shutdown.clone(),
    };
    workers.spawn("fold", {
        let (db, outbox) = (db.clone(), outbox.clone());
        move || consume(&Topic::Status, &world, StatusFolder::new(db, move |rows| outbox.publish(rows)))
    })?;

    let mut consumers = Consumers::new(&settings.kafka, &settings.sweep, &settings.backends)?;
    let have_passed = move |sweep: &DueSweep, now| consumers.have_passed(sweep, now);
    let publish = move |rows| outbox.publish(rows);
    let sweeper = Sweeper::new(db.clone(), &settings.sweep, have_passed, publish, Utc::now, &meter);
    workers.spawn("sweeper", {
        let (health, shutdown) = (health.clone(), shutdown.clone());
        move || {
            sweeper.run(&health, &shutdown);
            Ok::<(), DbError>(())
        }
    })?;

    workers.spawn("partitions", {
        let (db, settings, health) = (db.clone(), settings.partitions.clone(), health.clone());
        let (meter, shutdown) = (meter.clone(), shutdown.clone());
        move || {
            partitions::keep_ahead(&db, &settings, Utc::now, &health, &meter, &shutdown);
            Ok::<(), DbError>(())
        }
    })?;
    workers.spawn("attention", {
        let (db, settings, health) = (db.clone(), settings.attention.clone(), health.clone());
        let shutdown = shutdown.clone();
        move || {
            attention::watch(&db, &settings, &health, &meter, &shutdown);
            Ok::<(), DbError>(())
        }
    })?;
    tracing::info!("gctb-status folds status events");
    Ok(workers)
}
