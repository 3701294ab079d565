//! The handler of `gctb.resolve`: has ids resolved, and sends each payment to its backend. It alone waits for the mapper.
//!
//! One polled group is handled as follows.
//!
//! 1. Each id is looked up in the cache. What has become an address by a change of the rules is paid as one.
//! 2. Where ids are left to ask about, the messages that need no call go out first: a mapper that is slow or down does
//!    not hold them up.
//! 3. The mapper is asked, each id once; an answer serves every instruction with that id.
//! 4. What is decided now goes out or is refused. If nothing is left, the group is done.
//! 5. Else the loop handles the same group again after a back-off, and [`Settling`] knows what is left of it, so that
//!    nothing is sent twice without need. After a crash everything is sent again, which changes nothing downstream.
//!
//! An id that the mapper does not decide about must not stop what stands behind it. Where it answers "pending", or leaves
//! the id out, `mapper.undecided_asks_max` times, or fails on this one id while it answers about others, the instructions
//! are left out: they have no ledger row, so that the sweeper of gctb-status sends them again after minutes, at doubling
//! intervals, and finally shows them to an operator. They are not dead-lettered: nothing is wrong with them, and a mapper
//! that answers "pending" to everybody must not stop the consumer by the number of its dead letters. A mapper that is
//! down, slow or broken for all decides nothing: work waits for it.

use std::collections::HashSet;

use gctb_domain::FinancialAddress;
use gctb_events::{InstructionChunk, Outgoing};
use gctb_runtime::{HandleError, Handled, Handler, Health, Incoming, Shutdown};
use opentelemetry::metrics::Meter;

use crate::ask::{Answers, AskError, Asking, AskingError, Decision};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::payments;
use crate::rules::{Form, Rules};
use crate::settings::MapperSettings;
use crate::settling::{Exits, Settling};
use crate::sort::{self, Known, KnownIds, Sorted};

/// What the resolver works with.
pub struct World {
    /// Where its decisions go.
    pub exits: Exits,
    /// What time it is.
    pub clock: Clock,
    /// Where it counts.
    pub meter: Meter,
    /// Where it tells how the mapper is.
    pub health: Health,
    /// When to end.
    pub shutdown: Shutdown,
}

/// Resolves and routes instructions whose payee is an id.
pub struct Resolver {
    rules: Rules,
    asking: Asking,
    cache: Cache,
    undecided_asks_max: u32,
    settling: Settling,
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

impl Resolver {
    /// A resolver that has asked nothing yet.
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
            settling: Settling::new(world.exits),
            clock: world.clock,
            metrics,
        })
    }

    /// The ids of what is not settled: those in the cache, and those to ask about.
    fn look_up(&self, polled: &[Incoming<InstructionChunk>]) -> (KnownIds, Vec<FinancialAddress>) {
        let now = (self.clock.instant)();
        let (mut known, mut unknown) = (KnownIds::new(), HashSet::new());
        for incoming in polled {
            for position in self.settling.left(incoming) {
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
            if self.settling.asked_in_vain(&id) >= self.undecided_asks_max {
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

    /// Settles what is known, and gives the messages to be sent.
    fn settle(&mut self, polled: &[Incoming<InstructionChunk>], known: &KnownIds, which: Settle) -> Vec<Outgoing> {
        let mut ready = Vec::new();
        for incoming in polled {
            let sorted = sort::sort(&self.rules, incoming, &self.settling.left(incoming), known);
            if which == Settle::WholeMessages && !sorted.ids.is_empty() {
                continue;
            }
            let Sorted { payments, refusals, ids, tally } = sorted;
            ready.extend(payments::messages(incoming, payments));
            self.settling.settle(incoming, refusals, ids, tally);
        }
        ready
    }
}

impl Handler for Resolver {
    type Event = InstructionChunk;

    fn handle(&mut self, polled: &[Incoming<InstructionChunk>]) -> Result<Handled, HandleError> {
        self.settling.begin(polled);
        let (mut known, to_ask) = self.look_up(polled);
        let mut not_answered = None;
        if !to_ask.is_empty() {
            let ahead = self.settle(polled, &known, Settle::WholeMessages);
            self.settling.send_ahead(&ahead)?;
            not_answered = self.ask(&to_ask, &mut known);
        }
        let ready = self.settle(polled, &known, Settle::All);
        self.settling.end(ready, not_answered)
    }
}
