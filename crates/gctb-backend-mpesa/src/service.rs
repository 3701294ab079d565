//! The service: its settings, and the rail of the configured profile handed to the kit.

use std::sync::Arc;

use anyhow::Context;
use chrono::Utc;
use gctb_backend::{BackendSettings, Listening, RailSettings, ServiceSettings, Surroundings};
use gctb_outbox::{DurabilitySettings, OutboxSettings};
use gctb_runtime::{
    AdminSettings, ConsumerSettings, DatabaseSettings, KafkaSettings, Shutdown, Telemetry, TelemetrySettings,
};
use serde::Deserialize;

use crate::callbacks::{CallbackWorld, Callbacks};
use crate::daraja::Daraja;
use crate::funds::Funds;
use crate::settings::{IDENTITY, MpesaSettings, Profile};
use crate::simple::Simple;

/// All settings. `config/default.toml` documents each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// How the consumer loop works.
    pub consumer: ConsumerSettings,
    /// How to reach Postgres.
    pub database: DatabaseSettings,
    /// Where health and metrics are served.
    pub admin: AdminSettings,
    /// What is logged and traced.
    pub telemetry: TelemetrySettings,
    /// How the outbox is emptied.
    pub outbox: OutboxSettings,
    /// Who this instance is.
    pub backend: BackendSettings,
    /// What Postgres must promise.
    pub durability: DurabilitySettings,
    /// How the rail is called.
    pub rail: RailSettings,
    /// The two profiles.
    pub mpesa: MpesaSettings,
}

/// Runs the service until `shutdown`.
///
/// # Errors
/// What keeps it from starting, or made one of its workers end; each says what to do.
pub fn run(settings: Settings, telemetry: &Telemetry, shutdown: &Shutdown) -> anyhow::Result<()> {
    let Settings { kafka, consumer, database, admin, telemetry: _, outbox, backend, durability, rail, mpesa } =
        settings;
    let settings = ServiceSettings { kafka, consumer, database, admin, outbox, backend, durability, rail };
    match mpesa.profile {
        Profile::Simple => {
            let rail = Simple::new(&mpesa).context("could not set up the rail of the profile \"simple\"")?;
            gctb_backend::run(&IDENTITY, settings, rail, |_, _| Ok(Listening::none()), telemetry, shutdown)
        }
        Profile::Daraja => {
            let rail = Daraja::new(&mpesa, Utc::now().timestamp())
                .context("could not set up the rail of the profile \"daraja\"")?;
            let listen = |rail: &Arc<Daraja>, surroundings: Surroundings<'_>| listen(&mpesa, rail, surroundings);
            gctb_backend::run(&IDENTITY, settings, rail, listen, telemetry, shutdown)
        }
    }
}

/// Starts the listener for callbacks and the watch over the payer's balance.
fn listen(mpesa: &MpesaSettings, rail: &Arc<Daraja>, surroundings: Surroundings<'_>) -> anyhow::Result<Listening> {
    let Surroundings { db, holder, outbox, health, meter, runtime, signals, shutdown, workers } = surroundings;
    let funds = Arc::new(Funds::new(&mpesa.daraja));
    let asking = signals.clone();
    let world = CallbackWorld::new(Arc::clone(rail), db, holder, Arc::clone(&funds))
        .publishing(move |rows| outbox.publish(rows))
        .telling(move |news| signals.heard(&news.reply, news.sends > 0));
    let callbacks = Callbacks::start(mpesa, world, &health, &meter, &shutdown, workers)
        .context("could not start the listener for M-Pesa's callbacks")?;
    let (watched, watching) = (Arc::clone(&funds), Arc::clone(rail));
    runtime.spawn(async move { watched.watch(&watching, &health, || !asking.is_held(), &shutdown).await });
    Ok(Listening { funds: Box::new(move |sum| funds.take(sum)), guard: Box::new(callbacks) })
}
