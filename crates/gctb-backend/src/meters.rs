//! What a backend counts about its rail. Labels name calls and what was learnt, never people's data.

use std::time::Duration;

use gctb_db::{Todo, Turned};
use gctb_domain::paying::Learnt;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

/// Upper bounds of the duration buckets, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];

pub(crate) struct Meters {
    calls: Counter<u64>,
    recorded: Counter<u64>,
    conflicts: Counter<u64>,
    exceptions: Counter<u64>,
    commit_seconds: Histogram<f64>,
    window_seconds: Histogram<f64>,
    window: Gauge<u64>,
}

impl Meters {
    pub(crate) fn new(meter: &Meter) -> Self {
        let counter = |name, about| meter.u64_counter(name).with_description(about).build();
        let seconds =
            |name, about| meter.f64_histogram(name).with_description(about).with_boundaries(SECONDS.to_vec()).build();
        Self {
            calls: counter("gctb_rail_calls", "Payments, questions and fences sent to the rail, by what was learnt."),
            recorded: counter("gctb_rail_recorded", "Ledger rows that changed by what the rail said."),
            conflicts: counter(
                "gctb_rail_conflicts",
                "Contradictions about money that the rail brought up: look at them.",
            ),
            exceptions: counter("gctb_rail_exceptions", "What the rail said and nobody believed."),
            commit_seconds: seconds(
                "gctb_rail_commit_seconds",
                "Time of a commit that records a window and claims the next.",
            ),
            window_seconds: seconds("gctb_rail_window_seconds", "Time of a window's calls, the slowest of them."),
            window: meter.u64_gauge("gctb_rail_window").with_description("Calls of the last window.").build(),
        }
    }

    pub(crate) fn called(&self, todo: Todo, learnt: Learnt) {
        let call = match todo {
            Todo::Send => "pay",
            Todo::Ask => "ask",
            Todo::Fence => "fence",
        };
        let learnt = match learnt {
            Learnt::Paid => "paid",
            Learnt::Returned => "returned",
            Learnt::Accepted => "accepted",
            Learnt::Refused { .. } => "refused",
            Learnt::NotSent => "not_sent",
            Learnt::NotFound => "not_found",
            Learnt::Duplicate => "duplicate",
            Learnt::Unanswerable => "unanswerable",
            Learnt::Nothing => "nothing",
        };
        self.calls.add(1, &[KeyValue::new("call", call), KeyValue::new("learnt", learnt)]);
    }

    pub(crate) fn committed(&self, turned: &Turned, took: Duration) {
        self.commit_seconds.record(took.as_secs_f64(), &[]);
        self.recorded.add(turned.recorded as u64, &[]);
        self.conflicts.add(turned.conflicts as u64, &[]);
        self.exceptions.add(turned.exceptions as u64, &[]);
    }

    pub(crate) fn window(&self, calls: usize, took: Duration) {
        self.window.record(calls as u64, &[]);
        self.window_seconds.record(took.as_secs_f64(), &[]);
    }
}
