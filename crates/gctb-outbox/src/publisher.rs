//! Publishing from memory, right after the commit: the fast way, which may forget. The relay is the sure one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gctb_db::{Db, OutboxRow};
use gctb_events::Outgoing;
use gctb_runtime::{Producer, Shutdown, chain};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use uuid::Uuid;

/// Most rows of one round of sending and deleting.
const ROUND_ROWS: usize = 200;
/// How long an idle publisher waits before it looks whether the service ends.
const IDLE: Duration = Duration::from_millis(200);

pub(crate) struct Publisher {
    queue: Mutex<Queue>,
    filled: Condvar,
    bytes_max: usize,
    db: Db,
    producer: Producer,
    rows: Counter<u64>,
}

#[derive(Default)]
struct Queue {
    rows: VecDeque<OutboxRow>,
    bytes: usize,
}

impl Publisher {
    pub(crate) fn new(bytes_max: usize, db: &Db, producer: &Producer, meter: &Meter) -> Self {
        let rows = meter
            .u64_counter("gctb_outbox_rows")
            .with_description(
                "Outbox rows by what became of them: published from memory, relayed, left to the relay, failed",
            )
            .build();
        let (db, producer) = (db.clone(), producer.clone());
        Self { queue: Mutex::default(), filled: Condvar::new(), bytes_max, db, producer, rows }
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
            let rows = self.take();
            if rows.is_empty() {
                if shutdown.is_requested() {
                    return;
                }
                continue;
            }
            let sent = self.send(&rows);
            if !sent && shutdown.is_requested() {
                return;
            }
        }
    }

    /// Sends rows and deletes those that have done their work. True if Kafka took all.
    fn send(&self, rows: &[OutboxRow]) -> bool {
        let messages: Vec<Outgoing> = rows.iter().map(|row| row.message.clone()).collect();
        let results = self.producer.send_each(&messages);
        let done: Vec<Uuid> = rows
            .iter()
            .zip(&results)
            .filter(|(row, result)| result.is_ok() && row.kind.ends_with_delivery())
            .map(|(row, _)| row.id)
            .collect();
        let sent = results.iter().filter(|result| result.is_ok()).count();
        let failed = results.len() - sent;
        self.rows.add(u64::try_from(sent).unwrap_or(0), &[KeyValue::new("outcome", "published")]);
        self.rows.add(u64::try_from(failed).unwrap_or(0), &[KeyValue::new("outcome", "failed")]);
        if !done.is_empty()
            && let Err(error) = self.db.delete_outbox(&done)
        {
            tracing::warn!(error = %chain(&error), rows = done.len(), "published outbox rows stay; the relay sends them once more");
        }
        failed == 0
    }

    fn take(&self) -> Vec<OutboxRow> {
        let mut queue = self.lock();
        if queue.rows.is_empty() {
            queue = self.filled.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = queue.rows.len().min(ROUND_ROWS);
        let rows: Vec<OutboxRow> = queue.rows.drain(..count).collect();
        queue.bytes -= rows.iter().map(|row| row.message.payload.len()).sum::<usize>();
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock is held cannot leave the queue half changed in a way that loses a committed row.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
