//! Keeps the monthly partitions of the big tables ahead: intake stops without the current one.

use std::time::Duration;

use chrono::{DateTime, Months, Utc};
use gctb_db::{Db, DbError, SchemaState};
use gctb_runtime::{Health, Shutdown, chain};
use opentelemetry::metrics::Meter;

use crate::settings::PartitionSettings;

/// More than making them takes, time-outs included. A loop that is slower stands still.
const MAKE_TIME_MAX: Duration = Duration::from_secs(600);

/// Makes what is missing, at once and then at the interval, until the shutdown is requested.
pub(crate) fn keep_ahead(
    db: &Db,
    settings: &PartitionSettings,
    clock: fn() -> DateTime<Utc>,
    health: &Health,
    meter: &Meter,
    shutdown: &Shutdown,
) {
    let component = health.advisory("partitions");
    let heartbeat = health.heartbeat("partitions", settings.check_interval + MAKE_TIME_MAX);
    let ahead = meter
        .u64_gauge("gctb_status_partition_months_ahead")
        .with_description("Months after this one, without a gap, that the big tables have partitions for.")
        .build();
    loop {
        let wait = match make(db, settings.months, clock()) {
            Ok(months_ahead) => {
                component.ok();
                ahead.record(months_ahead, &[]);
                settings.check_interval
            }
            Err(error) => {
                if component.failing(error.to_string()) {
                    tracing::warn!(error = %chain(&error), "partitions could not be made; tried again");
                }
                settings.retry_after
            }
        };
        heartbeat.beat();
        if shutdown.wait_timeout(wait) {
            return;
        }
    }
}

/// Makes what is missing of `months` and says how many months after the current one are there.
fn make(db: &Db, months: u8, now: DateTime<Utc>) -> Result<u64, DbError> {
    let made = db.make_partitions(i32::from(months))?;
    if made > 0 {
        tracing::info!(made, "monthly partitions were made");
    }
    let mut ahead = 0;
    for month in 1..=u32::from(months) {
        let Some(at) = now.checked_add_months(Months::new(month)) else { break };
        match db.schema_state(at)? {
            SchemaState::Current => ahead += 1,
            SchemaState::Behind | SchemaState::NoPartition => break,
        }
    }
    Ok(ahead)
}
