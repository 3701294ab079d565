//! The state of the model: the ledger's row, the lanes, and what the rail has done.

use super::{LANES, backend_of_lane, process_of};
use crate::ledger::{LedgerState, News, Step};
use crate::paying::{Evidence, Learnt, Standing};

/// What a two-phase rail calls one preparation.
pub(super) type Handle = u8;

/// A payment as a rail knows it: which backend's, of which attempt, and on a two-phase rail which preparation of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) backend: u8,
    pub(super) attempt: i16,
    pub(super) handle: Option<Handle>,
}

impl Key {
    pub(super) fn is_of(self, row: &Row) -> bool {
        (self.backend, self.attempt) == (row.backend, row.attempt)
    }
}

/// The one row of work that looks after the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Done,
    /// This lane has it in hand.
    Window(usize),
    Ask,
    Send,
    Retry,
    Fence,
    Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) backend: u8,
    pub(super) state: LedgerState,
    /// The process, until it dies.
    pub(super) owner: Option<usize>,
    pub(super) attempt: i16,
    pub(super) sends: u16,
    /// The lane of the last send, while its lease runs by the ledger's time; it outlives a crash of its holder.
    pub(super) lease: Option<usize>,
    pub(super) not_found: u16,
    pub(super) asked: u16,
    /// A refusal that somebody heard who may not decide; other evidence decides nothing.
    pub(super) evidence: Option<Evidence>,
    /// What the rail calls it, as far as that is known.
    pub(super) handle: Option<Handle>,
    pub(super) work: Work,
}

/// What was learnt, how often the ledger had counted a send then, and how the rail was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Word {
    pub(super) of: Call,
    pub(super) learnt: Learnt,
    pub(super) quiet: bool,
    pub(super) fenced: bool,
}

/// What a call is about: which attempt, how many sends were counted when it was handed out, and what the rail calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Call {
    pub(super) attempt: i16,
    pub(super) sends: u16,
    pub(super) handle: Option<Handle>,
}

impl Call {
    pub(super) fn key(self, lane: usize) -> Key {
        Key { backend: backend_of_lane(lane), attempt: self.attempt, handle: self.handle }
    }
}

/// What a lane is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Nothing,
    /// It prepares a payment and notes its handle.
    Prepare(Call),
    Send(Call),
    AwaitAnswer(Call),
    Ask(Call),
    Fence(Call),
    Tell(Word),
}

impl Doing {
    pub(super) fn call(self) -> Option<Call> {
        match self {
            Self::Nothing => None,
            Self::Prepare(call) | Self::Send(call) | Self::AwaitAnswer(call) | Self::Ask(call) | Self::Fence(call) => {
                Some(call)
            }
            Self::Tell(word) => Some(word.of),
        }
    }

    /// What tells it from others, if not always.
    fn looks(self) -> (u8, Option<Call>) {
        let kind = match self {
            Self::Nothing => 0,
            Self::Prepare(_) => 1,
            Self::Send(_) => 2,
            Self::AwaitAnswer(_) => 3,
            Self::Ask(_) => 4,
            Self::Fence(_) => 5,
            Self::Tell(Word { of, learnt, quiet, fenced }) => {
                let weight = Evidence { learnt, sends: of.sends, quiet }.weight();
                6 + 4 * weight + 2 * u8::from(quiet) + u8::from(fenced)
            }
        };
        (kind, self.call())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) row: Option<Row>,
    pub(super) lanes: [Doing; LANES],
    /// Whether the row of work of the lane's window is still there.
    pub(super) in_hand: [bool; LANES],
    /// The handle that is noted in it.
    pub(super) noted: [Option<Handle>; LANES],
    /// A refusal by backend A's rail that is on its way to whichever replica it reaches.
    pub(super) callback: Option<Word>,
    /// Whether the sender was told that it was not paid.
    pub(super) closed: bool,
    pub(super) under_way: Vec<Key>,
    pub(super) paid: Vec<Key>,
    pub(super) refused: Vec<Key>,
    pub(super) impossible: Vec<Key>,
}

pub(super) fn add(keys: &mut Vec<Key>, key: Key) {
    keys.push(key);
    keys.sort_unstable();
}

pub(super) fn take(keys: &mut Vec<Key>, key: Key) {
    if let Some(place) = keys.iter().position(|known| *known == key) {
        keys.remove(place);
    }
}

impl Row {
    pub(super) fn claimed(lane: usize) -> Self {
        Self {
            backend: backend_of_lane(lane),
            state: LedgerState::Claimed,
            owner: Some(process_of(lane)),
            attempt: 1,
            sends: 0,
            lease: None,
            not_found: 0,
            asked: 0,
            evidence: None,
            handle: None,
            work: Work::Done,
        }
    }

    pub(super) const fn closed(state: LedgerState, row: Self) -> Self {
        Self { state, work: Work::Done, ..row }
    }

    pub(super) const fn call(&self) -> Call {
        Call { attempt: self.attempt, sends: self.sends, handle: self.handle }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown)
    }

    pub(super) fn take(&mut self, news: News) {
        if let Ok(Step::Moved(state) | Step::Conflict(state)) = self.state.apply(news) {
            self.state = state;
            if state == LedgerState::NotPaid {
                self.work = Work::Retry;
            } else if state.is_final() {
                self.work = Work::Done;
            }
        }
    }
}

impl World {
    pub(super) fn says(&self, states: &[LedgerState]) -> bool {
        self.row.is_some_and(|row| states.contains(&row.state))
    }

