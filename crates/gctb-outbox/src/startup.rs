//! What every service that writes to Postgres waits for before it works.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_db::{Db, DbError, DbOptions, SchemaState};
use gctb_runtime::{DatabaseSettings, Health, Shutdown, chain};

/// How long to wait before Postgres is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a service does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Migrations are missing.
    #[error("the database's schema is older than this version: run `gctb migrate`, then start again")]
    SchemaBehind,
    /// Postgres may forget.
    #[error(
        "this Postgres runs with fsync or full_page_writes off and may forget a payment that it confirmed: \
         turn them on, or set durability.required = false where nothing is real"
    )]
    NotDurable,
}

/// The pool of a service.
pub fn database(settings: &DatabaseSettings, service: &str) -> Db {
    Db::new(&DbOptions {
        url: settings.url.clone(),
        pool_size: settings.pool_size,
        connect_timeout: settings.connect_timeout,
        statement_timeout: settings.statement_timeout,
        application_name: service.to_owned(),
    })
}

/// Returns when Postgres answers with the schema of this version. While it is away the health component `database` fails,
/// so that a service may be started before Postgres. Ok also at a shutdown.
///
/// # Errors
/// [`StartError`], which says what to do.
pub fn wait_for_database(
    db: &Db,
    durability_required: bool,
    health: &Health,
    now: impl Fn() -> DateTime<Utc>,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let component = health.component("database");
    loop {
        match check(db, durability_required, now()) {
            Ok(verdict) => {
                component.ok();
                return verdict;
            }
            Err(error) => {
                if component.failing(error.to_string()) {
                    tracing::warn!(error = %chain(&error), "the service waits for Postgres before it starts its work");
                }
            }
        }
        if shutdown.wait_timeout(RETRY) {
            return Ok(());
        }
    }
}

fn check(db: &Db, durability_required: bool, now: DateTime<Utc>) -> Result<Result<(), StartError>, DbError> {
    if db.schema_state(now)? == SchemaState::Behind {
        return Ok(Err(StartError::SchemaBehind));
    }
    if durability_required && !db.is_durable()? {
        return Ok(Err(StartError::NotDurable));
    }
    Ok(Ok(()))
}
