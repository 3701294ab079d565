//! Waits at the start until the database has the schema of this version.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_db::{Db, SchemaState};
use gctb_runtime::{Health, Shutdown, chain};

/// The first waiting time between two looks; it doubles up to the last one.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Returns when the schema is current, or the shutdown is requested. Meanwhile the service is not ready, and says why.
pub(crate) fn wait_until_current(db: &Db, time: fn() -> DateTime<Utc>, health: &Health, shutdown: &Shutdown) {
    let component = health.component("database schema");
    let mut wait = WAIT_MIN;
    while let Some(trouble) = trouble(db, time()) {
        if component.failing(trouble.clone()) || wait == WAIT_MIN {
            tracing::warn!(trouble, "the service waits for the database before it starts its work");
        }
        if shutdown.wait_timeout(wait) {
            return;
        }
        wait = (wait * 2).min(WAIT_MAX);
    }
    component.ok();
}

fn trouble(db: &Db, now: DateTime<Utc>) -> Option<String> {
    match db.schema_state(now) {
        Ok(SchemaState::Current) => None,
        Ok(SchemaState::Behind) => Some("the schema lacks migrations of this version: run `gctb migrate`".to_owned()),
        Ok(SchemaState::NoPartition) => Some("no partition takes this month's batches: run `gctb migrate`".to_owned()),
        Err(error) => Some(chain(&error)),
    }
}
