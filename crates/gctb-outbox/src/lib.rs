//! From the outbox in Postgres to Kafka: at once from memory, and by a relay for what was left.
//!
//! The one crate that knows both Postgres and Kafka; every service that writes the ledger or a batch uses it. Publishing
//! is at least once. A row is safe in Postgres before this crate sees it, so nothing here can lose one.

mod publisher;
mod relay;
mod settings;
mod startup;

use std::sync::Arc;

use gctb_db::{Db, DbError, OutboxRow};
use gctb_runtime::{Health, Producer, Shutdown, WorkerError, Workers};
use opentelemetry::metrics::Meter;

pub use settings::OutboxSettings;
pub use startup::{DatabaseState, DurabilitySettings, NotDurable, database, database_state, wait_for_database};

/// Publishes rows that their transaction has committed. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    publisher: Arc<publisher::Publisher>,
}

impl Outbox {
    /// Starts the publisher and the relay as two of the service's workers.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(
        settings: &OutboxSettings,
        db: &Db,
        producer: &Producer,
        health: &Health,
        meter: &Meter,
        shutdown: &Shutdown,
        workers: &mut Workers,
    ) -> Result<Self, WorkerError> {
        let publisher = Arc::new(publisher::Publisher::new(settings, db, producer, health, meter));
        let (published, stop) = (Arc::clone(&publisher), shutdown.clone());
        workers.spawn("outbox publisher", move || {
            published.run(&stop);
            Ok::<(), DbError>(())
        })?;
        let relay = relay::Relay::new(settings, db, producer, health, meter);
        let stop = shutdown.clone();
        workers.spawn("outbox relay", move || {
            relay.run(&stop);
            Ok::<(), DbError>(())
        })?;
        Ok(Self { publisher })
    }

    /// Sends committed rows from memory, soon. Never blocks: what does not fit the queue is left to the relay.
    pub fn publish(&self, rows: Vec<OutboxRow>) {
        self.publisher.offer(rows);
    }
}
