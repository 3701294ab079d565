//! What the writers of the ledger do in the model, step by step as `gctb-db` does it: who may act, what is recorded of a word,
//! what is planned, and what is done about work that came due.

use super::world::{Call, Doing, Handle, Row, Word, Work, World};
use super::{ASKS_MAX, BUSY_MAX, Happens, Instruction, UNDER_WAY_MAX, backend_of, backend_of_lane, process_of};
use crate::ledger::{LedgerState, News};
use crate::paying::handles::handle_after_by;
use crate::paying::*;

impl Instruction {
    /// Writes what was learnt: by a lane, whose window ends with it, or from a callback that reached this process.
    pub(super) fn tell(self, world: &mut World, process: usize, lane: Option<usize>, word: Word) {
        let Some(mut row) = world.row else { return };
        let ended = lane.filter(|lane| self.ends_window(world, *lane, &mut row));
        let is_ours = row.backend == backend_of(process) || !self.writers.own_row;
        if is_ours {
            let in_hand = lane.is_none() || ended.is_some() || !self.writers.in_hand;
            self.judge(world, &mut row, process, in_hand, ended, word);
        }
        if ended.is_some_and(|lane| row.work == Work::Window(lane)) {
            row.work = if row.is_open() { Work::Ask } else { Work::Done };
        }
        world.row = Some(row);
    }

    pub(super) fn judge(
        self,
        world: &World,
        row: &mut Row,
        process: usize,
        in_hand: bool,
        ended: Option<usize>,
        word: Word,
    ) {
        let Word { of: Call { attempt, sends, handle }, learnt, .. } = word;
        // What is not about the row's attempt is about an earlier one, which is closed; only money is news of it.
        if row.attempt != attempt && learnt != Learnt::Paid && self.rules.owner {
            return;
        }
        let is_about_now = row.attempt == attempt;
        let quiet = word.quiet && in_hand && sends == row.sends && world.is_quiet(row.backend, attempt);
        let counts = quiet && learnt == Learnt::NotFound;
        let not_found = (row.not_found + u16::from(counts)).min(NOT_FOUND_MAX);
        let state = if self.writers.from_state { row.state } else { LedgerState::Claimed };
        let standing = Standing { state, sends: row.sends, not_found, quiet, fenced: word.fenced };
        let is_owner = row.owner == Some(process) && in_hand && is_about_now;
        let bearer = if is_owner { Bearer::Owner } else { Bearer::Other };
        let named = handle.filter(|_| is_about_now).map(|handle| Naming::Said(handle, bearer));
        named.into_iter().for_each(|naming| self.name(row, naming));
        match decide_by(self.rules, self.rail.kind(), standing, learnt, bearer) {
            Decision::Record(news) => {
                row.state = state;
                row.take(news);
                if news == News::Accepted {
                    Self::plan_question(world, row, ended, false);
                }
            }
            Decision::Unknown(next) => {
                row.state = state;
                row.not_found = not_found;
                row.take(News::Unknown);
                self.plan(world, row, ended, next);
            }
            Decision::GiveBack => {
                row.sends = row.sends.saturating_sub(1);
                self.plan(world, row, ended, Next::SendAgain);
            }
            Decision::Keep => {
                let heard = Evidence { learnt, sends, quiet };
                let is_refusal = matches!(learnt, Learnt::Refused { .. });
                let says_more = is_refusal && row.evidence.is_none_or(|before| heard.outweighs(before));
                if is_refusal && row.evidence.is_none_or(|before| heard.replaces(before)) {
                    row.evidence = Some(heard);
                }
                Self::plan_question(world, row, ended, says_more);
            }
            Decision::Ignore => {}
        }
    }

    /// Gives the attempt the handle by which it is known from now on.
    fn name(self, row: &mut Row, naming: Naming<Handle>) {
        row.handle = handle_after_by(self.rules, row.handle, naming);
    }

    /// What is noted in a window goes to the row that it looks after.
    fn name_by_its_window(self, world: &World, row: &mut Row) {
        if let Work::Window(lane) = row.work
            && let Some(noted) = world.noted[lane]
        {
            self.name(row, Naming::Noted(noted));
        }
    }

