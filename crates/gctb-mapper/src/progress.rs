//! What has been done of the polled messages, while they are handled again and again because a dependency is down.
//!
//! It only spares repeats: everything may be forgotten at any time and done once more, since all that follows is
//! idempotent. It holds one polled group at most.

use std::collections::HashMap;

use gctb_domain::FinancialAddress;
use gctb_events::{InstructionChunk, Outgoing};
use gctb_runtime::{DeadEntry, Handled, Incoming};

/// Where a message stands: partition and offset; with its time, since a topic that was made anew counts from zero again.
type Place = (i32, i64, Option<i64>);

/// What has been done of the polled messages.
#[derive(Default)]
pub(crate) struct Progress {
    /// Positions of instructions that are not settled. A message that is not here has not been looked at.
    left: HashMap<Place, Vec<usize>>,
    asks: HashMap<FinancialAddress, u32>,
    dead: Vec<DeadEntry>,
    tally: Tally,
}

/// Instructions by what became of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) routed: u64,
    pub(crate) to_resolve: u64,
    pub(crate) rejected: u64,
    pub(crate) already_known: u64,
    pub(crate) undecided: u64,
}

impl Progress {
    /// Forgets messages that are no longer ours to handle.
    pub(crate) fn keep_only(&mut self, polled: &[Incoming<InstructionChunk>]) {
        self.left.retain(|place, _| polled.iter().any(|incoming| place_of(incoming) == *place));
        self.dead.retain(|entry| polled.iter().any(|incoming| incoming.origin == entry.origin));
        if self.left.is_empty() {
            *self = Self::default();
        }
    }

    /// The positions of the instructions of a message that are not settled.
    pub(crate) fn left(&self, incoming: &Incoming<InstructionChunk>) -> Vec<usize> {
        let all = || (0..incoming.event.instructions.len()).collect();
        self.left.get(&place_of(incoming)).cloned().unwrap_or_else(all)
    }

    /// Notes what is still left of a message.
    pub(crate) fn set_left(&mut self, incoming: &Incoming<InstructionChunk>, left: Vec<usize>) {
        self.left.insert(place_of(incoming), left);
    }

    /// Notes entries for the dead-letter topic, to be handed over with the whole group.
    pub(crate) fn add_dead(&mut self, dead: Vec<DeadEntry>) {
        self.dead.extend(dead);
    }

    /// Counts what was settled.
    pub(crate) fn count(&mut self, more: Tally) {
        self.tally.routed += more.routed;
        self.tally.to_resolve += more.to_resolve;
        self.tally.rejected += more.rejected;
        self.tally.already_known += more.already_known;
        self.tally.undecided += more.undecided;
    }

    /// Notes that the mapper did not decide about an id, and says how often that was.
    pub(crate) fn asked_in_vain(&mut self, id: &FinancialAddress) -> u32 {
        let asks = self.asks.entry(id.clone()).or_default();
        *asks += 1;
        *asks
    }

    /// How many instructions are not settled.
    pub(crate) fn waiting(&self) -> usize {
        self.left.values().map(Vec::len).sum()
    }

    /// Forgets everything and gives what is to be told of it.
    pub(crate) fn finish(&mut self, outgoing: Vec<Outgoing>) -> Handled {
        let Self { dead, tally, .. } = std::mem::take(self);
        let outcomes = vec![
            ("routed", tally.routed),
            ("to_resolve", tally.to_resolve),
            ("rejected", tally.rejected),
            ("already_known", tally.already_known),
            ("undecided", tally.undecided),
        ];
        Handled { outgoing, dead, outcomes }
    }
}

fn place_of(incoming: &Incoming<InstructionChunk>) -> Place {
    let origin = &incoming.origin;
    (origin.partition, origin.offset, origin.timestamp_ms)
}
