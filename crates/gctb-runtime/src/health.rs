//! What a process knows about itself: are its loops turning (`/healthz`), and can it do its work (`/readyz`)?
//!
//! It serves nothing itself, and no text in it may carry anybody's data (invariant I9).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use serde::Serialize;

/// The health of a process. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    components: BTreeMap<String, State>,
    heartbeats: BTreeMap<String, Beat>,
}

#[derive(Debug)]
struct State {
    required: bool,
    trouble: Option<String>,
    heard: Instant,
    /// How long no news are good news. None: for ever.
    silence_max: Option<Duration>,
}

impl State {
    fn trouble(&self) -> Option<String> {
        let silent = self.heard.elapsed();
        let too_long = self.silence_max.filter(|limit| silent > *limit);
        let sentence = |limit: Duration| {
            format!("no news of it for {} s; they come within {} s while it works", silent.as_secs(), limit.as_secs())
        };
        self.trouble.clone().or_else(|| too_long.map(sentence))
    }
}

#[derive(Debug)]
struct Beat {
    last: Instant,
    limit: Duration,
}

/// One part that the process needs; tells whether it works.
#[derive(Clone, Debug)]
pub struct Component {
    health: Health,
    name: String,
}

/// One loop of the process; shows that it still turns. Dropped with its loop.
#[derive(Debug)]
pub struct Heartbeat {
    health: Health,
    name: String,
}

/// An answer of [`Health`], as it is served.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Report {
    /// Whether all is well.
    pub ok: bool,
    /// What is not well, by name. A component that the process can do without appears here without clearing `ok`.
    pub failing: BTreeMap<String, String>,
}

impl Health {
    /// A process with no components yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A part without which the process is not ready. It fails until it is first [`Component::ok`].
    pub fn component(&self, name: impl Into<String>) -> Component {
        self.register(name.into(), true, None)
    }

    /// A [`Health::component`] that is asked again and again. One that never answers cannot say that it fails: with no news
    /// of it for `silence_max` it counts as failing.
    pub fn watched(&self, name: impl Into<String>, silence_max: Duration) -> Component {
        self.register(name.into(), true, Some(silence_max))
    }

    /// A part whose failure is shown, but without which the process still does its work.
    pub fn advisory(&self, name: impl Into<String>) -> Component {
        self.register(name.into(), false, None)
    }

    /// A loop that must turn at least once per `limit`.
    pub fn heartbeat(&self, name: impl Into<String>, limit: Duration) -> Heartbeat {
        let name = name.into();
        self.lock().heartbeats.insert(name.clone(), Beat { last: Instant::now(), limit });
        Heartbeat { health: self.clone(), name }
    }

    /// Whether every required component works.
    pub fn ready(&self) -> Report {
        let shared = self.lock();
        let ok = shared.components.values().all(|state| !state.required || state.trouble().is_none());
        let trouble = |(name, state): (&String, &State)| Some((name.clone(), state.trouble()?));
        Report { ok, failing: shared.components.iter().filter_map(trouble).collect() }
    }

    /// Whether every loop has turned within its limit.
    pub fn alive(&self) -> Report {
        let shared = self.lock();
        let stuck = |(name, beat): (&String, &Beat)| {
            let still = beat.last.elapsed();
            let sentence = || {
                format!("this loop has not turned for {} s; its limit is {} s", still.as_secs(), beat.limit.as_secs())
            };
            (still > beat.limit).then(|| (name.clone(), sentence()))
        };
        let failing: BTreeMap<String, String> = shared.heartbeats.iter().filter_map(stuck).collect();
        Report { ok: failing.is_empty(), failing }
    }

    /// Shows every component and every loop as a metric as well, so that what fails can raise an alarm by its name.
    pub fn observe(&self, meter: &Meter) {
        let components = self.clone();
        meter
            .u64_observable_gauge("gctb_component_failing")
            .with_description("Parts of the process: 1 where /readyz names it as failing, 0 where it works.")
            .with_callback(move |observer| {
                for (name, state) in &components.lock().components {
                    let label = KeyValue::new("component", name.clone());
                    observer.observe(u64::from(state.trouble().is_some()), &[label]);
                }
            })
            .build();
        let loops = self.clone();
        meter
            .u64_observable_gauge("gctb_loop_stuck")
            .with_description("Loops of the process: 1 where /healthz names it as standing still, 0 where it turns.")
            .with_callback(move |observer| {
                for (name, beat) in &loops.lock().heartbeats {
                    let label = KeyValue::new("loop", name.clone());
                    observer.observe(u64::from(beat.last.elapsed() > beat.limit), &[label]);
                }
            })
            .build();
    }

    fn register(&self, name: String, required: bool, silence_max: Option<Duration>) -> Component {
        let trouble = Some("not yet checked".to_owned());
        let state = State { required, trouble, heard: Instant::now(), silence_max };
        self.lock().components.insert(name.clone(), state);
        Component { health: self.clone(), name }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    /// Whether the last news of it were bad.
    pub fn is_failing(&self) -> bool {
        self.health.lock().components.get(&self.name).is_some_and(|state| state.trouble.is_some())
    }

    /// It works. Says whether that is news.
    pub fn ok(&self) -> bool {
        self.set(None)
    }

    /// It does not work, and why: a sentence for operators. Says whether it worked before.
    pub fn failing(&self, sentence: impl Into<String>) -> bool {
        self.set(Some(sentence.into()))
    }

    fn set(&self, trouble: Option<String>) -> bool {
        let mut shared = self.health.lock();
        let Some(state) = shared.components.get_mut(&self.name) else { return false };
        let changed = state.trouble.is_some() != trouble.is_some();
        state.heard = Instant::now();
        state.trouble = trouble;
        changed
    }
}

impl Heartbeat {
    /// The loop has turned.
    pub fn beat(&self) {
        if let Some(beat) = self.health.lock().heartbeats.get_mut(&self.name) {
            beat.last = Instant::now();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.health.lock().heartbeats.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_required_component_works() {
        let health = Health::new();
        let kafka = health.component("kafka");
        let producer = health.advisory("producer");
        assert!(!health.ready().ok, "a component fails until it was seen to work");
        assert!(kafka.ok(), "that it works is news");
        assert!(!kafka.ok(), "that it still works is not");
        assert!(health.ready().ok, "an advisory component does not take readiness away");
        producer.failing("no broker answers");
        kafka.failing("the topic does not exist");
        let report = health.ready();
        assert!(!report.ok);
        assert_eq!(report.failing["producer"], "no broker answers");
        assert_eq!(report.failing["kafka"], "the topic does not exist");
    }

    #[test]
    fn a_component_that_is_asked_and_never_answers_counts_as_failing() {
        let health = Health::new();
        let database = health.watched("database", Duration::ZERO);
        database.ok();
        while health.ready().ok {
            std::hint::spin_loop();
        }
        assert_eq!(health.ready().failing["database"], "no news of it for 0 s; they come within 0 s while it works");
        let patient = health.watched("database", Duration::from_secs(3600));
        patient.ok();
        assert!(health.ready().ok);
    }

    #[test]
    fn a_loop_that_stands_still_is_named_until_it_turns_or_ends() {
        let health = Health::new();
        let stuck = health.heartbeat("consume", Duration::ZERO);
        let turning = health.heartbeat("sweep", Duration::from_secs(3600));
        turning.beat();
        while health.alive().ok {
            std::hint::spin_loop();
        }
        assert_eq!(health.alive().failing.keys().collect::<Vec<_>>(), ["consume"]);
        drop(stuck);
        assert!(health.alive().ok);
    }
}