    /// Ends the work of a lane's window. Whether it was still there.
    fn ends_window(self, world: &mut World, lane: usize, row: &mut Row) -> bool {
        if row.work == Work::Window(lane) {
            self.name_by_its_window(world, row);
        }
        world.noted[lane] = None;
        std::mem::replace(&mut world.in_hand[lane], false)
    }

    /// A send is counted, and its lease begins.
    pub(super) fn begins_to_send(self, world: &mut World, lane: usize, row: &mut Row) {
        row.sends = (row.sends + 1).min(3);
        row.asked = 0;
        row.lease = Some(lane);
        self.name(row, Naming::Send(self.rail.kind()));
        let call = Call { handle: None, ..row.call() };
        let doing = if self.rail.kind().two_phase { Doing::Prepare } else { Doing::Send };
        world.hands_out(lane, row, doing(call));
    }

    pub(super) fn by_evidence(self, world: &World, row: &Row) -> Option<News> {
        by_evidence_by(self.rules, self.rail.kind(), world.standing(row), row.evidence?)
    }

    pub(super) fn plan(self, world: &World, row: &mut Row, ended: Option<usize>, next: Next) {
        let work = match next {
            Next::Ask => return Self::plan_question(world, row, ended, false),
            Next::SendAgain => Work::Send,
            Next::Fence => Work::Fence,
            Next::Operator => Work::Operator,
        };
        self.name_by_its_window(world, row);
        row.work = work;
    }

    /// What somebody else has planned stands, unless evidence says more; what somebody has in hand stands always.
    pub(super) fn plan_question(world: &World, row: &mut Row, ended: Option<usize>, says_more: bool) {
        let (is_ours, in_somebodys_hand) = match row.work {
            Work::Done => (true, false),
            Work::Window(lane) => (Some(lane) == ended, world.in_hand[lane]),
            Work::Ask | Work::Send | Work::Retry | Work::Fence | Work::Operator => (false, false),
        };
        if is_ours || (says_more && !in_somebodys_hand) {
            row.work = Work::Ask;
        }
    }

    /// Whether there is work that may be taken up.
    pub(super) fn may_take_up(self, world: &World, row: &Row) -> bool {
        match row.work {
            Work::Done | Work::Operator => false,
            Work::Retry => may_try_again(world.standing(row), row.attempt, self.scope.attempts_max),
            // A successor waits for the end of the lease, which saves questions that can decide nothing. The other rules keep
            // everybody's money without that, as this shows: here work is taken up at any time.
            Work::Window(_) | Work::Ask | Work::Send | Work::Fence => true,
        }
    }

    pub(super) fn take_up(self, world: &mut World, mut row: Row, lane: usize) {
        if let Work::Window(owner) = row.work {
            self.ends_window(world, owner, &mut row);
        }
        let dedupes = self.rail.kind().dedupes != Dedupe::Never && !self.rail.kind().two_phase;
        let quiet = world.is_quiet(row.backend, row.attempt);
        let never_left = row.state == LedgerState::Claimed && row.sends == 0;
        let may_repeat = dedupes && row.state == LedgerState::Unknown && quiet;
        match (self.by_evidence(world, &row).filter(|_| row.is_open()), row.work) {
            (Some(news), _) => {
                row.owner = Some(process_of(lane));
                row.take(news);
            }
            (None, Work::Window(_)) if !self.writers.ask_first => self.begins_to_send(world, lane, &mut row),
            (None, Work::Send) if never_left || may_repeat => self.begins_to_send(world, lane, &mut row),
            (None, Work::Fence) if quiet => {
                let doing = Doing::Fence(row.call());
                world.hands_out(lane, &mut row, doing);
            }
            (None, Work::Retry) => {
                row = Row { backend: row.backend, attempt: row.attempt + 1, ..Row::claimed(lane) };
                self.begins_to_send(world, lane, &mut row);
            }
            (None, Work::Window(_) | Work::Ask | Work::Send | Work::Fence) => {
                match take_over_by(self.rules, self.rail.kind(), row.asked, ASKS_MAX) {
                    Next::Ask | Next::SendAgain | Next::Fence => {
                        if row.sends > 0 && row.state == LedgerState::Claimed {
                            row.take(News::Unknown);
                        }
                        row.asked = (row.asked + 1).min(ASKS_MAX);
                        let doing = Doing::Ask(row.call());
                        world.hands_out(lane, &mut row, doing);
                    }
                    Next::Operator => {
                        row.take(News::Unknown);
                        row.work = Work::Operator;
                    }
                }
            }
            (None, Work::Done | Work::Operator) => {}
        }
        world.row = Some(row);
    }

