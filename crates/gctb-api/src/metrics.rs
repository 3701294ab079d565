//! What this service counts. No label carries a sender, a transaction or anybody's data (invariant I9).

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use crate::budget::ByteBudget;

/// The instruments. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    meter: Meter,
    messages: Counter<u64>,
    disbursements: Counter<u64>,
    errors: Counter<u64>,
    seconds: Histogram<f64>,
}

impl Metrics {
    /// Registers the instruments.
    pub(crate) fn new(meter: Meter) -> Self {
        Self {
            messages: meter
                .u64_counter("gctb_disburse_messages")
                .with_description("Disburse messages by what became of them: stored, already_known, refused.")
                .build(),
            disbursements: meter
                .u64_counter("gctb_disbursements_received")
                .with_description("Disbursements of stored messages: accepted, refused.")
                .build(),
            errors: meter
                .u64_counter("gctb_request_errors")
                .with_description("Requests without an answer in the specification's form, by the reason.")
                .build(),
            seconds: meter
                .f64_histogram("gctb_request_seconds")
                .with_description("Time from the head of a request to its answer, by the endpoint.")
                .with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
                .build(),
            meter,
        }
    }

    pub(crate) fn message(&self, outcome: &'static str) {
        self.messages.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub(crate) fn disbursements(&self, accepted: usize, refused: usize) {
        self.disbursements.add(accepted as u64, &[KeyValue::new("outcome", "accepted")]);
        self.disbursements.add(refused as u64, &[KeyValue::new("outcome", "refused")]);
    }

    pub(crate) fn error(&self, reason: &'static str) {
        self.errors.add(1, &[KeyValue::new("reason", reason)]);
    }

    pub(crate) fn request(&self, endpoint: &'static str, took: Duration) {
        self.seconds.record(took.as_secs_f64(), &[KeyValue::new("endpoint", endpoint)]);
    }

    pub(crate) fn watch_bodies(&self, budget: ByteBudget) {
        self.meter
            .u64_observable_gauge("gctb_bodies_in_hand_bytes")
            .with_description("Bytes of request bodies in hand.")
            .with_callback(move |observer| observer.observe(u64::from(budget.taken()), &[]))
            .build();
    }
}
