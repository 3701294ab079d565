//! Publishing from memory, right after the commit: the fast way, which may forget. The relay is the sure one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gctb_db::{Db, OutboxKind, OutboxRow};
use gctb_events::Outgoing;
use gctb_runtime::{Health, Heartbeat, Producer, Shutdown, chain};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use uuid::Uuid;

use crate::settings::OutboxSettings;

/// Most rows of one round of sending and deleting.
const ROUND_ROWS: usize = 200;
/// About the most bytes of one round: while it is sent, the Kafka client holds them once more.
const ROUND_BYTES: usize = 4 << 20;
/// How long an idle publisher waits before it looks whether the service ends.
const IDLE: Duration = Duration::from_millis(200);

/// Longest silence of the publisher before it counts as stuck, beside the time of a send: Postgres' own limits must fit.
const SILENCE_MAX: Duration = Duration::from_secs(180);

/// What publisher and relay count together. Made in one place: under two descriptions it would be two counters of one name,
/// and a page with both is no page that Prometheus takes.
pub(crate) fn rows_counter(meter: &Meter) -> Counter<u64> {
    meter
        .u64_counter("gctb_outbox_rows")
        .with_description(
            "Outbox rows by what became of them: published from memory, relayed, left to the relay, failed",
        )
        .build()
}

pub(crate) struct Publisher {
    queue: Mutex<Queue>,
    filled: Condvar,
    bytes_max: usize,
    resend_seconds: u32,
    db: Db,
    producer: Producer,
    rows: Counter<u64>,
    heartbeat: Heartbeat,
}

#[derive(Default)]
struct Queue {
    rows: VecDeque<OutboxRow>,
    bytes: usize,
}

impl Publisher {
    pub(crate) fn new(settings: &OutboxSettings, db: &Db, producer: &Producer, health: &Health, meter: &Meter) -> Self {
        let rows = rows_counter(meter);
        let heartbeat = health.heartbeat("outbox publisher", producer.send_time_max() + SILENCE_MAX);
        let (db, producer) = (db.clone(), producer.clone());
        Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            bytes_max: settings.queue_bytes_max,
            resend_seconds: settings.resend_seconds(),
            db,
            producer,
            rows,
            heartbeat,
        }
    }

    pub(crate) fn offer(&self, rows: Vec<OutboxRow>) {
        let mut queue = self.lock();
        let mut left = 0_u64;
        for row in rows {
            let bytes = row.message.payload.len();
            // A row with a due time is the relay's; one that does not fit is too.
            if row.due_at.is_some() {
                continue;
            }
            if queue.bytes + bytes > self.bytes_max {
                left += 1;
                continue;
            }
            queue.bytes += bytes;
            queue.rows.push_back(row);
        }
        drop(queue);
        self.filled.notify_one();
        if left > 0 {
            self.rows.add(left, &[KeyValue::new("outcome", "left_to_relay")]);
        }
    }

    /// Works until the shutdown is requested and the queue is empty, or Kafka is away.
    pub(crate) fn run(&self, shutdown: &Shutdown) {
        loop {
            self.heartbeat.beat();
            let rows = self.take();
            if rows.is_empty() {
                if shutdown.is_requested() {
                    return;
                }
                continue;
            }
            let sent = self.send(rows);
            if !sent && shutdown.is_requested() {
                return;
            }
        }
    }

    /// Sends rows, deletes those that have done their work, and puts off the others' next emission. True if Kafka took all.
    fn send(&self, rows: Vec<OutboxRow>) -> bool {
        let (rows, messages): (Vec<(Uuid, OutboxKind)>, Vec<Outgoing>) =
            rows.into_iter().map(|row| ((row.id, row.kind), row.message)).unzip();
        let results = self.producer.send_each(&messages);
        let (mut done, mut folded_later): (Vec<Uuid>, Vec<Uuid>) = (Vec::new(), Vec::new());
        for ((id, kind), _) in rows.into_iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            if kind.ends_with_delivery() { done.push(id) } else { folded_later.push(id) }
        }
        let sent = done.len() + folded_later.len();
        let failed = results.len() - sent;
        self.rows.add(u64::try_from(sent).unwrap_or(0), &[KeyValue::new("outcome", "published")]);
        self.rows.add(u64::try_from(failed).unwrap_or(0), &[KeyValue::new("outcome", "failed")]);
        if !done.is_empty() {
            fail::fail_point!("publish.delete.before");
            if let Err(error) = self.db.delete_outbox(&done) {
                tracing::warn!(error = %chain(&error), rows = done.len(), "published outbox rows stay; the relay sends them once more");
            }
            fail::fail_point!("publish.delete.after");
        }
        if !folded_later.is_empty() {
            fail::fail_point!("publish.postpone.before");
            if let Err(error) = self.db.postpone_outbox(&folded_later, self.resend_seconds) {
                tracing::debug!(error = %chain(&error), rows = folded_later.len(), "published status rows are sent once more before their time");
            }
            fail::fail_point!("publish.postpone.after");
        }
        failed == 0
    }

    fn take(&self) -> Vec<OutboxRow> {
        let mut queue = self.lock();
        if queue.rows.is_empty() {
            queue = self.filled.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < ROUND_ROWS && bytes < ROUND_BYTES {
            let Some(row) = queue.rows.pop_front() else { break };
            bytes += row.message.payload.len();
            rows.push(row);
        }
        queue.bytes -= bytes;
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock is held cannot leave the queue half changed in a way that loses a committed row.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
