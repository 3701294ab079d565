//! Between the consumer and the lanes: payments that were polled wait here until a lane has claimed them.
//!
//! The consumer offers what it polled and waits; lanes take as much as they may call, and report what became of it. Nothing is
//! kept here over a poll: what is not claimed goes back, and Kafka has it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gctb_db::Claim;
use gctb_domain::{BatchId, BatchNo, FinancialAddress, Seq};

/// A payment to be claimed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Which of the polled messages brought it.
    pub(crate) message: usize,
    /// Payee's address, as it was parsed.
    pub(crate) to: FinancialAddress,
    /// What the ledger needs.
    pub(crate) claim: Claim,
}

/// Payments of one batch.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) batch: BatchId,
    pub(crate) batch_no: BatchNo,
    pub(crate) traceparent: Option<String>,
    pub(crate) wanted: Vec<Wanted>,
}

/// What became of claims, over all turns of one offer.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) claimed: usize,
    pub(crate) rejected: usize,
    pub(crate) cancelled: usize,
    pub(crate) already_known: usize,
    pub(crate) not_now: usize,
    /// Payments that Postgres refuses, with the message that brought each and the reason.
    pub(crate) dead: Vec<(usize, Seq, String)>,
    /// Everything that needs no further claim, the dead included.
    pub(crate) settled: Vec<(BatchId, Seq)>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.claimed += other.claimed;
        self.rejected += other.rejected;
        self.cancelled += other.cancelled;
        self.already_known += other.already_known;
        self.not_now += other.not_now;
        self.dead.extend(other.dead);
        self.settled.extend(other.settled);
    }
}

/// Why payments go back to Kafka.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Postgres is away.
    #[error("payments could not be claimed")]
    Database(#[source] gctb_db::DbError),
    /// The rail is stopped or left alone.
    #[error("{0}")]
    Stopped(String),
}

/// How an offer ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What became of what was claimed.
    pub(crate) tally: Tally,
    /// Whether all of it was.
    pub(crate) complete: bool,
    /// Why not.
    pub(crate) trouble: Option<Trouble>,
}

/// The place where they meet.
#[derive(Default)]
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Something was offered.
    offered: Condvar,
    /// Something was settled or given back.
    settled: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Group>,
    /// Payments that lanes have taken and not yet reported.
    in_hand: usize,
    tally: Tally,
    trouble: Option<Trouble>,
}

impl Intake {
    /// Offers payments and waits until all are claimed, trouble comes up, or `patience` is over. What is not claimed by then is
    /// taken back; what a lane has in its hands is waited for.
    pub(crate) fn offer(&self, groups: Vec<Group>, patience: Duration) -> Ended {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        state.waiting.extend(groups);
        self.offered.notify_all();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.trouble.is_some() || left.is_zero() {
                break;
            }
            if state.waiting.is_empty() && state.in_hand == 0 {
                break;
            }
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut complete = state.waiting.is_empty();
        state.waiting.clear();
        while state.in_hand > 0 {
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // What a lane has given back while it was waited for.
        complete &= state.waiting.is_empty();
        state.waiting.clear();
        Ended { tally: std::mem::take(&mut state.tally), complete, trouble: state.trouble.take() }
    }

    /// Whether payments wait.
    pub(crate) fn waits(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Waits at most `wait` for an offer.
    pub(crate) fn wait(&self, wait: Duration) {
        let state = self.lock();
        if state.waiting.is_empty() {
            drop(self.offered.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Takes at most `max` payments, in their order. They must be reported.
    pub(crate) fn take(&self, max: usize) -> Vec<Group> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        let mut room = max;
        while room > 0 {
            let Some(mut group) = state.waiting.pop_front() else { break };
            if group.wanted.len() > room {
                let wanted = group.wanted.split_off(room);
                let traceparent = group.traceparent.clone();
                state.waiting.push_front(Group { wanted, traceparent, batch: group.batch, batch_no: group.batch_no });
            }
            room -= group.wanted.len();
            taken.push(group);
        }
        state.in_hand += max - room;
        taken
    }

    /// Reports what became of `payments` that were taken.
    pub(crate) fn report(&self, payments: usize, tally: Tally) {
        let mut state = self.lock();
        state.in_hand -= payments;
        state.tally.add(tally);
        self.settled.notify_all();
    }

    /// Gives back what was taken and not claimed, and says why.
    pub(crate) fn give_back(&self, groups: Vec<Group>, trouble: Trouble) {
        let mut state = self.lock();
        state.in_hand -= groups.iter().map(|group| group.wanted.len()).sum::<usize>();
        groups.into_iter().rev().for_each(|group| state.waiting.push_front(group));
        state.trouble.get_or_insert(trouble);
        self.settled.notify_all();
    }

    /// Nothing is taken at the moment, and why: whoever offers need not wait.
    pub(crate) fn refuse(&self, trouble: Trouble) {
        let mut state = self.lock();
        if !state.waiting.is_empty() {
            state.trouble.get_or_insert(trouble);
            self.settled.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
