//! The handler: sorts instructions by what their payee is, has ids resolved, and sends each payment to its backend.
//!
//! One polled group is handled as follows.
//!
//! 1. Each payee is looked at by the rules: an address with a route is paid, an id is looked up in the cache, the rest is
//!    refused.
//! 2. Where ids are left to ask about, the messages that need no call go out first: a mapper that is slow or down does
//!    not hold them up.
//! 3. The mapper is asked, each id once; an answer serves every instruction with that id.
//! 4. What is decided now goes out or is refused. If nothing is left, the group is done.
//! 5. Else the loop handles the same group again after a back-off, and [`Progress`] says what is left of it, so that
//!    nothing is sent twice without need. After a crash everything is sent again, which changes nothing downstream.
//!
//! An id that the mapper does not decide about must not stop what stands behind it. Where it answers "pending", or leaves
//! the id out, `mapper.undecided_asks_max` times, or fails on this one id while it answers about others, the instructions
//! are left out: they have no ledger row, so that the sweeper of gctb-status sends them again after minutes, at doubling
//! intervals, and finally shows them to an operator. They are not dead-lettered: nothing is wrong with them, and a mapper
//! that answers "pending" to everybody must not stop the consumer by the number of its dead letters. A mapper that is
//! down, slow or broken for all decides nothing: work waits for it.

use std::collections::HashSet;

use gctb_db::{Db, DbError, OutboxRow, Rejection};
use gctb_domain::FinancialAddress;
use gctb_events::{InstructionChunk, Outgoing};
use gctb_runtime::{Fate, HandleError, Handled, Handler, Health, Incoming, ProduceError, Shutdown};
use opentelemetry::metrics::Meter;

use crate::ask::{Answers, AskError, Asking, AskingError, Decision};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::payments;
use crate::progress::{Progress, Tally};
use crate::refuse::Refuser;
use crate::rules::{Form, Rules};
use crate::settings::MapperSettings;
use crate::sort::{self, Known, KnownIds, Sorted};

/// Takes rows that were committed, to publish them soon.
pub type Publish = Box<dyn Fn(Vec<OutboxRow>) + Send>;

/// Sends messages and returns when they are delivered.
pub type Deliver = Box<dyn Fn(&[Outgoing]) -> Result<(), ProduceError> + Send>;

/// What the router works with.
pub struct World {
    /// Where refusals are written.
    pub db: Db,
    /// Publishes rows that a refusal has committed.
    pub publish: Publish,
    /// Sends messages at once and awaits their delivery, for those that the rest of their group must not hold up.
    pub send: Deliver,
    /// What time it is.
    pub clock: Clock,
    /// Where it counts.
    pub meter: Meter,
    /// Where it tells how the mapper is.
    pub health: Health,
    /// When to end.
    pub shutdown: Shutdown,
}

/// Why a group is handled again.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The mapper did not answer about some ids.
    #[error("{waiting} instructions wait for the ID account mapper")]
    Mapper {
        /// How many.
        waiting: usize,
        /// Why.
        #[source]
        cause: AskError,
    },
    /// The mapper answered that it has not decided yet, or left ids out of its answer.
    #[error("{waiting} instructions wait for the ID account mapper, which has not decided about their ids")]
    Undecided {
        /// How many.
        waiting: usize,
    },
    /// Refusals could not be written.
    #[error("{waiting} instructions wait to be refused")]
    Database {
        /// How many.
        waiting: usize,
        /// Why.
        #[source]
        cause: DbError,
    },
}

/// Resolves and routes instructions.
pub struct Router {
    rules: Rules,
    asking: Asking,
    cache: Cache,
    undecided_asks_max: u32,
    progress: Progress,
    refuser: Refuser,
    send: Deliver,
    clock: Clock,
    metrics: Metrics,
}

/// Which messages are settled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settle {
    /// Those of which nothing has to wait.
    WholeMessages,
    /// As much as can be of each.
    All,
}

impl Router {
    /// A router that has asked nothing yet.
    ///
    /// # Errors
    /// Where calls to the mapper cannot be prepared.
    pub fn new(rules: Rules, settings: &MapperSettings, world: World) -> Result<Self, AskingError> {
        let metrics = Metrics::new(&world.meter);
        Ok(Self {
            rules,
            asking: Asking::new(settings, world.clock, &metrics, &world.health, &world.shutdown)?,
            cache: Cache::new(settings.cache_entries_max, settings.cache_expiry),
            undecided_asks_max: settings.undecided_asks_max,
            progress: Progress::default(),
            refuser: Refuser { db: world.db, publish: world.publish },
            send: world.send,
            clock: world.clock,
            metrics,
        })
    }

