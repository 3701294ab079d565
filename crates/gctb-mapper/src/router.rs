//! The handler of `gctb.batches`: sorts instructions by what their payee is. An address with a route is paid, an id goes to
//! the resolver, the rest is refused.
//!
//! It must not know the mapper: a mapper that is slow or down holds up nothing here (invariant I8). It waits for Kafka and
//! for Postgres alone.

use gctb_events::{InstructionChunk, Outgoing, Topic};
use gctb_runtime::{HandleError, Handled, Handler, Incoming};
use uuid::Uuid;

use crate::payments;
use crate::progress::Tally;
use crate::rules::Rules;
use crate::settling::{Exits, Settling};
use crate::sort::{self, KnownIds, Sorted};

/// Sorts instructions by what their payee is.
pub struct Router {
    rules: Rules,
    settling: Settling,
}

impl Router {
    /// A router by these rules.
    pub fn new(rules: Rules, exits: Exits) -> Self {
        Self { rules, settling: Settling::new(exits) }
    }
}

impl Handler for Router {
    type Event = InstructionChunk;

    fn handle(&mut self, polled: &[Incoming<InstructionChunk>]) -> Result<Handled, HandleError> {
        self.settling.begin(polled);
        let mut ready = Vec::new();
        for incoming in polled {
            let sorted = sort::sort(&self.rules, incoming, &self.settling.left(incoming), &KnownIds::new());
            let Sorted { payments, refusals, ids, tally } = sorted;
            ready.extend(payments::messages(incoming, payments));
            ready.extend(to_resolve(incoming, &ids));
            let tally = Tally { to_resolve: ids.len() as u64, ..tally };
            self.settling.settle(incoming, refusals, Vec::new(), tally);
        }
        self.settling.end(ready, None)
    }
}

/// The message to the resolver with the instructions at these positions, under the number and part of its chunk.
fn to_resolve(incoming: &Incoming<InstructionChunk>, ids: &[usize]) -> Option<Outgoing> {
    let chunk = &incoming.event;
    let message = |chunk: &InstructionChunk| {
        Outgoing::new(&Topic::Resolve, chunk, Uuid::new_v4(), incoming.traceparent.as_deref())
    };
    if ids.is_empty() {
        return None;
    }
    if ids.len() == chunk.instructions.len() {
        return Some(message(chunk));
    }
    let instructions = ids.iter().map(|position| chunk.instructions[*position].clone()).collect();
    Some(message(&InstructionChunk { instructions, ..*chunk }))
}
