//! The service: its settings, and the rail handed to the kit.

use anyhow::Context;
use gctb_backend::{BackendSettings, Listening, RailSettings, ServiceSettings};
use gctb_outbox::{DurabilitySettings, OutboxSettings};
use gctb_runtime::{
    AdminSettings, ConsumerSettings, DatabaseSettings, KafkaSettings, ServiceIdentity, Shutdown, Telemetry,
    TelemetrySettings,
};
use serde::Deserialize;

use crate::party::PartyRuleSetting;
use crate::rail::MojaloopRail;
use crate::settings::{AdapterSettings, FeeSettings, MojaloopSettings, PayerSettings};

/// Who this service is.
pub const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-backend-mojaloop",
    about: "Pays through a Mojaloop scheme, by way of an SDK scheme adapter, in two phases.",
    defaults: include_str!("../config/default.toml"),
};

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
    /// How the SDK scheme adapter is called.
    pub adapter: AdapterSettings,
    /// Who pays.
    pub payer: PayerSettings,
    /// What a payment may cost its payee.
    pub fees: FeeSettings,
    /// What identifier an address holds, in order.
    pub party: Vec<PartyRuleSetting>,
}

/// Runs the service until `shutdown`.
///
/// # Errors
/// What keeps it from starting, or made one of its workers end; each says what to do.
pub fn run(settings: Settings, telemetry: &Telemetry, shutdown: &Shutdown) -> anyhow::Result<()> {
    let Settings { kafka, consumer, database, admin, telemetry: _, outbox, backend, durability, rail, .. } = settings;
    let Settings { adapter, payer, fees, party, .. } = settings;
    let mojaloop = MojaloopRail::new(&MojaloopSettings { adapter, payer, fees, party })
        .context("could not set up the Mojaloop rail")?;
    let settings = ServiceSettings { kafka, consumer, database, admin, outbox, backend, durability, rail };
    gctb_backend::run(&IDENTITY, settings, mojaloop, |_, _| Ok(Listening::none()), telemetry, shutdown)
}
