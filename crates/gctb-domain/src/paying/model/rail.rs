//! The rails of the model: what they can do, what they make of a request, and what may be heard of them.
//!
//! They know nothing of the ledger, but for whether a request was repeated.

use super::Instruction;
use super::world::{Doing, Key, Word, World, add, take};
use crate::paying::{Dedupe, Learnt, RailKind};

/// The rails that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rail {
    /// It remembers every key that it has seen.
    Remembers,
    /// It remembers the keys that it has paid, and of those that it refused it may know nothing any more.
    RemembersPaid,
    /// It dedupes, and says that it does not know what it has paid.
    ContradictsItself,
    /// It takes questions and never answers them.
    Silent,
    /// A payment is prepared, then accepted or refused.
    TwoPhase,
    /// It takes money orders and says nothing afterwards.
    Blind,
    /// It shows what it has not yet taken, and pays everything that it takes: a folder of payment files.
    Folder,
}

impl Rail {
    pub(super) const ALL: [Self; 7] = [
        Self::Remembers,
        Self::RemembersPaid,
        Self::ContradictsItself,
        Self::Silent,
        Self::TwoPhase,
        Self::Blind,
        Self::Folder,
    ];

    pub(super) const fn kind(self) -> RailKind {
        let (dedupes, can_be_asked, two_phase) = match self {
            Self::Remembers => (Dedupe::OnceSeen, true, false),
            Self::RemembersPaid | Self::ContradictsItself | Self::Silent => (Dedupe::OncePaid, true, false),
            Self::TwoPhase => (Dedupe::Never, true, true),
            Self::Blind => (Dedupe::Never, false, false),
            Self::Folder => (Dedupe::Never, true, false),
        };
        RailKind { dedupes, can_be_asked, two_phase }
    }
}

impl Instruction {
    /// What a lane may hear about its attempt: as an answer to a send, or to a question.
    pub(super) fn heard(self, world: &World, lane: usize) -> Vec<Learnt> {
        let (call, is_answer) = match world.lanes[lane] {
            Doing::AwaitAnswer(call) => (call, true),
            Doing::Ask(call) => (call, false),
            Doing::Nothing | Doing::Prepare(_) | Doing::Send(_) | Doing::Fence(_) | Doing::Tell(_) => {
                return Vec::new();
            }
        };
        let key = call.key(lane);
        let mut heard = vec![Learnt::Nothing];
        if !is_answer && self.rail == Rail::Silent {
            return heard;
        }
        if !is_answer && self.rail == Rail::TwoPhase && call.handle.is_none() {
            // There is nothing to ask by.
            return vec![Learnt::NotFound];
        }
        let dedupes = self.rail.kind().dedupes != Dedupe::Never;
        let hides = self.rail == Rail::ContradictsItself || self.rail == Rail::Folder;
        let repeated = world.row.is_some_and(|row| row.attempt == call.attempt && row.sends > 1);
        if world.paid.contains(&key) {
            let says_so = if is_answer { self.rail != Rail::ContradictsItself || !repeated } else { !hides };
            heard.extend(says_so.then_some(Learnt::Paid));
            heard.extend((is_answer && dedupes).then_some(Learnt::Duplicate));
            heard.extend((!is_answer && hides).then_some(Learnt::NotFound));
        } else if world.refused.contains(&key) || (world.impossible.contains(&key) && !is_answer) {
            heard.push(Learnt::Refused { again: true });
            heard.extend((!is_answer && self.rail == Rail::RemembersPaid).then_some(Learnt::NotFound));
        } else if !is_answer && self.rail.kind().can_be_asked {
            heard.push(Learnt::NotFound);
        }
        if world.under_way.contains(&key) && (is_answer || self.rail.kind().can_be_asked) {
            heard.push(Learnt::Accepted);
        }
        heard
    }

    /// What a lane has learnt, with what the ledger needs to judge it.
    pub(super) fn word(world: &World, lane: usize, learnt: Learnt) -> Option<Word> {
        let (of, is_asked) = match world.lanes[lane] {
            // The answer to a send may be older than what happened since.
            Doing::Prepare(call) | Doing::Send(call) | Doing::AwaitAnswer(call) => (call, false),
            Doing::Ask(call) | Doing::Fence(call) => (call, true),
            Doing::Nothing | Doing::Tell(_) => return None,
        };
        let key = of.key(lane);
        let quiet = is_asked && world.is_quiet(key.backend, key.attempt);
        // What was never prepared, as far as the ledger knows, can be accepted by nobody.
        let has_nothing_to_fence = matches!(world.lanes[lane], Doing::Fence(_)) && of.handle.is_none();
        let fenced = is_asked && (world.impossible.contains(&key) || has_nothing_to_fence);
        Some(Word { of, learnt, quiet, fenced })
    }

    pub(super) fn rail_pays(self, world: &mut World, key: Key) {
        take(&mut world.under_way, key);
        let dedupes = self.rail.kind().dedupes;
        let paid_before = world.paid.contains(&key);
        let refused_before = world.refused.contains(&key);
        let turned_away = if self.rail == Rail::TwoPhase {
            paid_before || refused_before || world.impossible.contains(&key)
        } else {
            (dedupes != Dedupe::Never && paid_before) || (dedupes == Dedupe::OnceSeen && refused_before)
        };
        if !turned_away {
            add(&mut world.paid, key);
        }
    }
}
