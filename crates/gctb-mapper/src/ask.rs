//! Asks the mapper about many ids: some calls at once, each of limited size, and none while the breaker is open.
//!
//! A call that the mapper answers badly is asked again in halves, so that one id on which it fails is found and stops
//! only itself (invariant I7). An id is blamed only if others were answered in the same round: a mapper that answers
//! nothing well has a trouble of its own, and all ids wait.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gctb_connect::resolve::Outcome;
use gctb_domain::{FinancialAddress, ReasonCode};
use gctb_runtime::{Component, Health, Shutdown, chain};
use tokio::runtime::Runtime;

use crate::breaker::{Breaker, BreakerState};
use crate::call::{CallError, ClientError, Ended, MapperClient};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::settings::MapperSettings;

/// Asks the mapper. It owns the small runtime on which the calls are made: handlers block.
pub(crate) struct Asking {
    runtime: Runtime,
    client: MapperClient,
    desk: Desk,
}

/// What a round of asking came to. An id that appears nowhere was not answered about.
#[derive(Default)]
pub(crate) struct Answers {
    /// What was decided.
    pub(crate) decided: HashMap<FinancialAddress, Decision>,
    /// Ids that the mapper has not decided about, or said nothing of.
    pub(crate) undecided: Vec<FinancialAddress>,
    /// Ids on which the mapper fails, while it answers about others.
    pub(crate) failing_alone: Vec<FinancialAddress>,
    /// Why ids were not answered about, where some were not.
    pub(crate) trouble: Option<AskError>,
}

/// What the mapper decided about an id.
pub(crate) enum Decision {
    /// Its address.
    Address(FinancialAddress),
    /// There is none that can be paid.
    None {
        /// The code for the sender.
        code: ReasonCode,
        /// The mapper's own; may be empty.
        mapper_code: String,
    },
}

/// Why ids were not answered about.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The breaker is open.
    #[error("the ID account mapper is left alone for a while after failed calls")]
    LeftAlone,
    /// The round took too long.
    #[error("the ID account mapper was too slow for one round (setting mapper.round_time_max)")]
    OutOfTime,
    /// The service ends.
    #[error("the service is stopping")]
    Stopping,
}

/// What the calls of a round share.
struct Desk {
    breaker: Breaker,
    settings: MapperSettings,
    clock: Clock,
    metrics: Metrics,
    component: Component,
    shutdown: Shutdown,
}

impl Asking {
    /// Nothing is called yet. The health component `id account mapper` is advisory: without the mapper, instructions with
    /// an address of their own still go out.
    pub(crate) fn new(
        settings: &MapperSettings,
        clock: Clock,
        metrics: &Metrics,
        health: &Health,
        shutdown: &Shutdown,
    ) -> Result<Self, AskingError> {
        // One thread of its own keeps the connections while the handler does other things.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("mapper calls").enable_all().build();
        let runtime = runtime.map_err(AskingError::Runtime)?;
        let client = MapperClient::new(settings, clock)?;
        let component = health.advisory("id account mapper");
        component.ok();
        metrics.breaker(BreakerState::Closed);
        let desk = Desk {
            breaker: Breaker::new(settings.breaker),
            settings: settings.clone(),
            clock,
            metrics: metrics.clone(),
            component,
            shutdown: shutdown.clone(),
        };
        Ok(Self { runtime, client, desk })
    }

    /// Asks about `ids`, which must differ from each other. Takes at most `round_time_max` and one call more.
    pub(crate) fn ask(&mut self, ids: &[FinancialAddress]) -> Answers {
        self.runtime.block_on(self.desk.round(&self.client, ids))
    }
}

