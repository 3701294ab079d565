//! The worker that closes, renders, puts and looks for payment files.
//!
//! A file is put once: DELIVERING and the hash of the bytes are committed before the put, the put is create-only, and a
//! file that is found in DELIVERING is looked for, never put again by itself.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gctb_db::{Beginning, Db, DbError, FileState, OutgoingFile, PutNumber, PutOutcome};
use gctb_domain::BackendName;
use gctb_runtime::{Component, Health, Heartbeat, Shutdown, chain};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use uuid::Uuid;

use crate::layout::{LAYOUT_VERSION, Layout, Rendered};
use crate::settings::FilesSettings;
use crate::store::{PutError, Store, Trace};

/// How often broken deliveries are looked for and files are counted.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest silence of the worker before it counts as stuck: a put of a large file over a slow link must fit.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Closes and delivers the files of one backend.
pub struct Deliveries {
    backend: BackendName,
    db: Db,
    store: Store,
    layout: Layout,
    settings: FilesSettings,
    /// New at each start: what an earlier process began is not ours to put.
    owner: Uuid,
    /// Since when puts fail with nothing to be seen. Time counts, not puts: many files that meet one short outage of the
    /// folder would all wait for the longest time.
    failing_since: Option<Instant>,
    /// Files whose delivery is unclear and of which that has been said: each is looked for at every look.
    told_unclear: HashSet<String>,
    bank: Component,
    database: Component,
    heartbeat: Heartbeat,
    delivered: Counter<u64>,
    files: Gauge<i64>,
    overdue: Gauge<i64>,
    operator: Gauge<i64>,
}

impl Deliveries {
    /// A worker for the files of `backend`.
    pub fn new(
        backend: BackendName,
        db: Db,
        store: Store,
        layout: Layout,
        settings: FilesSettings,
        health: &Health,
        meter: &Meter,
    ) -> Self {
        let gauge =
            |name: &'static str, description: &'static str| meter.i64_gauge(name).with_description(description).build();
        Self {
            backend,
            db,
            store,
            layout,
            settings,
            owner: Uuid::new_v4(),
            failing_since: None,
            told_unclear: HashSet::new(),
            bank: health.component("bank folder"),
            database: health.component("payment files"),
            heartbeat: health.heartbeat("deliveries", SILENCE_MAX),
            delivered: meter.u64_counter("gctb_files_put").with_description("Puts of payment files by outcome").build(),
            files: gauge("gctb_files", "Payment files that are not at their end, by state"),
            overdue: gauge("gctb_files_overdue", "Payment files at the bank for too long and not wholly answered"),
            operator: gauge("gctb_files_for_operator", "Payment files that wait for gctb files resolve"),
        }
    }

    /// Works until the shutdown is requested. Errors of Postgres and of the store pass; the next tick tries again.
    pub fn run(&mut self, shutdown: &Shutdown) {
        // Nothing has failed yet: a folder is known to be bad by a put alone.
        self.bank.ok();
        let mut looked: Option<Instant> = None;
        while !shutdown.wait_timeout(self.settings.tick) {
            self.heartbeat.beat();
            let look_due = looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
            let worked = self.round(shutdown);
            // The gauges and the operators' lists tell of files also while none can be delivered.
            let shown = if look_due { self.look() } else { Ok(()) };
            if look_due {
                looked = Some(Instant::now());
            }
            match worked.and(shown) {
                Ok(()) => {
                    self.database.ok();
                }
                Err(error) => {
                    if self.database.failing(chain(&error)) {
                        tracing::warn!(error = %chain(&error), "payment files wait");
                    }
                }
            }
        }
    }

    /// Closes what is due and puts what is closed.
    ///
    /// # Errors
    /// Where Postgres refuses; a folder that cannot be written is no error, the files wait.
    pub fn round(&mut self, shutdown: &Shutdown) -> Result<(), DbError> {
        for file_id in self.db.files_due_to_close(&self.backend)? {
            // A frozen claimer keeps its own file open; the others go on.
            if let Err(error) = self.db.close_file(file_id) {
                tracing::warn!(file.id = file_id, error = %chain(&error), "a payment file could not be closed yet");
            }
        }
        for file in self.db.files_to_deliver(&self.backend)? {
            if shutdown.is_requested() {
                break;
            }
            self.heartbeat.beat();
            self.deliver(&file)?;
        }
        Ok(())
    }

    fn deliver(&mut self, file: &OutgoingFile) -> Result<(), DbError> {
        let lines = self.db.payment_lines(file.file_id)?;
        let rendered = match self.layout.render(file, &lines) {
            Ok(rendered) => rendered,
            Err(error) => {
                // Money that cannot be accounted for does not leave: an operator looks at the file.
                tracing::error!(file = %file.name, error = %chain(&error), "a payment file cannot be rendered and is not sent: gctb files overdue");
                return self.db.leave_file_to_operator(file.file_id);
            }
        };
        let number = match self.db.begin_delivery(file.file_id, self.owner, &rendered.sha256, LAYOUT_VERSION)? {
            Beginning::Begun(number) => number,
            Beginning::NotOurs => return Ok(()),
            Beginning::OtherBytes => {
                tracing::error!(file = %file.name, "a payment file has other bytes than when it was put before and is not sent: gctb files overdue");
                return Ok(());
            }
        };
        let retry_after_ms = self.backoff_ms();
        let outcome = self.db.deliver(file.file_id, self.owner, self.settings.put_timeout, |file| {
            put(&self.store, file, number, &rendered, retry_after_ms)
        })?;
        self.tell(file, outcome, lines.len());
        Ok(())
    }

