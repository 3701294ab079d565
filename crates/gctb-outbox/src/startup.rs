//! What the database must be before a service works on it: there, of this version's schema, and one that keeps what it
//! confirms. Shared by every service that writes to Postgres.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_db::{Db, DbError, DbOptions, SchemaState};
use gctb_runtime::{DatabaseSettings, Health, Shutdown, chain};
use serde::Deserialize;

/// How long to wait before Postgres is asked again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The settings group `durability`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurabilitySettings {
    /// Whether a Postgres that may forget what it confirmed is refused.
    pub required: bool,
}

/// What a look at the database shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Work may start.
    Usable,
    /// Only the partition of the month is missing: gctb-status or `gctb migrate` makes it, and intake waits for it.
    NoPartition,
    /// Work must wait, for the reason given.
    Trouble(String),
}

/// Postgres may forget what it confirmed, and the settings do not allow that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Postgres runs with fsync or full_page_writes off and would forget in a power cut what it confirmed: \
     turn both on, or set durability.required = false where nothing is real"
)]
pub struct NotDurable;

/// The pool of a service.
pub fn database(settings: &DatabaseSettings, service: &str) -> Db {
    Db::new(&DbOptions {
        url: settings.url.clone(),
        pool_size: settings.pool_size,
        connect_timeout: settings.connect_timeout,
        statement_timeout: settings.statement_timeout,
        silence_timeout: settings.silence_timeout,
        transaction_idle_timeout: settings.transaction_idle_timeout,
        application_name: service.to_owned(),
    })
}

/// Looks at the database.
///
/// # Errors
/// [`NotDurable`], which no waiting heals.
pub fn database_state(
    db: &Db,
    durability: DurabilitySettings,
    now: DateTime<Utc>,
) -> Result<DatabaseState, NotDurable> {
    let asked = || -> Result<Result<DatabaseState, NotDurable>, DbError> {
        if durability.required && !db.is_durable()? {
            return Ok(Err(NotDurable));
        }
        Ok(Ok(match db.schema_state(now)? {
            SchemaState::Current => DatabaseState::Usable,
            SchemaState::NoPartition => DatabaseState::NoPartition,
            SchemaState::Behind => {
                DatabaseState::Trouble("the schema lacks migrations of this version: run `gctb migrate`".to_owned())
            }
        }))
    };
    asked().unwrap_or_else(|error| Ok(DatabaseState::Trouble(chain(&error))))
}

/// Returns when the database can be used, or at a shutdown. Until then the health component `database` fails and says
/// why, so that a service may be started before Postgres and before the migrations.
///
/// # Errors
/// [`NotDurable`], which no waiting heals.
pub fn wait_for_database(
    db: &Db,
    durability: DurabilitySettings,
    clock: impl Fn() -> DateTime<Utc>,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<(), NotDurable> {
    let component = health.component("database");
    loop {
        let trouble = match database_state(db, durability, clock())? {
            DatabaseState::Usable | DatabaseState::NoPartition => {
                component.ok();
                return Ok(());
            }
            DatabaseState::Trouble(trouble) => trouble,
        };
        if component.failing(trouble.clone()) {
            tracing::warn!(trouble, "the service waits for its database before it starts its work");
        }
        if shutdown.wait_timeout(LOOK_AGAIN) {
            return Ok(());
        }
    }
}
