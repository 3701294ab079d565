//! Emits again what is due and nobody decided about: a lost, expired or recreated topic strands nothing (invariant I4).
//!
//! The proof that nobody decided is the missing ledger row, which Postgres looks for; the consumers' positions only keep a
//! slow rail from being flooded with repeats.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gctb_db::{Db, DbError, DueSweep, Fate, OutboxRow};
use gctb_runtime::{Health, PositionsError, Shutdown, chain};
use opentelemetry::metrics::{Counter, Meter};

use crate::settings::SweepSettings;

/// More than one look takes, time-outs of Kafka and Postgres included. A loop that is slower stands still.
const LOOK_TIME_MAX: Duration = Duration::from_secs(600);

/// What one look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Instructions that were emitted again.
    pub emitted: usize,
    /// Instructions that were emitted as often as allowed.
    pub stranded: usize,
    /// Batches that were put off: their consumers are not that far, or Kafka could not be asked.
    pub postponed: usize,
}

/// Looks at batches that are due.
///
/// `have_passed` says of a batch whether every consumer on its instructions' way has read past their last emission, by the time
/// it is given; `publish` is given the committed outbox rows.
pub struct Sweeper<H, P> {
    db: Db,
    settings: SweepSettings,
    have_passed: H,
    publish: P,
    clock: fn() -> DateTime<Utc>,
    swept: Counter<u64>,
    kafka_answers: bool,
}

impl<H, P> Sweeper<H, P>
where
    H: FnMut(&DueSweep, DateTime<Utc>) -> Result<bool, PositionsError>,
    P: FnMut(Vec<OutboxRow>),
{
    /// A sweeper of `db`.
    pub fn new(
        db: Db,
        settings: &SweepSettings,
        have_passed: H,
        publish: P,
        clock: fn() -> DateTime<Utc>,
        meter: &Meter,
    ) -> Self {
        let swept = meter
            .u64_counter("gctb_status_swept_instructions")
            .with_description("Instructions that the sweeper emitted again.")
            .build();
        Self { db, settings: settings.clone(), have_passed, publish, clock, swept, kafka_answers: true }
    }

    /// Looks again and again until the shutdown is requested.
    pub(crate) fn run(mut self, health: &Health, shutdown: &Shutdown) {
        let component = health.advisory("sweeper");
        let heartbeat = health.heartbeat("sweep", self.settings.look_interval + LOOK_TIME_MAX);
        while !shutdown.wait_timeout(self.settings.look_interval) {
            match self.round() {
                Ok(_) => {
                    component.ok();
                }
                Err(error) => {
                    if component.failing(error.to_string()) {
                        tracing::warn!(error = %chain(&error), "batches could not be swept; the sweeper tries again");
                    }
                }
            }
            heartbeat.beat();
        }
    }

    /// Looks once at the batches that are due.
    ///
    /// # Errors
    /// Where Postgres refuses; what was emitted before stands.
    pub fn round(&mut self) -> Result<Round, DbError> {
        let mut round = Round::default();
        for sweep in self.db.due_sweeps(i64::from(self.settings.batches_max))? {
            match (self.have_passed)(&sweep, (self.clock)()) {
                Ok(true) => {
                    self.kafka_answers = true;
                    match self.sweep(&sweep, &mut round) {
                        Err(error) if error.fate() != Fate::Retry => self.skip(&sweep, &error, &mut round)?,
                        swept => swept?,
                    }
                }
                Ok(false) => {
                    self.kafka_answers = true;
                    self.postpone(&sweep, &mut round)?;
                }
                Err(error) => {
                    self.postpone(&sweep, &mut round)?;
                    if std::mem::take(&mut self.kafka_answers) {
                        tracing::warn!(error = %chain(&error), "the sweeper waits: Kafka does not say how far consumers are");
                    }
                    // The other batches would wait for the same time-out, one after the other.
                    break;
                }
            }
        }
        Ok(round)
    }

    fn sweep(&mut self, sweep: &DueSweep, round: &mut Round) -> Result<(), DbError> {
        let emissions_max = i16::from(self.settings.emissions_max);
        let outcome = self.db.sweep(sweep.batch_id, self.resend_seconds(), emissions_max)?;
        if outcome.emitted > 0 {
            tracing::warn!(batch = %sweep.batch_id, instructions = outcome.emitted, "instructions got lost and are emitted again");
        }
        round.emitted += outcome.emitted;
        round.stranded += outcome.stranded;
        self.swept.add(outcome.emitted as u64, &[]);
        (self.publish)(outcome.outbox);
        Ok(())
    }

    /// One batch that Postgres does not let be swept does not stop the others.
    fn skip(&self, sweep: &DueSweep, error: &DbError, round: &mut Round) -> Result<(), DbError> {
        tracing::error!(batch = %sweep.batch_id, error = %chain(error), "a batch cannot be swept; it is tried again later");
        self.postpone(sweep, round)
    }

    fn postpone(&self, sweep: &DueSweep, round: &mut Round) -> Result<(), DbError> {
        round.postponed += 1;
        self.db.postpone_sweep(sweep.batch_id, self.resend_seconds())
    }

    fn resend_seconds(&self) -> i64 {
        i64::try_from(self.settings.resend_after.as_secs()).unwrap_or(i64::MAX).clamp(1, 86_400)
    }
}
