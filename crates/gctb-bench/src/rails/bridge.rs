//! Payments through the bridge: the topic is filled while the backend is down, then the backend alone works it off.
//!
//! Between, gctb-api and gctb-mapper end, so that what is measured is the backend, Postgres, Kafka and the simulated rail.

use std::thread;
use std::time::{Duration, Instant};

use super::equation;
use super::rate::Counted;
use super::scenario::Scenario;
use super::settings;
use super::simulator::{self, Asking};
use crate::end_to_end::{COUNT_ENDED, post_all};
use crate::equation::Expected;
use crate::error::BenchError;
use crate::figures::RailFigures;
use crate::ingest::wait_for_empty_outbox;
use crate::memory::PostgresMemory;
use crate::message::Messages;
use crate::psql::Psql;
use crate::say;
use crate::service::{Running, Service, Special};
use crate::stack::Stack;
use crate::thousandths::Thousandths;
use crate::usage::{Meter, Usages, each_us, status_kib};

/// Disbursements of one POST.
const POST: u32 = 10_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long nothing may move before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// PAID in the ledger.
const COUNT_PAID: &str = "SELECT count(*) FROM payment_ledger WHERE state = 7;";

/// What one scenario came to.
#[derive(Debug)]
pub(super) struct Ours {
    /// Payments per second, in the steady part.
    pub(super) rate: Thousandths,
    /// The same until the last one was PAID in the ledger.
    pub(super) to_paid: Thousandths,
    /// The most memory that Postgres took.
    pub(super) postgres_peak_kib: u64,
    /// The backend and the simulator, which still run.
    pub(super) running: Running,
    scenario: Scenario,
    steady: Steady,
    peak_kib: u64,
}

/// What was seen in the steady part.
#[derive(Debug, Default)]
struct Steady {
    used: Usages,
    payments: u64,
    kib_at_25: u64,
    kib_at_95: u64,
}

/// The database of a scenario.
fn database_of(scenario: Scenario) -> String {
    format!("bench_{scenario}")
}

/// Pays `payments` people, and checks that each was paid once.
pub(super) fn measure(stack: &Stack, scenario: Scenario, payments: u32) -> Result<Ours, BenchError> {
    let database = stack.migrated(&database_of(scenario))?;
    let expected = fill_the_topic(stack, scenario, &database, payments)?;
    database.value("write everything to the disk", "CHECKPOINT;")?;

    let mut running = simulator::start(stack, scenario, "bridge")?;
    let base = running.url(Service::Simulator);
    let folder = stack.work(&format!("rails/{scenario}/bridge"));
    let special = settings::of_backend(scenario.rail, &base, &folder)?;
    let backend = scenario.rail.backend();
    let memory = PostgresMemory::watch(stack.postgres_pid);
    running.add(stack, database.url(), backend, &special)?;
    let mut paying = Paying {
        asking: Asking::about(scenario.rail, &base)?,
        meter: Meter::of(stack, &running),
        backend_pid: running.pid(backend).unwrap_or_default(),
        counted: Counted::begin(payments.into()),
        moved_at: Instant::now(),
    };
    let steady = paying.watch(&mut running)?;
    wait_for_count(&database, COUNT_PAID, payments.into(), &mut running)?;
    let to_paid = paying.counted.rate_until_now()?;
    let peak_kib = status_kib(paying.backend_pid, "VmHWM").unwrap_or(0);

    fold(stack, &database, payments)?;
    let words = equation::check(&database, scenario, &paying.asking.book()?, expected)?;
    say(&format!("{scenario}: {words}"));
    Ok(Ours {
        rate: paying.counted.steady_rate()?,
        to_paid,
        postgres_peak_kib: memory.peak_kib(),
        running,
        scenario,
        steady,
        peak_kib,
    })
}

/// Posts the instructions and has them routed. When this returns, all of them wait in the backend's topic.
fn fill_the_topic(stack: &Stack, scenario: Scenario, database: &Psql, payments: u32) -> Result<Expected, BenchError> {
    let mut intake = Running::nothing();
    intake.add(stack, database.url(), Service::Mapper, &settings::of_mapper(stack)?)?;
    intake.wait_until_ready()?;
    intake.add(stack, database.url(), Service::Api, &Special::default())?;
    intake.wait_until_ready()?;
    let messages = Messages::to(scenario.rail.payees()).make(payments, POST);
    let minor = messages.iter().map(|message| message.minor).sum();
    post_all(&format!("{}/disburse/sync/disburse", intake.url(Service::Api)), messages)?;
    wait_for_empty_outbox(database, PATIENCE)?;
    wait_until_routed(&intake.url(Service::Mapper), payments.into())?;
    intake.stop()?;
    Ok(Expected { instructions: payments.into(), minor })
}

