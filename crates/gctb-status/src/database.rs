//! What the database must be before any work starts: there, of this version's schema, and one that keeps what it confirms.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_db::{Db, DbError, DbOptions, SchemaState};
use gctb_runtime::{DatabaseSettings, Health, Shutdown, chain};

use crate::settings::{DurabilitySettings, IDENTITY};

/// Waiting time between two looks while it cannot be used.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What ends the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// Postgres would forget what was decided.
    #[error(
        "Postgres runs with fsync or full_page_writes off and would forget in a power cut what was decided about payments: \
         turn both on, or set durability.required = false for tests"
    )]
    NotDurable,
}

/// What a look shows.
enum Seen {
    Usable,
    NotDurable,
    Trouble(&'static str),
}

pub(crate) fn connect(settings: &DatabaseSettings) -> Db {
    Db::new(&DbOptions {
        url: settings.url.clone(),
        pool_size: settings.pool_size,
        connect_timeout: settings.connect_timeout,
        statement_timeout: settings.statement_timeout,
        application_name: IDENTITY.name.to_owned(),
    })
}

/// Returns when the database can be used, or at a shutdown; until then the service is not ready and says why.
///
/// # Errors
/// [`DatabaseError::NotDurable`] where the settings want a database that keeps what it confirms, and it does not.
pub(crate) fn wait_until_usable(
    db: &Db,
    durability: &DurabilitySettings,
    clock: fn() -> DateTime<Utc>,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<(), DatabaseError> {
    let component = health.component("database");
    component.ok();
    loop {
        let trouble = match look(db, durability, clock()) {
            Ok(Seen::Usable) => {
                component.ok();
                return Ok(());
            }
            Ok(Seen::NotDurable) => return Err(DatabaseError::NotDurable),
            Ok(Seen::Trouble(sentence)) => sentence.to_owned(),
            Err(error) => chain(&error),
        };
        if component.failing(trouble.clone()) {
            tracing::warn!(trouble, "the service waits for its database before it starts its work");
        }
        if shutdown.wait_timeout(LOOK_AGAIN) {
            return Ok(());
        }
    }
}

fn look(db: &Db, durability: &DurabilitySettings, now: DateTime<Utc>) -> Result<Seen, DbError> {
    if durability.required && !db.is_durable()? {
        return Ok(Seen::NotDurable);
    }
    Ok(match db.schema_state(now)? {
        // A missing partition is what this service makes.
        SchemaState::Current | SchemaState::NoPartition => Seen::Usable,
        SchemaState::Behind => Seen::Trouble("the schema lacks migrations of this version: run `gctb migrate`"),
    })
}
