//! Puts the service together and runs it to its end.

use std::time::Duration;

use gctb_db::Db;
use gctb_events::{Topic, TopicDeclaration, declared_topics};
use gctb_outbox::{Outbox, database, wait_for_database};
use gctb_runtime::{AdminServer, Health, LoopWorld, Producer, Shutdown, Telemetry, Workers, consume, topics_admin};

use crate::clock::Clock;
use crate::resolver::{Resolver, World};
use crate::router::Router;
use crate::rules::Rules;
use crate::settings::{IDENTITY, Settings};
use crate::settling::Exits;

/// What the threads may take beyond the time in which the consumers close.
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
    let health = Health::new();
    // Until all is started the service is not ready, whatever its parts say.
    let start = health.component("start-up");
    let _pages = AdminServer::start(&settings.admin, health.clone(), telemetry.clone(), shutdown.clone())?;
    let db = database(&settings.database, IDENTITY.name);
    wait_for_database(&db, settings.durability, Clock::SYSTEM.time, &health, shutdown)?;
    topics_admin::wait_until_declared(&settings.kafka, &topics, &health, shutdown)?;

    let ended = if shutdown.is_requested() {
        Ok(())
    } else {
        let workers = spawn_workers(settings, rules, &db, &telemetry, &health, shutdown)?;
        start.ok();
        workers.join(settings.consumer.shutdown_deadline + STOP_MARGIN)
    };
    telemetry.shutdown();
    Ok(ended?)
}

/// Starts the two loops, each with a consumer and a group of its own, and what publishes their refusals.
fn spawn_workers(
    settings: &Settings,
    rules: Rules,
    db: &Db,
    telemetry: &Telemetry,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<Workers> {
    let meter = telemetry.meter();
    let producer = Producer::new(&settings.kafka, IDENTITY.name, health)?;
    let mut workers = Workers::new(shutdown);
    let outbox = Outbox::start(&settings.outbox, db, &producer, health, &meter, shutdown, &mut workers)?;

    let router = Router::new(rules.clone(), exits(db, &outbox, &producer));
    let world = World {
        exits: exits(db, &outbox, &producer),
        clock: Clock::SYSTEM,
        meter: meter.clone(),
        health: health.clone(),
        shutdown: shutdown.clone(),
    };
    let resolver = Resolver::new(rules, &settings.mapper, world)?;

    let routing = LoopWorld {
        service: IDENTITY.name,
        kafka: settings.kafka.clone(),
        consumer: settings.consumer.clone(),
        producer,
        health: health.clone(),
        meter,
        shutdown: shutdown.clone(),
    };
    let mut resolving = routing.clone();
    resolving.kafka.group = Some(settings.resolve.group.clone());
    workers.spawn("router", move || consume(&Topic::Batches, &routing, router))?;
    workers.spawn("resolver", move || consume(&Topic::Resolve, &resolving, resolver))?;
    Ok(workers)
}

fn exits(db: &Db, outbox: &Outbox, producer: &Producer) -> Exits {
    let (outbox, producer) = (outbox.clone(), producer.clone());
    Exits {
        db: db.clone(),
        publish: Box::new(move |rows| outbox.publish(rows)),
        send: Box::new(move |messages| producer.send_all(messages)),
    }
}

/// The topics that this service reads and writes.
fn topics(settings: &Settings) -> anyhow::Result<Vec<TopicDeclaration>> {
    let mut topics = declared_topics(&settings.backends)?;
    let dead = [Topic::Batches.dead(), Topic::Resolve.dead()];
    topics.retain(|declared| match &declared.topic {
        Topic::Batches | Topic::Resolve | Topic::Status | Topic::Payments(_) => true,
        Topic::Dead(_) => dead.contains(&declared.topic),
        Topic::Completions => false,
    });
    Ok(topics)
}