    fn tell(&mut self, file: &OutgoingFile, outcome: Option<PutOutcome>, lines: usize) {
        let count = |outcome: &'static str| self.delivered.add(1, &[KeyValue::new("outcome", outcome)]);
        match outcome {
            Some(PutOutcome::Delivered) => {
                count("delivered");
                self.failing_since = None;
                self.bank.ok();
                tracing::info!(file = %file.name, lines, "payment file delivered");
            }
            Some(PutOutcome::NothingSeen { retry_after_ms }) => {
                count("nothing_seen");
                self.failing_since.get_or_insert_with(Instant::now);
                if self.bank.failing("payment files cannot be put into the bank's folder; they wait") {
                    tracing::warn!(file = %file.name, retry_after_ms, "a payment file could not be put; nothing of it was seen");
                }
            }
            Some(PutOutcome::Unclear) => {
                count("unclear");
                tracing::error!(file = %file.name, "nobody knows whether the bank has this payment file: gctb files resolve");
            }
            None => {}
        }
    }

    /// Looks for files whose delivery broke off, and counts what stands where.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn look(&mut self) -> Result<(), DbError> {
        let recovered =
            self.db.recover_deliveries(&self.backend, self.recover_after_seconds(), |file| found(&self.store, file))?;
        let unclear =
            |(name, outcome): &(String, PutOutcome)| (*outcome != PutOutcome::Delivered).then(|| name.clone());
        let told = std::mem::replace(&mut self.told_unclear, recovered.iter().filter_map(unclear).collect());
        for (name, outcome) in recovered {
            match outcome {
                PutOutcome::Delivered => {
                    tracing::info!(file = %name, "a payment file whose delivery broke off is at the bank")
                }
                PutOutcome::Unclear | PutOutcome::NothingSeen { .. } if told.contains(&name) => {}
                PutOutcome::Unclear | PutOutcome::NothingSeen { .. } => {
                    tracing::warn!(file = %name, "a payment file whose delivery broke off is not to be seen: gctb files resolve");
                }
            }
        }
        let (counts, for_operator) = self.db.file_counts(&self.backend)?;
        for state in [FileState::Open, FileState::Closed, FileState::Delivering, FileState::Dispatched] {
            let count = counts.iter().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| *count);
            self.files.record(count, &[KeyValue::new("state", state.as_str())]);
        }
        self.operator.record(for_operator, &[]);
        let overdue = self.db.overdue_files(self.settings.overdue_after_hours)?;
        let overdue = overdue.iter().filter(|file| file.needs_operator_since.is_none()).count();
        self.overdue.record(i64::try_from(overdue).unwrap_or(i64::MAX), &[]);
        Ok(())
    }

    fn recover_after_seconds(&self) -> i64 {
        i64::try_from(self.settings.recover_after.as_secs()).unwrap_or(i64::MAX)
    }

    fn backoff_ms(&self) -> i64 {
        // As long again as it has lasted: each wait is about twice the one before.
        let lasted = self.failing_since.map_or(Duration::ZERO, |since| since.elapsed());
        let wait = lasted.max(self.settings.retry_min).min(self.settings.retry_max);
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Puts a file; where that fails, looks whether something can be seen of it.
fn put(store: &Store, file: &OutgoingFile, number: PutNumber, rendered: &Rendered, retry_after_ms: i64) -> PutOutcome {
    let Err(error) = store.put_new(&file.name, number, rendered.bytes.clone()) else { return PutOutcome::Delivered };
    tracing::warn!(file = %file.name, error = %chain(&error), "a put failed; looking whether the bank has the file");
    match (store.look(&file.name, &rendered.sha256), error) {
        (Ok(Trace::Same), _) => PutOutcome::Delivered,
        (Ok(Trace::Nothing), PutError::NothingSeen(_)) => PutOutcome::NothingSeen { retry_after_ms },
        // "Nothing" after an answer that left it open proves nothing: the bank may have moved the file (invariant I3).
        (Ok(Trace::Nothing), PutError::EarlierPut | PutError::Unclear(_)) => PutOutcome::Unclear,
        (Ok(Trace::Different) | Err(_), _) => PutOutcome::Unclear,
    }
}

/// Whether a file in DELIVERING is at the bank.
fn found(store: &Store, file: &OutgoingFile) -> PutOutcome {
    let trace = file.sha256.as_deref().map(|sha256| store.look(&file.name, sha256));
    match trace {
        Some(Ok(Trace::Same)) => PutOutcome::Delivered,
        Some(Ok(Trace::Nothing | Trace::Different) | Err(_)) | None => PutOutcome::Unclear,
    }
}
