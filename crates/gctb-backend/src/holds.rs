//! What stops the rail as a whole, as operators see it: held since it refuses everybody, paused by a person, or left alone since it
//! does not answer. What a call found is written to `rail_controls`, where every claim of every replica reads it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gctb_db::{Db, DbError, RailGate};
use gctb_domain::BackendName;
use gctb_runtime::{Component, Health};
use opentelemetry::metrics::{Gauge, Meter};

use crate::rail::Hold;

/// The health component, the gauge, and what is still to be written.
pub(crate) struct Holds {
    retry_no_funds: Duration,
    component: Component,
    stopped: Gauge<u64>,
    pending: Mutex<Option<Hold>>,
    /// Whether the next payment finds out if the rail, which is held, pays again.
    probing: AtomicBool,
    /// Whether it does, which is still to be written.
    pays_again: AtomicBool,
    /// Whether what was found needs a person, as far as this process knows.
    for_a_person: AtomicBool,
}

impl Holds {
    pub(crate) fn new(retry_no_funds: Duration, health: &Health, meter: &Meter) -> Self {
        let component = health.component("rail");
        component.ok();
        let stopped = meter
            .u64_gauge("gctb_rail_stopped")
            .with_description("1 while nothing is paid: the rail is paused, held or does not answer.")
            .build();
        stopped.record(0, &[]);
        let [probing, pays_again, for_a_person] = std::array::from_fn(|_| AtomicBool::new(false));
        Self { retry_no_funds, component, stopped, pending: Mutex::new(None), probing, pays_again, for_a_person }
    }

    /// How the rail's gate stands for what is sent next.
    pub(crate) fn gate(&self, gate: RailGate) {
        self.probing.store(gate == RailGate::Probe, Ordering::Relaxed);
        if gate != RailGate::Stopped {
            self.for_a_person.store(false, Ordering::Relaxed);
        }
    }

    /// Whether nothing may be asked, since each question carries what the rail refuses.
    pub(crate) fn waits_for_a_person(&self) -> bool {
        self.for_a_person.load(Ordering::Relaxed)
    }

    /// A payment went through. Where the rail is held, that is the end of the hold.
    pub(crate) fn pays_again(&self) {
        if self.probing.swap(false, Ordering::Relaxed) {
            self.pays_again.store(true, Ordering::Relaxed);
        }
    }

    /// The rail pays nobody. It is written before anything else is claimed.
    pub(crate) fn found(&self, hold: Hold) {
        let mut pending = self.lock();
        *pending = (*pending).max(Some(hold));
    }

    /// Writes what was found.
    ///
    /// # Errors
    /// Where Postgres refuses: nothing may be claimed before it is written.
    pub(crate) fn write(&self, db: &Db, backend: &BackendName) -> Result<(), DbError> {
        let Some(hold) = *self.lock() else { return self.release(db, backend) };
        self.pays_again.store(false, Ordering::Relaxed);
        let (reason, again) = match hold {
            Hold::NoFunds => ("the payer's account is short of funds", Some(self.retry_no_funds)),
            Hold::NotPermitted => ("the rail says that we are not set up for these payments", None),
            Hold::CredentialsRefused => ("the rail refuses our credentials", None),
            Hold::Locked => ("the rail has locked our account or credential", None),
        };
        db.hold_rail(backend, reason, again)?;
        self.for_a_person.store(again.is_none(), Ordering::Relaxed);
        let mut pending = self.lock();
        if *pending == Some(hold) {
            *pending = None;
        }
        drop(pending);
        self.stop(format!("held: {reason}"));
        Ok(())
    }

    /// Claims are refused by the control row.
    pub(crate) fn stopped(&self, db: &Db, backend: &BackendName) -> String {
        let control = db.rail_control(backend).ok().flatten();
        let sentence = control.map_or_else(
            || "the rail is stopped".to_owned(),
            |control| {
                format!("the rail is {}: {} (`gctb rail list` tells more)", control.state.as_str(), control.reason)
            },
        );
        self.stop(sentence.clone());
        sentence
    }

    /// It is left alone since it does not answer.
    pub(crate) fn silent(&self, rest: Duration) {
        self.stop(silence(rest));
    }

    /// It works.
    pub(crate) fn answers(&self) {
        if self.lock().is_none() {
            self.stopped.record(0, &[]);
            if self.component.ok() {
                tracing::info!("the rail pays again");
            }
        }
    }

    fn release(&self, db: &Db, backend: &BackendName) -> Result<(), DbError> {
        if self.pays_again.load(Ordering::Relaxed) {
            db.release_rail(backend)?;
            self.pays_again.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn stop(&self, sentence: String) {
        self.stopped.record(1, &[]);
        if self.component.failing(sentence.clone()) {
            tracing::warn!(trouble = %sentence, "nothing is paid over the rail");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Hold>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That the rail is left alone.
pub(crate) fn silence(rest: Duration) -> String {
    format!("the rail does not answer and is left alone; the next payment tries it in {} s", rest.as_secs() + 1)
}