/// The mapper counts an entry when Kafka has confirmed what became of it.
fn wait_until_routed(mapper_url: &str, all: u64) -> Result<(), BenchError> {
    let deadline = Instant::now() + PATIENCE;
    let mut routed = 0;
    while Instant::now() < deadline {
        let page = reqwest::blocking::get(format!("{mapper_url}/metrics")).and_then(reqwest::blocking::Response::text);
        let page = page.map_err(|source| BenchError::Http { doing: "read the mapper's metrics".to_owned(), source })?;
        routed = routed_by(&page);
        if routed >= all {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Err(BenchError::Incomplete { about: "what the mapper routed", got: routed, wanted: all })
}

fn routed_by(metrics: &str) -> u64 {
    let line = |line: &&str| line.starts_with("gctb_entries_total{") && line.contains(r#"outcome="routed""#);
    let count = |line: &str| line.rsplit_once(' ')?.1.parse::<u64>().ok();
    metrics.lines().filter(line).filter_map(count).sum()
}

/// The payments while they are made.
struct Paying {
    asking: Asking,
    meter: Meter,
    backend_pid: u32,
    counted: Counted,
    moved_at: Instant,
}

impl Paying {
    /// Counts until all are done, and looks at the processes on the way.
    fn watch(&mut self, running: &mut Running) -> Result<Steady, BenchError> {
        self.wait_for(10, running)?;
        let (used, payments) = (self.meter.read()?, self.counted.last());
        self.wait_for(25, running)?;
        let kib_at_25 = self.kib();
        self.wait_for(95, running)?;
        let used = self.meter.since(&used)?;
        let steady = Steady { used, payments: self.counted.last() - payments, kib_at_25, kib_at_95: self.kib() };
        self.wait_for(100, running)?;
        Ok(steady)
    }

    fn kib(&self) -> u64 {
        status_kib(self.backend_pid, "VmRSS").unwrap_or(0)
    }

    fn wait_for(&mut self, percent: u64, running: &mut Running) -> Result<(), BenchError> {
        while !self.counted.has_reached(percent) {
            let (looked_at, before) = (Instant::now(), self.counted.last());
            self.counted.note(self.asking.done()?);
            if self.counted.last() > before {
                self.moved_at = looked_at;
            }
            running.must_run()?;
            if self.moved_at.elapsed() > PATIENCE {
                let (ended, all) = (self.counted.last(), self.counted.all());
                return Err(BenchError::Stuck { ended, all, patience: PATIENCE });
            }
            thread::sleep(LOOK_INTERVAL.saturating_sub(looked_at.elapsed()));
        }
        Ok(())
    }
}

/// Has the projection follow the ledger. The messages about it waited in Kafka.
fn fold(stack: &Stack, database: &Psql, payments: u32) -> Result<(), BenchError> {
    let mut status = Running::start(stack, database.url(), &[Service::Status])?;
    wait_for_count(database, COUNT_ENDED, payments.into(), &mut status)?;
    wait_for_empty_outbox(database, PATIENCE)?;
    status.stop()
}

fn wait_for_count(database: &Psql, question: &str, all: u64, running: &mut Running) -> Result<(), BenchError> {
    const DOING: &str = "count what has ended";
    let mut session = database.session()?;
    let (mut last, mut moved_at) = (0, Instant::now());
    loop {
        let answer = session.ask(DOING, question)?.join(" ");
        let count = answer.parse::<u64>().map_err(|_| BenchError::Answer { doing: DOING.to_owned(), answer })?;
        if count >= all {
            return Ok(());
        }
        if count > last {
            (last, moved_at) = (count, Instant::now());
        }
        running.must_run()?;
        if moved_at.elapsed() > PATIENCE {
            return Err(BenchError::Stuck { ended: count, all, patience: PATIENCE });
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

impl Ours {
    /// Stops the programs and drops what they wrote.
    pub(super) fn end(self, stack: &Stack) -> Result<(), BenchError> {
        self.running.stop()?;
        stack.psql.drop_database(&database_of(self.scenario))
    }

    /// What stands beside the rate in the figures. The floor paid as many people twice over, before and after.
    pub(super) fn figures(&self, floor_used: &Usages, floor_payments: u64) -> RailFigures {
        let backend = self.scenario.rail.backend().name();
        let of = |usages: &Usages, name: &str, payments: u64| each_us(usages, name, payments);
        let ours = |name: &str| of(&self.steady.used, name, self.steady.payments);
        let floor = |name: &str| of(floor_used, name, floor_payments);
        let mib = |kib: u64| Thousandths::quotient(kib.into(), 1024).unwrap_or_default();
        RailFigures {
            to_paid: self.to_paid,
            cpu_us: [
                ("backend", ours(backend)),
                ("postgres", ours("postgres")),
                ("kafka", ours("kafka")),
                ("simulator", ours("gctb-simulator")),
            ]
            .into(),
            floor_cpu_us: [("client", floor("bench")), ("simulator", floor("gctb-simulator"))].into(),
            memory_mib: [
                ("at_25_percent", mib(self.steady.kib_at_25)),
                ("at_95_percent", mib(self.steady.kib_at_95)),
                ("peak", mib(self.peak_kib)),
            ]
            .into(),
            limit: self.scenario.limit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_mapper_routed_is_read_off_its_metrics() {
        let page = "# TYPE gctb_entries_total counter\n\
            gctb_entries_total{outcome=\"routed\",topic=\"gctb.batches\"} 39500\n\
            gctb_entries_total{outcome=\"rejected\",topic=\"gctb.batches\"} 7\n\
            gctb_entries_total{outcome=\"routed\",topic=\"gctb.resolve\"} 500\n";
        assert_eq!(routed_by(page), 40_000);
        assert_eq!(routed_by(""), 0);
    }
}
