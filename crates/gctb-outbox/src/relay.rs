//! Sends what is due in the outbox: what a schedule brings, what a crash left, and status chunks that nobody folded.

use std::time::Duration;

use gctb_db::{Db, DbError, LeasedRow};
use gctb_events::Outgoing;
use gctb_runtime::{Component, Health, Producer, Shutdown, chain};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use uuid::Uuid;

use crate::settings::OutboxSettings;

/// When rows that Kafka did not take are due again, in seconds.
const RELEASE_SECONDS: u32 = 2;

pub(crate) struct Relay {
    db: Db,
    producer: Producer,
    interval: Duration,
    rows_max: i64,
    resend_seconds: u32,
    postgres: Component,
    rows: Counter<u64>,
    backlog: Gauge<i64>,
    late: Gauge<i64>,
}

impl Relay {
    pub(crate) fn new(settings: &OutboxSettings, db: &Db, producer: &Producer, health: &Health, meter: &Meter) -> Self {
        let gauge =
            |name: &'static str, description: &'static str| meter.i64_gauge(name).with_description(description).build();
        Self {
            db: db.clone(),
            producer: producer.clone(),
            interval: settings.relay_interval,
            rows_max: i64::from(settings.relay_rows_max.max(1)),
            resend_seconds: u32::try_from(settings.resend_after.as_secs()).unwrap_or(u32::MAX).max(1),
            postgres: health.component("postgres"),
            rows: meter.u64_counter("gctb_outbox_rows").build(),
            backlog: gauge("gctb_outbox_backlog_rows", "Rows in the outbox, of all services"),
            late: gauge("gctb_outbox_late_seconds", "How long the most overdue row of the outbox is due"),
        }
    }

    pub(crate) fn run(&self, shutdown: &Shutdown) {
        while !shutdown.wait_timeout(self.interval) {
            match self.empty(shutdown) {
                Ok(()) => {
                    self.postgres.ok();
                }
                Err(error) => {
                    if self.postgres.failing(error.to_string()) {
                        tracing::warn!(error = %chain(&error), "the outbox cannot be read; the relay tries again");
                    }
                }
            }
        }
    }

    /// Sends until nothing is due any more, or Kafka does not take it.
    fn empty(&self, shutdown: &Shutdown) -> Result<(), DbError> {
        loop {
            let leased = self.db.lease_outbox(self.rows_max, self.resend_seconds)?;
            let full = i64::try_from(leased.len()).is_ok_and(|count| count == self.rows_max);
            let taken = leased.is_empty() || self.send(leased)?;
            if !full || !taken || shutdown.is_requested() {
                break;
            }
        }
        let (rows, late_seconds) = self.db.outbox_backlog()?;
        self.backlog.record(rows, &[]);
        self.late.record(late_seconds, &[]);
        Ok(())
    }

    /// True if Kafka took every row.
    fn send(&self, leased: Vec<LeasedRow>) -> Result<bool, DbError> {
        let (mut ids, mut messages) = (Vec::with_capacity(leased.len()), Vec::with_capacity(leased.len()));
        for LeasedRow { id, kind, message } in leased {
            ids.push((id, kind));
            messages.push(message);
        }
        let results = self.producer.send_each(&messages as &[Outgoing]);
        let (mut done, mut back): (Vec<Uuid>, Vec<Uuid>) = (Vec::new(), Vec::new());
        for ((id, kind), result) in ids.into_iter().zip(&results) {
            match result {
                Ok(()) if kind.ends_with_delivery() => done.push(id),
                Ok(()) => {}
                Err(_) => back.push(id),
            }
        }
        let relayed = results.len() - back.len();
        self.rows.add(u64::try_from(relayed).unwrap_or(0), &[KeyValue::new("outcome", "relayed")]);
        self.db.delete_outbox(&done)?;
        self.db.release_outbox(&back, RELEASE_SECONDS)?;
        Ok(back.is_empty())
    }
}
