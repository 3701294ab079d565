//! The floor under a rail's payments: the same HTTP calls to the same simulator, as many under way, with no bridge around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::IN_FLIGHT;
use super::access::Access;
use super::callbacks::Callbacks;
use super::calls::Calls;
use super::rate::Counted;
use super::scenario::{Rail, Scenario};
use super::simulator;
use crate::error::BenchError;
use crate::service::Service;
use crate::stack::Stack;
use crate::thousandths::Thousandths;
use crate::usage::{Meter, Usages};

/// Threads that make calls, each with its share of the calls and its own connections.
const CLIENTS: usize = 2;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long nothing may be paid before the floor is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What calls alone came to.
#[derive(Debug)]
pub(super) struct Floor {
    /// Payments per second.
    pub(super) rate: Thousandths,
    /// What the client and the simulator used.
    pub(super) used: Usages,
}

/// Makes so many payments.
pub(super) fn measure(stack: &Stack, scenario: Scenario, payments: u32) -> Result<Floor, BenchError> {
    let running = simulator::start(stack, scenario, "floor")?;
    let base = running.url(Service::Simulator);
    let callbacks = match scenario.rail {
        Rail::Daraja => Some(Callbacks::listen()?),
        Rail::Simple | Rail::Mojaloop => None,
    };
    let access = Access::get(scenario.rail, &base, &callbacks.as_ref().map(Callbacks::url).unwrap_or_default())?;
    let meter = Meter::of(stack, &running);
    let used = meter.read()?;
    let work = Arc::new(Work { all: payments.into(), begun: AtomicU64::new(0), ended: AtomicU64::new(0) });
    let counted = thread::scope(|scope| {
        let client = || scope.spawn(|| pay_on_this_thread(&work, &base, &access));
        let clients: Vec<_> = (0..CLIENTS).map(|_| client()).collect();
        // Counted as for the bridge: one that waits for its callback is half done.
        let ended = || {
            let called = work.ended.load(Ordering::Relaxed);
            callbacks.as_ref().map_or(called, |callbacks| u64::midpoint(called, callbacks.received()))
        };
        let counted = count_until_all(payments.into(), ended, || clients.iter().any(|client| !client.is_finished()));
        for client in clients {
            client.join().unwrap_or(Err(BenchError::Client))?;
        }
        counted
    })?;
    let used = meter.since(&used)?;
    running.stop()?;
    Ok(Floor { rate: counted.steady_rate()?, used })
}

/// Whom to pay next, shared by all clients.
struct Work {
    all: u64,
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Work {
    /// The next person's number, from 1.
    fn next(&self) -> Option<u64> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        (number <= self.all).then_some(number)
    }
}

fn pay_on_this_thread(work: &Arc<Work>, base: &str, access: &Access) -> Result<(), BenchError> {
    let share = IN_FLIGHT / CLIENTS;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| BenchError::Listen { source })?;
    runtime.block_on(async {
        let calls = Arc::new(Calls::new(base, access.clone(), share)?);
        let mut paying = JoinSet::new();
        for _ in 0..share {
            let (work, calls) = (Arc::clone(work), Arc::clone(&calls));
            // One call at a time, with the next as soon as one has ended.
            paying.spawn(async move {
                while let Some(number) = work.next() {
                    calls.pay(number).await?;
                    work.ended.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        while let Some(ended) = paying.join_next().await {
            ended.unwrap_or(Err(BenchError::Client))?;
        }
        Ok(())
    })
}

fn count_until_all(all: u64, ended: impl Fn() -> u64, somebody_pays: impl Fn() -> bool) -> Result<Counted, BenchError> {
    let mut counted = Counted::begin(all);
    let mut moved_at = Instant::now();
    while !counted.has_reached(100) {
        thread::sleep(LOOK_INTERVAL);
        let before = counted.last();
        counted.note(ended());
        if counted.last() > before || somebody_pays() {
            moved_at = Instant::now();
        } else if moved_at.elapsed() > PATIENCE {
            return Err(BenchError::Stuck { ended: counted.last(), all, patience: PATIENCE });
        }
    }
    Ok(counted)
}
