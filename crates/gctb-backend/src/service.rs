//! Puts the parts of a backend together and runs them until they are asked to end: what the `main` of each such service calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use gctb_db::Holder;
use gctb_domain::BackendName;
use gctb_events::{Topic, declared_topics};
use gctb_outbox::{DurabilitySettings, Outbox, OutboxSettings, database, wait_for_database};
use gctb_runtime::consumer::LoopWorld;
use gctb_runtime::topics_admin::wait_until_declared;
use gctb_runtime::{
    AdminServer, AdminSettings, ConsumerSettings, DatabaseSettings, Health, KafkaSettings, LoopError, Producer,
    ServiceIdentity, Shutdown, Telemetry, WorkerError, Workers, consume,
};
use opentelemetry::metrics::Meter;
use serde::Deserialize;
use uuid::Uuid;

use crate::chores::Chores;
use crate::claims::Claims;
use crate::holds::Holds;
use crate::intake::Intake;
use crate::lane::Lane;
use crate::meters::Meters;
use crate::pace::Pace;
use crate::rail::PaymentBackend;
use crate::settings::RailSettings;
use crate::world::{Affordable, FundsGate, RailSignals, World};

/// What lanes and chores may take beyond the time in which the consumer closes: the calls of a window end first.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// Longest silence of a lane or a chore beyond its lease before it counts as stuck.
const SILENCE_MARGIN: Duration = Duration::from_secs(120);

/// Who this instance is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSettings {
    /// Its name: part of its topic and of every claim.
    pub name: BackendName,
}

/// The settings that every such service has.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// How the consumer loop works.
    pub consumer: ConsumerSettings,
    /// How to reach Postgres.
    pub database: DatabaseSettings,
    /// Where health and metrics are served.
    pub admin: AdminSettings,
    /// How the outbox is emptied.
    pub outbox: OutboxSettings,
    /// Who this instance is.
    pub backend: BackendSettings,
    /// What Postgres must promise.
    pub durability: DurabilitySettings,
    /// How the rail is called.
    pub rail: RailSettings,
}

/// What a rail that hears of its payments elsewhere needs to start its own listener.
pub struct Surroundings<'a> {
    /// The ledger.
    pub db: gctb_db::Db,
    /// Who acts.
    pub holder: Holder,
    /// Sends rows that are committed, soon.
    pub outbox: Outbox,
    /// Where parts tell how they are.
    pub health: Health,
    /// Where they count.
    pub meter: Meter,
    /// Where asynchronous work runs: the rail's calls, and nothing that blocks.
    pub runtime: tokio::runtime::Handle,
    /// Where it tells what it hears about the rail itself.
    pub signals: RailSignals,
    /// When to end.
    pub shutdown: Shutdown,
    /// The service's threads.
    pub workers: &'a mut Workers,
}

/// What a rail's listener gives the kit.
pub struct Listening {
    /// Whether the payer's account can pay so much, in minor units, as far as is known.
    pub funds: FundsGate,
    /// What must live as long as the service.
    pub guard: Box<dyn std::any::Any>,
}

impl Listening {
    /// For rails that answer every call where it was made.
    pub fn none() -> Self {
        Self { funds: Box::new(|_| Affordable::Yes), guard: Box::new(()) }
    }
}