    /// Whether nothing of this attempt, or of the row's, can be under way, by the ledger's own time.
    pub(super) fn is_quiet(&self, backend: u8, attempt: i16) -> bool {
        let leased =
            self.row.is_some_and(|row| row.lease.is_some() && (row.backend, row.attempt) == (backend, attempt));
        !leased && !self.under_way.iter().any(|key| (key.backend, key.attempt) == (backend, attempt))
    }

    pub(super) fn standing(&self, row: &Row) -> Standing {
        let quiet = self.is_quiet(row.backend, row.attempt);
        Standing { state: row.state, sends: row.sends, not_found: row.not_found, quiet, fenced: false }
    }

    /// A lane has the row in hand.
    pub(super) fn hands_out(&mut self, lane: usize, row: &mut Row, doing: Doing) {
        row.owner = Some(process_of(lane));
        row.work = Work::Window(lane);
        self.in_hand[lane] = true;
        self.noted[lane] = None;
        self.lanes[lane] = doing;
    }

    /// A handle that nobody knows, as the rail gives it to what is prepared.
    pub(super) fn fresh_handle(&self) -> Option<Handle> {
        (1..).find(|handle| !self.speaks_of(*handle) && !self.paid.iter().any(|key| key.handle == Some(*handle)))
    }

    /// Whether anybody could act, ask or tell by this handle.
    fn speaks_of(&self, handle: Handle) -> bool {
        let by_the_row = self.row.and_then(|row| row.handle);
        let by_the_callback = self.callback.and_then(|word| word.of.handle);
        let by_lanes = self.lanes.iter().filter_map(|doing| doing.call()?.handle);
        let noted = self.noted.iter().flatten().copied();
        let under_way = self.under_way.iter().filter_map(|key| key.handle);
        by_lanes.chain(noted).chain(under_way).chain(by_the_row).chain(by_the_callback).any(|known| known == handle)
    }

    /// Whether anybody could still act for an attempt that is not the row's.
    pub(super) fn is_over(&self, attempt: i16) -> bool {
        self.row.is_some_and(|row| row.attempt != attempt || !(row.is_open() || row.state == LedgerState::NotPaid))
    }

    /// States that differ only by what can have no effect any more become one.
    pub(super) fn forget_what_matters_no_more(&mut self, all_rules_are_kept: bool) {
        for lane in 0..LANES {
            let is_over = match self.lanes[lane] {
                Doing::Prepare(call) | Doing::Send(call) => self.is_over(call.attempt),
                Doing::Tell(word) => self.is_over(word.of.attempt) && word.learnt != Learnt::Paid,
                Doing::Nothing | Doing::AwaitAnswer(_) | Doing::Ask(_) | Doing::Fence(_) => false,
            };
            if is_over && all_rules_are_kept {
                self.lanes[lane] = Doing::Nothing;
            }
            if !self.row.is_some_and(|row| row.work == Work::Window(lane)) {
                self.noted[lane] = None;
                self.in_hand[lane] &= self.lanes[lane] != Doing::Nothing;
            }
        }
        self.callback = self.callback.filter(|word| !(all_rules_are_kept && self.is_over(word.of.attempt)));
        if let Some(row) = self.row.as_mut().filter(|row| !row.is_open() && all_rules_are_kept) {
            *row = Row { owner: None, sends: 1, not_found: 0, asked: 0, evidence: None, handle: None, ..*row };
        }
        let is_spoken_of = |key: &Key| {
            let by_a_rule = !all_rules_are_kept;
            let by_a_lane = self.lanes.iter().any(|doing| match doing {
                Doing::AwaitAnswer(call) | Doing::Ask(call) | Doing::Fence(call) => call.attempt == key.attempt,
                Doing::Nothing | Doing::Prepare(_) | Doing::Send(_) | Doing::Tell(_) => false,
            });
            let can_be_named = key.handle.is_none_or(|handle| self.speaks_of(handle));
            can_be_named && (by_a_rule || by_a_lane || self.under_way.contains(key) || !self.is_over(key.attempt))
        };
        let refused = self.refused.iter().copied().filter(is_spoken_of).collect();
        let impossible = self.impossible.iter().copied().filter(is_spoken_of).collect();
        (self.refused, self.impossible) = (refused, impossible);
    }

    /// Two lanes that differ by nothing but their number change places where that makes one state of it and its mirror image.
    pub(super) fn puts_in_order(&mut self, (one, other): (usize, usize)) {
        if self.looks(one) <= self.looks(other) {
            return;
        }
        self.lanes.swap(one, other);
        self.in_hand.swap(one, other);
        self.noted.swap(one, other);
        if let Some(row) = &mut self.row {
            let lane = |lane| mirrored(one, other, lane);
            row.owner = row.owner.map(|owner| mirrored(process_of(one), process_of(other), owner));
            row.lease = row.lease.map(lane);
            if let Work::Window(owner) = row.work {
                row.work = Work::Window(lane(owner));
            }
        }
    }

    /// What tells a lane from others, but for its number.
    fn looks(&self, lane: usize) -> impl PartialOrd {
        let is_the_rows = self
            .row
            .map(|row| (row.owner == Some(process_of(lane)), row.lease == Some(lane), row.work == Work::Window(lane)));
        (self.lanes[lane].looks(), self.in_hand[lane], self.noted[lane], is_the_rows)
    }
}

fn mirrored(one: usize, other: usize, number: usize) -> usize {
    if number == one {
        other
    } else if number == other {
        one
    } else {
        number
    }
}
