//! Counts what no process will move on by itself, so that people look: stranded instructions, and contradictions between
//! final answers, which are real money. Lists of both are the gctb command's.

use std::collections::HashSet;
use std::time::Duration;

use gctb_db::{Db, DbError, StrandedBatch};
use gctb_runtime::{Health, Shutdown, chain};
use opentelemetry::metrics::{Gauge, Meter};
use uuid::Uuid;

use crate::settings::AttentionSettings;

/// More than counting takes, time-outs included. A loop that is slower stands still.
const COUNT_TIME_MAX: Duration = Duration::from_secs(300);

/// Contradictions that are counted at most: from the first one on, somebody must look.
const CONFLICTS_MAX: i64 = 1_000;

/// Counts at the interval until the shutdown is requested.
pub(crate) fn watch(db: &Db, settings: &AttentionSettings, health: &Health, meter: &Meter, shutdown: &Shutdown) {
    let component = health.advisory("attention");
    let heartbeat = health.heartbeat("attention", settings.check_interval + COUNT_TIME_MAX);
    let mut counts = Counts::new(meter);
    loop {
        match counts.take(db) {
            Ok(()) => {
                component.ok();
            }
            Err(error) => {
                if component.failing(error.to_string()) {
                    tracing::warn!(error = %chain(&error), "what people must look at could not be counted; tried again");
                }
            }
        }
        heartbeat.beat();
        if shutdown.wait_timeout(settings.check_interval) {
            return;
        }
    }
}

struct Counts {
    stranded: Gauge<u64>,
    conflicts: Gauge<u64>,
    told_batches: HashSet<Uuid>,
    told_conflict: i64,
}

impl Counts {
    fn new(meter: &Meter) -> Self {
        let gauge = |name: &'static str, about: &'static str| meter.u64_gauge(name).with_description(about).build();
        Self {
            stranded: gauge(
                "gctb_status_stranded_instructions",
                "Instructions that were emitted as often as allowed and that nobody decided about.",
            ),
            conflicts: gauge(
                "gctb_status_ledger_conflicts",
                "Contradictions between final answers about payments, the newest 1000 counted.",
            ),
            told_batches: HashSet::new(),
            told_conflict: 0,
        }
    }

    fn take(&mut self, db: &Db) -> Result<(), DbError> {
        let stranded = db.stranded_batches()?;
        self.tell_stranded(&stranded);
        let conflicts = db.conflicts(CONFLICTS_MAX)?;
        self.conflicts.record(conflicts.len() as u64, &[]);
        if let Some(newest) = conflicts.first()
            && newest.conflict_id > self.told_conflict
        {
            self.told_conflict = newest.conflict_id;
            tracing::error!(
                conflicts = conflicts.len(),
                newest = newest.conflict_id,
                "the ledger holds contradictions between final answers; see `gctb conflicts list`"
            );
        }
        Ok(())
    }

    /// Each stranded batch is told once, and again only after it had been moved on.
    fn tell_stranded(&mut self, batches: &[StrandedBatch]) {
        let instructions = batches.iter().map(|batch| u64::from(batch.stranded.unsigned_abs())).sum();
        self.stranded.record(instructions, &[]);
        let now: HashSet<Uuid> = batches.iter().map(|batch| batch.batch_id).collect();
        for batch in batches.iter().filter(|batch| !self.told_batches.contains(&batch.batch_id)) {
            tracing::error!(
                batch = %batch.batch_id,
                instructions = batch.stranded,
                emissions = batch.emissions,
                "nobody decides about these instructions however often they are emitted; an operator must look"
            );
        }
        self.told_batches = now;
    }
}