/// Runs a backend until `shutdown`. `listen` starts what the rail needs beside its calls, before anything is paid.
///
/// # Errors
/// What keeps it from starting, or made one of its workers end; each says what to do.
pub fn run<R: PaymentBackend>(
    identity: &'static ServiceIdentity,
    settings: ServiceSettings,
    rail: R,
    listen: impl FnOnce(&Arc<R>, Surroundings<'_>) -> anyhow::Result<Listening>,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let rail = Arc::new(rail);
    let kind = rail.kind();
    settings.rail.check(rail.deadline(), kind.two_phase)?;
    let health = Health::new();
    // Until all is started the service is not ready, whatever its parts say.
    let start = health.component("start-up");
    let admin = AdminServer::start(&settings.admin, health.clone(), telemetry.clone(), shutdown.clone())?;
    let db = database(&settings.database, identity.name);
    wait_for_database(&db, settings.durability, Utc::now, &health, shutdown)?;
    let backend = settings.backend.name.clone();
    let topics = declared_topics(std::slice::from_ref(&backend))?;
    wait_until_declared(&settings.kafka, &topics, &health, shutdown)?;
    if shutdown.is_requested() {
        return Ok(());
    }
    db.introduce_rail(&backend).context("could not introduce this backend to the database")?;
    let topic = Topic::Payments(backend.clone());
    let partitions = topics.iter().find(|declared| declared.topic == topic).map_or(1, |declared| declared.partitions);
    let producer = Producer::new(&settings.kafka, identity.name, &health)?;
    let meter = telemetry.meter();
    let calls = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("rail calls")
        .enable_all()
        .build()
        .context("could not start the runtime of the rail's calls")?;

    let mut workers = Workers::new(shutdown);
    let outbox = Outbox::start(&settings.outbox, &db, &producer, &health, &meter, shutdown, &mut workers)?;
    let holder = holder(&backend, kind, &settings.rail);
    let pace = Arc::new(Pace::new(&settings.rail, u32::try_from(partitions).unwrap_or(1), Instant::now()));
    let holds = Arc::new(Holds::new(settings.rail.try_again_after_no_funds, &health, &meter));
    let surroundings = Surroundings {
        db: db.clone(),
        holder: holder.clone(),
        outbox: outbox.clone(),
        health: health.clone(),
        meter: meter.clone(),
        runtime: calls.handle().clone(),
        signals: RailSignals { pace: Arc::clone(&pace), holds: Arc::clone(&holds) },
        shutdown: shutdown.clone(),
        workers: &mut workers,
    };
    let listening = listen(&rail, surroundings)?;
    let world = Arc::new(World {
        rail,
        kind,
        db,
        holder,
        pace,
        intake: Intake::default(),
        holds,
        funds: listening.funds,
        publish: Box::new(move |rows| outbox.publish(rows)),
        meters: Meters::new(&meter),
        runtime: calls.handle().clone(),
        shutdown: shutdown.clone(),
        settings: settings.rail.clone(),
    });
    spawn(&world, &health, &mut workers)?;
    let deadline = settings.consumer.shutdown_deadline.max(world.rail.deadline()) + STOP_MARGIN;
    // Two instances under two names are two groups: each reads its own topic.
    let mut kafka = settings.kafka;
    kafka.group.get_or_insert_with(|| format!("gctb-backend-{backend}"));
    let claiming = LoopWorld {
        service: identity.name,
        kafka,
        consumer: settings.consumer,
        producer,
        health,
        meter,
        shutdown: shutdown.clone(),
    };
    let claims = Claims::new(world);
    workers.spawn("claims", move || consume(&topic, &claiming, claims))?;
    start.ok();
    let ended = workers.join(deadline);
    drop((admin, listening.guard));
    // A call that does not end is left behind: its payment is asked about.
    calls.shutdown_background();
    Ok(ended?)
}

fn holder(backend: &BackendName, kind: gctb_domain::paying::RailKind, settings: &RailSettings) -> Holder {
    Holder {
        backend: backend.clone(),
        // New at each start: what an earlier process began is asked about first.
        owner: Uuid::new_v4(),
        kind,
        lease: settings.lease,
        settle: settings.settle,
        attempts_max: settings.attempts_max,
        ask_after: settings.ask_after,
        ask_after_max: settings.ask_after_max,
        asks_max: settings.asks_max,
        retry_after: settings.retry_after,
    }
}

fn spawn<R: PaymentBackend>(world: &Arc<World<R>>, health: &Health, workers: &mut Workers) -> Result<(), WorkerError> {
    let silence_max = world.settings.lease + SILENCE_MARGIN;
    for number in 1..=world.settings.lanes {
        let name = format!("lane {number}");
        let mut lane = Lane::new(Arc::clone(world), health.heartbeat(name.clone(), silence_max));
        workers.spawn(name, move || {
            lane.run();
            Ok::<(), LoopError>(())
        })?;
    }
    for number in 1..=world.settings.chore_threads {
        let name = format!("due payments {number}");
        let (heartbeat, component) = (health.heartbeat(name.clone(), silence_max), health.component(name.clone()));
        let chores = Chores::new(Arc::clone(world), heartbeat, component);
        workers.spawn(name, move || {
            chores.run();
            Ok::<(), LoopError>(())
        })?;
    }
    Ok(())
}
