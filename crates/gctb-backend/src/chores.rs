//! Sees to what came due: windows that their owners left, questions, sends under the same key, further attempts, fences.
//!
//! What is done about each is decided where it is taken up; here it is called and told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gctb_db::{BatchWords, DueAttempt, DueWork, Fate, RailGate, Todo, Turn};
use gctb_domain::{FinancialAddress, RailKey};
use gctb_runtime::{Component, Heartbeat, chain};

use crate::calls::{self, Call, Calls};
use crate::lane::LAST_WORDS;
use crate::lease::Lease;
use crate::pace::Room;
use crate::rail::{Order, PaymentBackend};
use crate::world::World;

/// Between two tries where the rate allows no call.
const ROOM_AGAIN: Duration = Duration::from_millis(20);

pub(crate) struct Chores<R> {
    world: Arc<World<R>>,
    heartbeat: Heartbeat,
    component: Component,
}

impl<R: PaymentBackend> Chores<R> {
    pub(crate) fn new(world: Arc<World<R>>, heartbeat: Heartbeat, component: Component) -> Self {
        component.ok();
        Self { world, heartbeat, component }
    }

    /// Works until the shutdown is requested.
    pub(crate) fn run(&self) {
        while !self.world.shutdown.is_requested() {
            self.heartbeat.beat();
            if !self.one() {
                self.world.shutdown.wait_timeout(self.world.settings.look_every);
            }
        }
    }

    /// Sees to what has been due longest. False: nothing is due, or nothing can be done now.
    fn one(&self) -> bool {
        let world = &self.world;
        if world.pace.closed_for(Instant::now()).is_some() {
            return false;
        }
        // The lease begins before the work is taken up.
        let lease = Lease::begin(world.settings.lease);
        match world.db.take_up(&world.holder) {
            Ok(Some(mut due)) => {
                (world.publish)(std::mem::take(&mut due.outbox));
                self.component.ok();
                self.see_to(due, lease);
                true
            }
            Ok(None) => {
                self.component.ok();
                false
            }
            Err(error) => {
                let trouble = chain(&error);
                if self.component.failing(trouble.clone()) {
                    tracing::warn!(trouble, "payments that came due wait");
                }
                false
            }
        }
    }

    fn see_to(&self, due: DueWork, lease: Lease) {
        if due.attempts.is_empty() {
            return;
        }
        let world = &self.world;
        let gate = due.rail;
        let mut calls: Vec<Call> = due.attempts.into_iter().filter_map(|attempt| call(due.batch_no, attempt)).collect();
        let mut words = BatchWords {
            batch: due.batch,
            work: Some(due.work),
            traceparent: None,
            words: Vec::with_capacity(calls.len()),
        };
        world.holds.gate(gate);
        if gate == RailGate::Probe {
            // One payment finds out whether a held rail pays again; the others wait for what it finds.
            let mut first = true;
            let others = calls.extract_if(.., |call| call.todo == Todo::Send && !std::mem::replace(&mut first, false));
            words.words.extend(others.map(|call| calls::not_called(&call)));
        }
        while !calls.is_empty() && !world.shutdown.is_requested() {
            let now = Instant::now();
            let some = match world.pace.room(calls.len(), now) {
                Room::For(some) if some > 0 => calls.drain(..some).collect(),
                // What is not called any more is told as not sent, by the same rule as what came too late.
                Room::Closed(_) => break,
                Room::For(_) | Room::Later(_) if lease.outlasts(world.rail.deadline()) => {
                    world.shutdown.wait_timeout(ROOM_AGAIN);
                    continue;
                }
                Room::For(_) | Room::Later(_) => break,
            };
            let one = Calls { batch: due.batch, work: due.work, traceparent: None, calls: some };
            fail::fail_point!("rail.chore.before");
            let learned = calls::make(world, vec![one], lease);
            fail::fail_point!("rail.chore.after");
            world.learn(learned.summary, learned.hold, gate);
            words.words.extend(learned.words.into_iter().flat_map(|told| told.words));
            if let Err(error) = world.holds.write(&world.db, &world.holder.backend) {
                tracing::warn!(error = %chain(&error), "the rail could not be held; it is tried again before the next claim");
            }
        }
        words.words.extend(calls.iter().filter(|call| call.todo == Todo::Send).map(calls::not_called));
        self.tell(words);
    }

    /// Records what was learnt, until Postgres has it or the process ends; then the work comes due again.
    fn tell(&self, words: BatchWords) {
        let world = &self.world;
        let turn = Turn { words: vec![words], claims: Vec::new() };
        let mut given_up_at = None;
        loop {
            self.heartbeat.beat();
            let began = Instant::now();
            match world.db.turn(&world.holder, &turn) {
                Ok(turned) => {
                    world.meters.committed(&turned, began.elapsed());
                    (world.publish)(turned.outbox);
                    return;
                }
                Err(error) if error.fate() == Fate::Retry => {
                    if world.shutdown.wait_timeout(world.settings.look_every) {
                        let now = Instant::now();
                        if now > *given_up_at.get_or_insert(now + LAST_WORDS) {
                            return;
                        }
                        std::thread::sleep(ROOM_AGAIN);
                    }
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "what the rail said cannot be recorded; its payments are asked about when they come due again");
                    return;
                }
            }
        }
    }
}

fn call(batch_no: gctb_domain::BatchNo, attempt: DueAttempt) -> Option<Call> {
    let DueAttempt { seq, attempt, todo, sends, quiet, handle, resolved_fa, amount, payee_name, narrative } = attempt;
    // What stands in the ledger was claimed with both, so both can be read.
    let key = RailKey::new(batch_no, seq, attempt).ok()?;
    let to = FinancialAddress::parse(&resolved_fa).ok()?;
    Some(Call { seq, attempt, todo, order: Order { key, handle, sends, quiet, to, amount, payee_name, narrative } })
}
