//! Puts the service together and runs it to its end.

use std::time::Duration;

use gctb_db::Db;
use gctb_events::{Topic, TopicDeclaration, declared_topics};
use gctb_outbox::{DurabilitySettings, Outbox, database, wait_for_database};
use gctb_runtime::{
    AdminServer, Component, Health, LoopWorld, Producer, Shutdown, Telemetry, Workers, consume, topics_admin,
};

use crate::clock::Clock;
use crate::router::{Router, World};
use crate::rules::Rules;
use crate::settings::{IDENTITY, Settings};

/// What the threads may take beyond the time in which the consumer closes.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Runs the service until the shutdown is requested.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(settings: &Settings, shutdown: &Shutdown) -> anyhow::Result<()> {
    settings.check()?;
    let rules = Rules::compile(settings)?;
    let topics = topics(settings)?;
    let telemetry = Telemetry::start(&IDENTITY, &settings.telemetry)?;
    let (health, meter) = (Health::new(), telemetry.meter());
    // Until all is started the service is not ready, whatever its parts say.
    let start = health.component("start-up");
    let _pages = AdminServer::start(&settings.admin, health.clone(), telemetry.clone(), shutdown.clone())?;
    let db = database(&settings.database, IDENTITY.name);
    let producer = Producer::new(&settings.kafka, IDENTITY.name, &health)?;
    let mut workers = Workers::new(shutdown);
    let outbox = Outbox::start(&settings.outbox, &db, &producer, &health, &meter, shutdown, &mut workers)?;
    let router = Router::new(rules, &settings.mapper, world(&db, &producer, outbox, &health, &telemetry, shutdown))?;
    let world = LoopWorld {
        service: IDENTITY.name,
        kafka: settings.kafka.clone(),
        consumer: settings.consumer.clone(),
        producer,
        health,
        meter,
        shutdown: shutdown.clone(),
    };
    let durability = settings.durability;
    workers.spawn("router", move || start_and_consume(&db, durability, &topics, &start, &world, router))?;
    let ended = workers.join(settings.consumer.shutdown_deadline + STOP_MARGIN);
    telemetry.shutdown();
    Ok(ended?)
}

fn world(
    db: &Db,
    producer: &Producer,
    outbox: Outbox,
    health: &Health,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> World {
    let producer = producer.clone();
    World {
        db: db.clone(),
        publish: Box::new(move |rows| outbox.publish(rows)),
        send: Box::new(move |messages| producer.send_all(messages)),
        clock: Clock::SYSTEM,
        meter: telemetry.meter(),
        health: health.clone(),
        shutdown: shutdown.clone(),
    }
}

/// Waits for the database and for Kafka, then consumes until the end.
fn start_and_consume(
    db: &Db,
    durability: DurabilitySettings,
    topics: &[TopicDeclaration],
    start: &Component,
    world: &LoopWorld,
    router: Router,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    wait_for_database(db, durability, Clock::SYSTEM.time, &world.health, &world.shutdown)?;
    if world.shutdown.is_requested() {
        return Ok(());
    }
    topics_admin::wait_until_declared(&world.kafka, topics, &world.health, &world.shutdown)?;
    start.ok();
    Ok(consume(&Topic::Batches, world, router)?)
}

/// The topics that this service reads and writes.
fn topics(settings: &Settings) -> anyhow::Result<Vec<TopicDeclaration>> {
    let mut topics = declared_topics(&settings.backends)?;
    let dead = Topic::Batches.dead();
    topics.retain(|declared| match &declared.topic {
        Topic::Batches | Topic::Status | Topic::Payments(_) => true,
        Topic::Dead(_) => declared.topic == dead,
        Topic::Completions => false,
    });
    Ok(topics)
}
