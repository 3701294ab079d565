//! What the loop counts. Labels name topics, partitions and outcomes, never people's data.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

use super::context::Assigned;

/// Upper bounds of the duration buckets, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug)]
pub(super) struct Meters {
    topic: KeyValue,
    messages: Counter<u64>,
    entries: Counter<u64>,
    dead_letters: Counter<u64>,
    retries: Counter<u64>,
    in_flight: Gauge<u64>,
    handle_seconds: Histogram<f64>,
}

impl Meters {
    pub(super) fn new(meter: &Meter, topic: &str, assigned: &Assigned) -> Self {
        lag(meter, topic, assigned);
        let counter = |name, about| meter.u64_counter(name).with_description(about).build();
        Self {
            topic: KeyValue::new("topic", topic.to_owned()),
            messages: counter("gctb_consumer_messages", "Messages handled, repeats included."),
            entries: counter("gctb_entries", "Entries of messages handled, by what became of them."),
            dead_letters: counter("gctb_dead_letters", "Entries sent to the dead-letter topic."),
            retries: counter("gctb_consumer_retries", "Polled groups that were handled again after a back-off."),
            in_flight: meter
                .u64_gauge("gctb_consumer_in_flight")
                .with_description("Messages that are being handled.")
                .build(),
            handle_seconds: meter
                .f64_histogram("gctb_handle_duration_seconds")
                .with_description("Time that a handler took for one polled group.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
        }
    }

    pub(super) fn in_flight(&self, messages: usize) {
        self.in_flight.record(messages as u64, std::slice::from_ref(&self.topic));
    }

    pub(super) fn retry(&self) {
        self.retries.add(1, std::slice::from_ref(&self.topic));
    }

    pub(super) fn handler_took(&self, duration: std::time::Duration) {
        self.handle_seconds.record(duration.as_secs_f64(), std::slice::from_ref(&self.topic));
    }

    pub(super) fn handled(&self, messages: usize, dead: usize, outcomes: &[(&'static str, u64)]) {
        let topic = std::slice::from_ref(&self.topic);
        self.messages.add(messages as u64, topic);
        self.dead_letters.add(dead as u64, topic);
        let outcome = |name: &'static str, count| {
            self.entries.add(count, &[self.topic.clone(), KeyValue::new("outcome", name)]);
        };
        outcomes.iter().for_each(|(name, count)| outcome(name, *count));
        if dead > 0 {
            outcome("dead", dead as u64);
        }
    }
}

/// Observed, not recorded: a partition that went to another replica must no longer be reported by this one.
fn lag(meter: &Meter, topic: &str, assigned: &Assigned) {
    let (topic, assigned) = (topic.to_owned(), assigned.clone());
    let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<i64>| {
        for (partition, lag) in assigned.lags() {
            let labels = [KeyValue::new("topic", topic.clone()), KeyValue::new("partition", i64::from(partition))];
            observer.observe(lag, &labels);
        }
    };
    meter
        .i64_observable_gauge("gctb_consumer_lag")
        .with_description("Messages of a partition that this replica has not yet committed.")
        .with_callback(observe)
        .build();
}
