//! Sends what is due in the outbox: what a schedule brings, what a crash left, and status chunks that nobody folded.

use std::time::Duration;

use gctb_db::{Db, DbError, LeasedRow};
use gctb_events::Outgoing;
use gctb_runtime::{Component, Health, Heartbeat, Producer, Shutdown, chain};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use uuid::Uuid;

use crate::publisher::rows_counter;
use crate::settings::OutboxSettings;

/// When rows that Kafka did not take are due again, in seconds.
const RELEASE_SECONDS: u32 = 2;

/// The longest wait after a look that failed: a service must not stay unready for a long interval when Postgres is back.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long Postgres may take to answer the relay's small questions before it counts as failing.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest silence of the relay before it counts as stuck: Postgres' own limits of a statement and of a silent connection
/// must fit, those of a send are added.
const SILENCE_MAX: Duration = Duration::from_secs(180);

pub(crate) struct Relay {
    db: Db,
    producer: Producer,
    interval: Duration,
    rows_max: i64,
    resend_seconds: u32,
    postgres: Component,
    heartbeat: Heartbeat,
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
            resend_seconds: settings.resend_seconds(),
            postgres: health.watched("postgres", settings.relay_interval + producer.send_time_max() + ANSWER_TIME_MAX),
            heartbeat: health
                .heartbeat("outbox relay", settings.relay_interval + producer.send_time_max() + SILENCE_MAX),
            rows: rows_counter(meter),
            backlog: gauge("gctb_outbox_backlog_rows", "Rows in the outbox, of all services"),
            late: gauge("gctb_outbox_late_seconds", "How long the most overdue row of the outbox is due"),
        }
    }

    pub(crate) fn run(&self, shutdown: &Shutdown) {
        // The first look comes before the first wait: until it is done nobody knows whether Postgres answers.
        loop {
            let wait = self.look(shutdown);
            if shutdown.wait_timeout(wait) {
                return;
            }
        }
    }

    /// Empties the outbox, and says how long to wait before the next look.
    fn look(&self, shutdown: &Shutdown) -> Duration {
        self.heartbeat.beat();
        let Err(error) = self.empty(shutdown) else { return self.interval };
        if self.postgres.failing(error.to_string()) {
            tracing::warn!(error = %chain(&error), "the outbox cannot be read; the relay tries again");
        }
        self.interval.min(LOOK_AGAIN)
    }

    /// Sends until nothing is due any more, or Kafka does not take it.
    fn empty(&self, shutdown: &Shutdown) -> Result<(), DbError> {
        loop {
            fail::fail_point!("relay.lease.before");
            let leased = self.db.lease_outbox(self.rows_max, self.resend_seconds)?;
            if !leased.is_empty() {
                fail::fail_point!("relay.lease.after");
            }
            self.postgres_answers();
            self.heartbeat.beat();
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

    fn postgres_answers(&self) {
        if self.postgres.ok() {
            tracing::info!("the outbox is read");
        }
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
        self.rows.add(u64::try_from(back.len()).unwrap_or(0), &[KeyValue::new("outcome", "failed")]);
        if !done.is_empty() {
            fail::fail_point!("relay.delete.before");
            self.db.delete_outbox(&done)?;
            fail::fail_point!("relay.delete.after");
        }
        if !back.is_empty() {
            fail::fail_point!("relay.release.before");
            self.db.release_outbox(&back, RELEASE_SECONDS)?;
            fail::fail_point!("relay.release.after");
        }
        Ok(back.is_empty())
    }
}
