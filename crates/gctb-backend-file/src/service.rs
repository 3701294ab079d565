//! Puts the parts of the service together and runs them until they are asked to end.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use gctb_domain::{FaStrategies, default_strategies};
use gctb_events::{Topic, declared_topics};
use gctb_outbox::{Outbox, database, wait_for_database};
use gctb_runtime::consumer::LoopWorld;
use gctb_runtime::topics_admin::wait_until_declared;
use gctb_runtime::{
    AdminServer, Health, LoopError, Producer, ServiceIdentity, Shutdown, Telemetry, Workers, chain, consume,
};

use crate::answers::Answers;
use crate::claims::Claims;
use crate::deliver::Deliveries;
use crate::layout::Layout;
use crate::response::Words;
use crate::settings::Settings;
use crate::store::Store;

/// Who this service is.
pub const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-backend-file",
    about: "Pays through banks that take files: fills payment files, puts them, and reads the bank's answers.",
    defaults: include_str!("../config/default.toml"),
};

/// Smallest sensible limit of a file: the entries of one chunk.
const ROWS_MAX_AT_LEAST: usize = gctb_events::CHUNK_ENTRIES_MAX;

/// Runs the service until `shutdown`.
///
/// # Errors
/// What keeps it from starting, or made one of its workers end; each says what to do.
pub fn run(settings: Settings, telemetry: &Telemetry, shutdown: &Shutdown) -> anyhow::Result<()> {
    anyhow::ensure!(
        settings.files.rows_max >= ROWS_MAX_AT_LEAST,
        "files.rows_max is {}: set it to {ROWS_MAX_AT_LEAST} or more, the entries of one chunk",
        settings.files.rows_max
    );
    let health = Health::new();
    // Until all is started the service is not ready, whatever its parts say.
    let start = health.component("start-up");
    let admin = AdminServer::start(&settings.admin, health.clone(), telemetry.clone(), shutdown.clone())?;
    let strategies = if settings.strategy.is_empty() { default_strategies() } else { settings.strategy.clone() };
    let layout = Layout::new(FaStrategies::compile(&strategies)?, settings.columns.clone());
    let files = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("file store")
        .enable_all()
        .build()
        .context("could not start the file store's runtime")?;
    let store = Store::open(&settings.store, &files)
        .with_context(|| format!("could not use the file store at {:?} (setting store.root)", settings.store.root))?;
    wait_for_places(&store, settings.store.poll, &health, shutdown);
    let db = database(&settings.database, IDENTITY.name);
    wait_for_database(&db, settings.durability, Utc::now, &health, shutdown)?;
    let backend = settings.backend.name.clone();
    wait_until_declared(&settings.kafka, &declared_topics(std::slice::from_ref(&backend))?, &health, shutdown)?;
    let producer = Producer::new(&settings.kafka, IDENTITY.name, &health)?;
    let meter = telemetry.meter();

    let mut workers = Workers::new(shutdown);
    let outbox = Outbox::start(&settings.outbox, &db, &producer, &health, &meter, shutdown, &mut workers)?;
    let mut deliveries = Deliveries::new(
        backend.clone(),
        db.clone(),
        store.clone(),
        layout.clone(),
        settings.files.clone(),
        &health,
        &meter,
    );
    let stop = shutdown.clone();
    workers.spawn("deliveries", move || {
        deliveries.run(&stop);
        Ok::<(), LoopError>(())
    })?;
    let words = Words::new(&settings.words);
    let answered = outbox.clone();
    let publish = move |rows| answered.publish(rows);
    let mut answers =
        Answers::new(backend.clone(), db.clone(), publish, store, words, settings.store.clone(), &health, &meter);
    let stop = shutdown.clone();
    workers.spawn("answers", move || {
        answers.run(&stop);
        Ok::<(), LoopError>(())
    })?;
    let claims = Claims::new(backend.clone(), db, move |rows| outbox.publish(rows), layout, &settings.files);
    let deadline = settings.consumer.shutdown_deadline;
    // Two instances under two names are two groups: each reads its own topic.
    let mut kafka = settings.kafka;
    kafka.group.get_or_insert_with(|| format!("gctb-backend-{backend}"));
    let world = LoopWorld {
        service: IDENTITY.name,
        kafka,
        consumer: settings.consumer,
        producer,
        health,
        meter,
        shutdown: shutdown.clone(),
    };
    workers.spawn("claims", move || consume(&Topic::Payments(backend), &world, claims))?;
    start.ok();
    workers.join(deadline)?;
    drop(admin);
    Ok(())
}

/// Returns when the folder shared with the bank is there, or at a shutdown. Until then the health component
/// `shared folder` fails and says why, so that the service may be started before the folder is mounted.
fn wait_for_places(store: &Store, look_again: Duration, health: &Health, shutdown: &Shutdown) {
    let component = health.component("shared folder");
    while let Err(error) = store.make_places() {
        let trouble = chain(&error);
        if component.failing(trouble.clone()) {
            tracing::warn!(trouble, "the service waits for the bank's folder before it starts its work");
        }
        if shutdown.wait_timeout(look_again) {
            return;
        }
    }
    component.ok();
}
