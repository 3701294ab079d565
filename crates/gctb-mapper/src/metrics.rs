//! What this service counts beside what the loop counts. No label carries an id or an address (invariant I9).

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

use crate::breaker::BreakerState;

/// The instruments. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    calls: Counter<u64>,
    call_seconds: Histogram<f64>,
    call_ids: Histogram<u64>,
    lookups: Counter<u64>,
    breaker: Gauge<u64>,
}

impl Metrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            calls: meter
                .u64_counter("gctb_mapper_calls")
                .with_description("Calls to the ID account mapper, by how they ended.")
                .build(),
            call_seconds: meter
                .f64_histogram("gctb_mapper_call_duration_seconds")
                .with_description("Time from the beginning of a call to its end.")
                .with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
                .build(),
            call_ids: meter
                .u64_histogram("gctb_mapper_call_ids")
                .with_description("Ids of one call.")
                .with_boundaries(vec![1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0])
                .build(),
            lookups: meter
                .u64_counter("gctb_mapper_cache_lookups")
                .with_description("Ids that were looked up in memory before the mapper was asked: hit, miss.")
                .build(),
            breaker: meter
                .u64_gauge("gctb_mapper_breaker_state")
                .with_description("Whether the mapper is called: 0 it is, 1 one call tries, 2 it is left alone.")
                .build(),
        }
    }

    pub(crate) fn call(&self, outcome: &'static str, ids: usize, took: Duration) {
        self.calls.add(1, &[KeyValue::new("outcome", outcome)]);
        self.call_seconds.record(took.as_secs_f64(), &[]);
        self.call_ids.record(ids as u64, &[]);
    }

    pub(crate) fn lookups(&self, hits: usize, misses: usize) {
        self.lookups.add(hits as u64, &[KeyValue::new("outcome", "hit")]);
        self.lookups.add(misses as u64, &[KeyValue::new("outcome", "miss")]);
    }

    pub(crate) fn breaker(&self, state: BreakerState) {
        self.breaker.record(state as u64, &[]);
    }
}