/// Why asking could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum AskingError {
    /// No runtime.
    #[error("could not start the runtime for calls to the ID account mapper")]
    Runtime(#[source] std::io::Error),
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Desk {
    async fn round(&mut self, client: &MapperClient, ids: &[FinancialAddress]) -> Answers {
        let until = (self.clock.instant)() + self.settings.round_time_max;
        let mut waiting: VecDeque<_> = ids.chunks(self.settings.ids_per_call_max.max(1)).map(<[_]>::to_vec).collect();
        let mut under_way = FuturesUnordered::new();
        let (mut answers, mut failed_alone) = (Answers::default(), Vec::new());
        let shutdown = self.shutdown.clone();
        loop {
            while under_way.len() < self.settings.calls_at_once_max
                && let Some(ids) = self.next(&mut waiting, until, &mut answers)
            {
                under_way.push(client.call(ids));
            }
            let ended = tokio::select! {
                ended = under_way.next() => ended,
                () = shutdown.requested() => {
                    self.breaker.abandoned((self.clock.instant)());
                    answers.trouble = Some(AskError::Stopping);
                    None
                }
            };
            let Some(Ended { ids, result, took }) = ended else { break };
            self.note(&result, ids.len(), took);
            match result {
                Ok(outcomes) => answers.take(ids, outcomes),
                Err(error) => {
                    if error.may_be_one_id() {
                        ask_again_in_halves(ids, &mut waiting, &mut failed_alone);
                    }
                    answers.trouble = Some(error.into());
                }
            }
        }
        if !answers.decided.is_empty() || !answers.undecided.is_empty() {
            answers.failing_alone = failed_alone;
        }
        answers
    }

    /// The next call's ids, if a call may begin now.
    fn next(
        &mut self,
        waiting: &mut VecDeque<Vec<FinancialAddress>>,
        until: Instant,
        answers: &mut Answers,
    ) -> Option<Vec<FinancialAddress>> {
        if waiting.is_empty() {
            return None;
        }
        let now = (self.clock.instant)();
        if now >= until {
            answers.trouble.get_or_insert(AskError::OutOfTime);
            return None;
        }
        if !self.breaker.admits(now) {
            answers.trouble.get_or_insert(AskError::LeftAlone);
            return None;
        }
        self.metrics.breaker(self.breaker.state());
        waiting.pop_front()
    }

    /// Tells breaker, metrics and health how a call ended. The log hears of it when the breaker opens or closes.
    fn note(&mut self, result: &Result<Vec<Outcome>, CallError>, ids: usize, took: std::time::Duration) {
        match result {
            Ok(outcomes) => {
                let complete = !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Missing));
                self.metrics.call(if complete { "answered" } else { "incomplete" }, ids, took);
                self.breaker.succeeded();
                if self.component.ok() {
                    tracing::info!("the ID account mapper answers again");
                }
            }
            Err(error) => {
                self.metrics.call(error.outcome(), ids, took);
                self.breaker.failed((self.clock.instant)());
                let open = self.breaker.state() == BreakerState::Open;
                if open && self.component.failing(chain(error)) {
                    tracing::warn!(error = %chain(error), "calls to the ID account mapper fail; it is left alone for a while");
                }
            }
        }
        self.metrics.breaker(self.breaker.state());
    }
}

impl Answers {
    fn take(&mut self, ids: Vec<FinancialAddress>, outcomes: Vec<Outcome>) {
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Resolved(address) => {
                    self.decided.insert(id, Decision::Address(address));
                }
                Outcome::Rejected { code, mapper_code } => {
                    self.decided.insert(id, Decision::None { code, mapper_code });
                }
                Outcome::Again | Outcome::Missing => self.undecided.push(id),
            }
        }
    }
}

fn ask_again_in_halves(
    mut ids: Vec<FinancialAddress>,
    waiting: &mut VecDeque<Vec<FinancialAddress>>,
    failed_alone: &mut Vec<FinancialAddress>,
) {
    if ids.len() == 1 {
        failed_alone.append(&mut ids);
        return;
    }
    // At the end of the queue: between two failures of one branch the others have their turn, and the breaker sees them.
    let second = ids.split_off(ids.len() / 2);
    waiting.extend([ids, second]);
}
