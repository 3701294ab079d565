//! Looks at the database again and again: is it there, is its schema this version's, does it keep what it confirms?

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_db::{Db, DbError, SchemaState};
use gctb_runtime::{Health, Shutdown};

use crate::settings::{DurabilitySettings, ReadinessSettings};

/// More than a look at the database takes, time-outs included. A loop that is slower stands still.
const LOOK_TIME_MAX: Duration = Duration::from_secs(120);

/// What ends the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadinessError {
    /// Postgres would forget what was acknowledged here.
    #[error(
        "Postgres runs with fsync or full_page_writes off and would forget acknowledged batches in a power cut: \
         turn both on, or set durability.required = false where nothing is real"
    )]
    NotDurable,
}

/// What a look at the database shows.
enum Seen {
    Usable,
    NotDurable,
    Trouble(String),
}

/// Keeps the health component `database` up to date until the shutdown is requested.
///
/// # Errors
/// [`ReadinessError::NotDurable`] where the settings want a database that keeps what it confirms, and it does not.
pub(crate) fn watch(
    db: &Db,
    settings: &ReadinessSettings,
    durability: DurabilitySettings,
    clock: fn() -> DateTime<Utc>,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<(), ReadinessError> {
    let component = health.component("database");
    let heartbeat = health.heartbeat("readiness", settings.check_interval + LOOK_TIME_MAX);
    loop {
        match look(db, durability, clock()).unwrap_or_else(|error| Seen::Trouble(gctb_runtime::chain(&error))) {
            Seen::Usable => {
                if component.ok() {
                    tracing::info!("the database can be used");
                }
            }
            Seen::NotDurable => return Err(ReadinessError::NotDurable),
            Seen::Trouble(trouble) => {
                if component.failing(trouble.clone()) {
                    tracing::warn!(trouble, "the database cannot be used; nothing is acknowledged");
                }
            }
        }
        heartbeat.beat();
        if shutdown.wait_timeout(settings.check_interval) {
            return Ok(());
        }
    }
}

fn look(db: &Db, durability: DurabilitySettings, now: DateTime<Utc>) -> Result<Seen, DbError> {
    if durability.required && !db.is_durable()? {
        return Ok(Seen::NotDurable);
    }
    let trouble = |sentence: &str| Seen::Trouble(sentence.to_owned());
    Ok(match db.schema_state(now)? {
        SchemaState::Current => Seen::Usable,
        SchemaState::Behind => trouble("the schema lacks migrations of this version: run `gctb migrate`"),
        SchemaState::NoPartition => trouble("no partition takes this month's batches: run `gctb migrate`"),
    })
}