    pub(super) fn happens_to_row(self, world: &World, actions: &mut Vec<Happens>) {
        let busy = world.lanes.iter().filter(|doing| **doing != Doing::Nothing).count();
        let idle = |lane: &usize| world.lanes[*lane] == Doing::Nothing && busy < BUSY_MAX;
        let Some(row) = &world.row else {
            actions.extend([Happens::MapperRejects, Happens::SenderCancels]);
            actions.extend(self.scope.lanes.iter().copied().map(Happens::Claims));
            return;
        };
        if !self.writers.first_decides && row.state == LedgerState::Claimed {
            actions.extend([Happens::MapperRejects, Happens::SenderCancels]);
        }
        let never_left = row.state == LedgerState::Claimed && row.sends == 0 && row.work == Work::Send;
        if row.state == LedgerState::NotPaid {
            actions.extend([Happens::SenderCancels, Happens::NobodyTriesAgain]);
        } else if never_left {
            actions.push(Happens::SenderCancels);
        }
        actions.extend(row.lease.map(|_| Happens::LeaseEnds));
        if row.work == Work::Operator && may_be_resolved(world.standing(row)) {
            actions.push(Happens::OperatorResolves);
        }
        let ours = |lane: &usize| row.backend == backend_of_lane(*lane) || !self.writers.own_row;
        let may = |lane: &usize| idle(lane) && ours(lane) && self.may_take_up(world, row);
        actions.extend(self.scope.lanes.iter().copied().filter(may).map(Happens::TakesUp));
    }

    pub(super) fn happens_to_lane(self, world: &World, lane: usize, actions: &mut Vec<Happens>) {
        match world.lanes[lane] {
            Doing::Nothing => {}
            Doing::Prepare(_) => {
                actions.extend([Happens::Prepares(lane), Happens::RefusesToPrepare(lane), Happens::CannotConnect(lane)])
            }
            Doing::Send(_) => {
                let leased = world.row.is_some_and(|row| row.lease == Some(lane));
                if leased || !self.writers.lease {
                    actions.push(Happens::CannotConnect(lane));
                    actions.extend((world.under_way.len() < UNDER_WAY_MAX).then_some(Happens::Sends(lane)));
                } else {
                    actions.push(Happens::GivesUpSending(lane));
                }
            }
            Doing::AwaitAnswer(_) | Doing::Ask(_) => {
                let heard = self.heard(world, lane);
                let refused = heard.contains(&Learnt::Refused { again: true });
                let goes_elsewhere = refused && self.scope.callbacks && world.callback.is_none();
                actions.extend(goes_elsewhere.then_some(Happens::AnswerGoesElsewhere(lane)));
                actions.extend(heard.into_iter().map(|heard| Happens::Hears(lane, heard)));
            }
            Doing::Fence(call) if call.handle.is_none() => actions.push(Happens::HasNothingToFence(lane)),
            Doing::Fence(_) => actions.extend([Happens::Fences(lane), Happens::FenceFails(lane)]),
            Doing::Tell(_) => {
                actions.push(Happens::Tells(lane));
                let is_unheard = self.scope.unheard && world.in_hand[lane];
                actions.extend(is_unheard.then_some(Happens::TellsAndDoesNotHearIt(lane)));
            }
        }
    }
}