    /// The ids of what is not settled: those in the cache, and those to ask about.
    fn look_up(&self, polled: &[Incoming<InstructionChunk>]) -> (KnownIds, Vec<FinancialAddress>) {
        let now = (self.clock.instant)();
        let (mut known, mut unknown) = (KnownIds::new(), HashSet::new());
        for incoming in polled {
            for position in self.progress.left(incoming) {
                let id = &incoming.event.instructions[position].to_fa;
                if self.rules.form(id) != Form::Id || known.contains_key(id) || unknown.contains(id) {
                    continue;
                }
                match self.cache.get(id, now) {
                    Some(address) => drop(known.insert(id.clone(), Known::Address(address.clone()))),
                    None => drop(unknown.insert(id.clone())),
                }
            }
        }
        self.metrics.lookups(known.len(), unknown.len());
        (known, unknown.into_iter().collect())
    }

    /// Asks the mapper and adds what it said to what is known. Gives why some ids were not answered about.
    fn ask(&mut self, ids: &[FinancialAddress], known: &mut KnownIds) -> Option<AskError> {
        let Answers { decided, undecided, failing_alone, trouble } = self.asking.ask(ids);
        let now = (self.clock.instant)();
        for (id, decision) in decided {
            let known_now = match decision {
                Decision::Address(address) => {
                    self.cache.put(id.clone(), address.clone(), now);
                    Known::Address(address)
                }
                Decision::None { code, mapper_code } => {
                    Known::Refused { code, message: sort::no_address(&mapper_code) }
                }
            };
            known.insert(id, known_now);
        }
        let mut left_out = failing_alone;
        for id in undecided {
            if self.progress.asked_in_vain(&id) >= self.undecided_asks_max {
                left_out.push(id);
            }
        }
        if !left_out.is_empty() {
            tracing::warn!(
                ids = left_out.len(),
                "the ID account mapper does not decide; instructions are left to the sweeper"
            );
        }
        known.extend(left_out.into_iter().map(|id| (id, Known::LeftOut)));
        trouble
    }

    /// Settles what can be settled: notes it as done, refuses in the ledger, and gives the messages to be sent. With a
    /// database `trouble`, refusals wait; one wait for a connection in a round is enough.
    fn settle(
        &mut self,
        polled: &[Incoming<InstructionChunk>],
        known: &KnownIds,
        which: Settle,
        trouble: &mut Option<DbError>,
    ) -> Vec<Outgoing> {
        let mut ready = Vec::new();
        for incoming in polled {
            let sorted = sort::sort(&self.rules, incoming, &self.progress.left(incoming), known);
            if which == Settle::WholeMessages && !sorted.waiting.is_empty() {
                continue;
            }
            let Sorted { payments, refusals, mut waiting, tally } = sorted;
            ready.extend(payments::messages(incoming, payments));
            self.progress.count(tally);
            let (positions, rejections): (Vec<usize>, Vec<Rejection>) = refusals.into_iter().unzip();
            if trouble.is_none() {
                *trouble = refuse(&self.refuser, incoming, &rejections, &mut self.progress).err();
            }
            if trouble.is_some() {
                waiting.extend(positions);
            }
            self.progress.set_left(incoming, waiting);
        }
        ready
    }

    /// Sends what the rest of its group must not hold up. If that fails, all of it is done once more.
    fn send_ahead(&mut self, messages: &[Outgoing]) -> Result<(), HandleError> {
        if messages.is_empty() {
            return Ok(());
        }
        (self.send)(messages).map_err(|cause| {
            self.progress = Progress::default();
            match cause.class() {
                Fate::Retry => HandleError::Retry(Box::new(cause)),
                Fate::Stop => HandleError::Stop(Box::new(cause)),
            }
        })
    }
}

impl Handler for Router {
    type Event = InstructionChunk;

    fn handle(&mut self, polled: &[Incoming<InstructionChunk>]) -> Result<Handled, HandleError> {
        self.progress.keep_only(polled);
        let (mut known, to_ask) = self.look_up(polled);
        let (mut not_answered, mut not_refused) = (None, None);
        if !to_ask.is_empty() {
            let ahead = self.settle(polled, &known, Settle::WholeMessages, &mut not_refused);
            self.send_ahead(&ahead)?;
            not_answered = self.ask(&to_ask, &mut known);
        }
        let ready = self.settle(polled, &known, Settle::All, &mut not_refused);
        let waiting = self.progress.waiting();
        if waiting == 0 {
            return Ok(self.progress.finish(ready));
        }
        self.send_ahead(&ready)?;
        Err(HandleError::Retry(Box::new(match (not_refused, not_answered) {
            (Some(cause), _) => RouterError::Database { waiting, cause },
            (None, Some(cause)) => RouterError::Mapper { waiting, cause },
            (None, None) => RouterError::Undecided { waiting },
        })))
    }
}

fn refuse(
    refuser: &Refuser,
    incoming: &Incoming<InstructionChunk>,
    rejections: &[Rejection],
    progress: &mut Progress,
) -> Result<(), DbError> {
    if rejections.is_empty() {
        return Ok(());
    }
    let refused = refuser.refuse(incoming, rejections)?;
    let (rejected, already_known) = (refused.inserted as u64, refused.already_known as u64);
    progress.count(Tally { rejected, already_known, ..Tally::default() });
    progress.add_dead(refused.dead);
    Ok(())
}
