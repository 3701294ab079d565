//! What is counted about callbacks. No label carries a key, a number or an amount (invariant I9).

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::outcome::Outcome;

/// The instruments. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Meters {
    callbacks: Counter<u64>,
    not_kept: Counter<u64>,
    groups: Histogram<u64>,
}

impl Meters {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            callbacks: meter
                .u64_counter("gctb_callbacks")
                .with_description("Callbacks of the rail, by what became of them.")
                .build(),
            not_kept: meter
                .u64_counter("gctb_callbacks_not_kept")
                .with_description("Refused callbacks that were counted and not kept: too many within a minute.")
                .build(),
            groups: meter
                .u64_histogram("gctb_callbacks_per_commit")
                .with_description("Callbacks that were recorded by one commit.")
                .with_boundaries(vec![1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0])
                .build(),
        }
    }

    pub(super) fn outcome(&self, outcome: Outcome) {
        self.callbacks.add(1, &[KeyValue::new("outcome", outcome.as_str())]);
    }

    pub(super) fn not_kept(&self, callbacks: usize) {
        self.not_kept.add(callbacks as u64, &[]);
    }

    pub(super) fn group(&self, callbacks: usize) {
        self.groups.record(callbacks as u64, &[]);
    }
}
