//! Looks at the database again and again: is it there, is its schema this version's, does it keep what it confirms?

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_db::Db;
use gctb_outbox::{DatabaseState, DurabilitySettings, NotDurable, database_state};
use gctb_runtime::{Health, Shutdown};

use crate::settings::ReadinessSettings;

/// More than a look at the database takes, time-outs included. A loop that is slower stands still.
const LOOK_TIME_MAX: Duration = Duration::from_secs(120);

const NO_PARTITION: &str =
    "no partition takes this month's batches: run `gctb migrate`, or start gctb-status, which makes it";

/// Keeps the health component `database` up to date until the shutdown is requested. A look that gives no answer within
/// `answer_time_max` counts as one that fails: it may wait for as long as the database's own limits allow.
///
/// # Errors
/// [`NotDurable`] where the settings want a database that keeps what it confirms, and it does not.
pub(crate) fn watch(
    db: &Db,
    settings: &ReadinessSettings,
    answer_time_max: Duration,
    durability: DurabilitySettings,
    clock: fn() -> DateTime<Utc>,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<(), NotDurable> {
    let component = health.watched("database", settings.check_interval + answer_time_max);
    let heartbeat = health.heartbeat("readiness", settings.check_interval + LOOK_TIME_MAX);
    loop {
        let trouble = match database_state(db, durability, clock())? {
            DatabaseState::Usable => None,
            DatabaseState::NoPartition => Some(NO_PARTITION.to_owned()),
            DatabaseState::Trouble(trouble) => Some(trouble),
        };
        match trouble {
            None if component.ok() => tracing::info!("the database can be used"),
            Some(trouble) if component.failing(trouble.clone()) => {
                tracing::warn!(trouble, "the database cannot be used; nothing is acknowledged");
            }
            None | Some(_) => {}
        }
        heartbeat.beat();
        if shutdown.wait_timeout(settings.check_interval) {
            return Ok(());
        }
    }
}
