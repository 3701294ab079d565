//! The state of the model: the ledger's row, the lanes, and what the rail has done.

use super::rail::Rail;
use super::{LANES, backend_of_lane, process_of};
use crate::ledger::{LedgerState, News, Step};
use crate::paying::{Evidence, Learnt, Standing};

/// An attempt as a rail knows it: which backend's, and which one.
pub(super) type Key = (u8, i16);

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
    /// The lane of the last send.
    pub(super) sender: usize,
    /// Its lease runs, by the ledger's time; it outlives a crash of its holder.
    pub(super) leased: bool,
    pub(super) not_found: u16,
    pub(super) asked: u16,
    /// A refusal that somebody heard who may not decide; other evidence decides nothing.
    pub(super) evidence: Option<Evidence>,
    /// The handle of what was prepared is known.
    pub(super) named: bool,
    pub(super) work: Work,
}

/// What was learnt, how often the ledger had counted a send then, and how the rail was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Word {
    pub(super) attempt: i16,
    pub(super) learnt: Learnt,
    pub(super) sends: u16,
    pub(super) quiet: bool,
    pub(super) fenced: bool,
}

/// What a lane is about to do, for which attempt and how many sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Nothing,
    /// It has prepared a payment and notes its handle.
    Note(i16, u16),
    Send(i16, u16),
    AwaitAnswer(i16, u16),
    Ask(i16, u16),
    Fence(i16, u16),
    Tell(Word),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) row: Option<Row>,
    pub(super) lanes: [Doing; LANES],
    /// Whether the row of work of the lane's window is still there.
    pub(super) in_hand: [bool; LANES],
    /// Whether a handle is noted in it.
    pub(super) noted: [bool; LANES],
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
            sender: lane,
            leased: false,
            not_found: 0,
            asked: 0,
            evidence: None,
            named: false,
            work: Work::Done,
        }
    }

    pub(super) const fn closed(state: LedgerState, row: Self) -> Self {
        Self { state, work: Work::Done, ..row }
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

    /// Whether nothing of the attempt can be under way, by the ledger's own time.
    pub(super) fn is_quiet(&self, key: Key) -> bool {
        let leased = self.row.is_some_and(|row| row.leased && (row.backend, row.attempt) == key);
        !leased && !self.under_way.contains(&key)
    }

    pub(super) fn standing(&self, row: &Row) -> Standing {
        let quiet = self.is_quiet((row.backend, row.attempt));
        Standing { state: row.state, sends: row.sends, not_found: row.not_found, quiet, fenced: false }
    }

    /// A lane has the row in hand.
    pub(super) fn hands_out(&mut self, lane: usize, row: &mut Row, doing: Doing) {
        row.owner = Some(process_of(lane));
        row.work = Work::Window(lane);
        self.in_hand[lane] = true;
        self.noted[lane] = false;
        self.lanes[lane] = doing;
    }

    /// A send is counted, and its lease begins.
    pub(super) fn begins_to_send(&mut self, lane: usize, row: &mut Row, rail: Rail) {
        row.sends = (row.sends + 1).min(3);
        row.asked = 0;
        row.sender = lane;
        row.leased = true;
        let doing = if rail.kind().two_phase { Doing::Note } else { Doing::Send };
        self.hands_out(lane, row, doing(row.attempt, row.sends));
    }

    /// Ends the work of a lane's window: what is noted in it goes to the row that it looks after. Whether it was still there.
    pub(super) fn ends_window(&mut self, lane: usize, row: &mut Row) -> bool {
        row.named |= row.work == Work::Window(lane) && self.noted[lane];
        self.noted[lane] = false;
        std::mem::replace(&mut self.in_hand[lane], false)
    }

    /// Whether anybody could still act for an attempt that is not the row's.
    pub(super) fn is_over(&self, attempt: i16) -> bool {
        self.row.is_some_and(|row| row.attempt != attempt || !(row.is_open() || row.state == LedgerState::NotPaid))
    }

    /// States that differ only by what can have no effect any more become one.
    pub(super) fn forget_what_matters_no_more(&mut self, all_rules_are_kept: bool) {
        for lane in 0..LANES {
            let is_over = match self.lanes[lane] {
                Doing::Note(attempt, _) | Doing::Send(attempt, _) => self.is_over(attempt),
                Doing::Tell(word) => self.is_over(word.attempt) && word.learnt != Learnt::Paid,
                Doing::Nothing | Doing::AwaitAnswer(..) | Doing::Ask(..) | Doing::Fence(..) => false,
            };
            if is_over && all_rules_are_kept {
                self.lanes[lane] = Doing::Nothing;
            }
            let looks_after = self.row.is_some_and(|row| row.work == Work::Window(lane));
            if self.lanes[lane] == Doing::Nothing && !looks_after {
                (self.in_hand[lane], self.noted[lane]) = (false, false);
            }
        }
        self.callback = self.callback.filter(|word| !(all_rules_are_kept && self.is_over(word.attempt)));
        if let Some(row) = &mut self.row {
            if !row.leased {
                row.sender = 0;
            }
            if !row.is_open() && all_rules_are_kept {
                *row = Row { owner: None, sends: 1, not_found: 0, asked: 0, evidence: None, named: false, ..*row };
            }
        }
        let is_spoken_of = |key: &Key| {
            let by_a_rule = !all_rules_are_kept;
            let by_a_lane = self.lanes.iter().any(|doing| match doing {
                Doing::AwaitAnswer(attempt, _) | Doing::Ask(attempt, _) | Doing::Fence(attempt, _) => *attempt == key.1,
                Doing::Nothing | Doing::Note(..) | Doing::Send(..) | Doing::Tell(_) => false,
            });
            by_a_rule || by_a_lane || self.under_way.contains(key) || !self.is_over(key.1)
        };
        let refused = self.refused.iter().copied().filter(is_spoken_of).collect();
        let impossible = self.impossible.iter().copied().filter(is_spoken_of).collect();
        (self.refused, self.impossible) = (refused, impossible);
    }
}
