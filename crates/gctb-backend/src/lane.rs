//! A lane: one commit records its last window of calls and claims the next one, then all calls of that window run.
//!
//! Several lanes work side by side, each with a connection of its own, so that one commits while another one calls. What a lane has
//! learnt is in memory until it is committed: it is told again and again while Postgres is away, and if the process dies before,
//! the window comes due and its payments are asked about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gctb_db::{BatchClaims, BatchWords, DbError, Fate, RailGate, Todo, Turn, Turned};
use gctb_domain::{BatchId, RailKey};
use gctb_runtime::{Heartbeat, chain};

use crate::calls::{self, Call, Calls};
use crate::holds::silence;
use crate::intake::{Group, Tally, Trouble};
use crate::lease::Lease;
use crate::pace::Room;
use crate::rail::{Hold, Order, PaymentBackend};
use crate::world::{Affordable, World};

/// How long a lane waits for payments when it has nothing to tell.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How long it waits for more when it has: what was learnt is not kept for long.
const LINGER: Duration = Duration::from_millis(1);
/// Between two tries to record what was learnt.
const TELL_AGAIN: Duration = Duration::from_millis(500);
/// How long at a shutdown it is tried to record what was learnt.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(10);

pub(crate) struct Lane<R> {
    world: Arc<World<R>>,
    heartbeat: Heartbeat,
    /// What was learnt by the last window.
    learnt: Vec<BatchWords>,
}

/// Payments that are claimed and may be sent.
struct Claimed {
    calls: Vec<Calls>,
    gate: RailGate,
}

impl<R: PaymentBackend> Lane<R> {
    pub(crate) fn new(world: Arc<World<R>>, heartbeat: Heartbeat) -> Self {
        Self { world, heartbeat, learnt: Vec::new() }
    }

    /// Works until the shutdown is requested and everything learnt is recorded.
    pub(crate) fn run(&mut self) {
        while !self.world.shutdown.is_requested() {
            self.heartbeat.beat();
            self.turn();
        }
        let until = Instant::now() + LAST_WORDS;
        while !self.learnt.is_empty() && Instant::now() < until {
            if self.tell().is_err() {
                std::thread::sleep(TELL_AGAIN);
            }
        }
    }

    fn turn(&mut self) {
        let world = Arc::clone(&self.world);
        if let Err(error) = world.holds.write(&world.db, &world.holder.backend) {
            self.database_is_away(Vec::new(), error);
            return;
        }
        if !world.intake.waits() {
            world.intake.wait(if self.learnt.is_empty() { IDLE_WAIT } else { LINGER });
        }
        let taken = self.take();
        if taken.is_empty() {
            if !self.learnt.is_empty()
                && let Err(error) = self.tell()
            {
                self.database_is_away(Vec::new(), error);
            }
            return;
        }
        // The lease begins before the claim does.
        let lease = Lease::begin(world.settings.lease);
        let Some(claimed) = self.claim(taken) else { return };
        if claimed.calls.is_empty() {
            world.pace.unused(Instant::now());
            return;
        }
        world.holds.gate(claimed.gate);
        let Claimed { calls: mut sends, gate } = claimed;
        let not_now = if gate == RailGate::Probe { calls::all_but_one(&mut sends) } else { Vec::new() };
        fail::fail_point!("rail.send.before");
        let began = Instant::now();
        let count = sends.iter().map(|batch| batch.calls.len()).sum();
        let mut learned = calls::make(&world, sends, lease);
        fail::fail_point!("rail.send.after");
        world.meters.window(count, began.elapsed());
        world.learn(learned.summary, learned.hold, gate);
        learned.tell_too(not_now);
        self.learnt = learned.words;
    }

    /// As much as may be called now.
    fn take(&self) -> Vec<Group> {
        let world = &self.world;
        if !world.intake.waits() {
            return Vec::new();
        }
        let now = Instant::now();
        match world.pace.room(world.settings.window(), now) {
            Room::For(room) => {
                let taken = world.intake.take(room);
                if taken.is_empty() {
                    world.pace.unused(now);
                    return taken;
                }
                self.afford(taken)
            }
            Room::Later(wait) => {
                world.shutdown.wait_timeout(if self.learnt.is_empty() { wait } else { LINGER });
                Vec::new()
            }
            Room::Closed(rest) => {
                world.holds.silent(rest);
                world.intake.refuse(Trouble::Stopped(silence(rest)));
                if self.learnt.is_empty() {
                    world.shutdown.wait_timeout(rest.min(IDLE_WAIT));
                }
                Vec::new()
            }
        }
    }

    /// Where the payer's account is known to hold less than this window, nothing of it is claimed and the rail is held. Where its
    /// balance is not known, nothing is claimed yet.
    fn afford(&self, taken: Vec<Group>) -> Vec<Group> {
        let world = &self.world;
        let wanted = taken.iter().flat_map(|group| &group.wanted);
        let sum = wanted.fold(0_i64, |sum, wanted| sum.saturating_add(wanted.claim.amount.minor()));
        let known = (world.funds)(sum);
        if known == Affordable::Yes {
            return taken;
        }
        let now = Instant::now();
        world.pace.unused(now);
        if known == Affordable::Unknown {
            world
                .intake
                .give_back(taken, Trouble::Stopped("no balance of the payer's account was told lately".to_owned()));
            return Vec::new();
        }
        world.holds.found(Hold::NoFunds);
        world.pace.try_with_one(now);
        world
            .intake
            .give_back(taken, Trouble::Stopped("the payer's account does not hold the next payments".to_owned()));
        Vec::new()
    }

    /// Records the last window and claims the next. None: Postgres is away, or the rail is stopped.
    fn claim(&mut self, taken: Vec<Group>) -> Option<Claimed> {
        let world = Arc::clone(&self.world);
        match self.commit(&taken) {
            Ok(turned) => {
                let gate = turned.rail;
                if gate == RailGate::Stopped {
                    let now = Instant::now();
                    world.pace.unused(now);
                    world.pace.try_with_one(now);
                    let why = world.holds.stopped(&world.db, &world.holder.backend);
                    world.intake.give_back(taken, Trouble::Stopped(why));
                    return None;
                }
                Some(Claimed { calls: self.take_in(taken, turned), gate })
            }
            Err(error) if error.fate() == Fate::Retry => {
                world.pace.unused(Instant::now());
                self.database_is_away(taken, error);
                None
            }
            // Something of it will never be taken: what was learnt is told alone, then the claims one half after the other.
            Err(_) => {
                if !self.learnt.is_empty()
                    && let Err(error) = self.tell()
                {
                    world.pace.unused(Instant::now());
                    self.database_is_away(taken, error);
                    return None;
                }
                let mut claimed = Claimed { calls: Vec::new(), gate: RailGate::Open };
                self.claim_by_halves(taken, &mut claimed);
                Some(claimed)
            }
        }
    }

    fn claim_by_halves(&mut self, taken: Vec<Group>, claimed: &mut Claimed) {
        for group in taken {
            match self.commit(std::slice::from_ref(&group)) {
                Ok(turned) if turned.rail == RailGate::Stopped => {
                    let why = self.world.holds.stopped(&self.world.db, &self.world.holder.backend);
                    self.world.intake.give_back(vec![group], Trouble::Stopped(why));
                }
                Ok(turned) => {
                    if turned.rail == RailGate::Probe {
                        claimed.gate = RailGate::Probe;
                    }
                    claimed.calls.extend(self.take_in(vec![group], turned));
                }
                Err(error) if error.fate() == Fate::Retry => {
                    self.world.intake.give_back(vec![group], Trouble::Database(error));
                }
                Err(error) if group.wanted.len() == 1 || error.fate() == Fate::Unknown => self.bury(&group, &error),
                Err(_) => {
                    let Group { batch, batch_no, traceparent, mut wanted } = group;
                    let later = wanted.split_off(wanted.len() / 2);
                    let halves = [wanted, later].map(|wanted| Group {
                        batch,
                        batch_no,
                        traceparent: traceparent.clone(),
                        wanted,
                    });
                    self.claim_by_halves(halves.into(), claimed);
                }
            }
        }
    }

    fn commit(&mut self, groups: &[Group]) -> Result<Turned, DbError> {
        let to_claims = |group: &Group| BatchClaims {
            batch: group.batch,
            batch_no: group.batch_no,
            traceparent: group.traceparent.clone(),
            claims: group.wanted.iter().map(|wanted| wanted.claim.clone()).collect(),
        };
        let turn = Turn { words: std::mem::take(&mut self.learnt), claims: groups.iter().map(to_claims).collect() };
        let began = Instant::now();
        let turned = self.world.db.turn(&self.world.holder, &turn);
        match turned {
            Ok(mut turned) => {
                self.world.meters.committed(&turned, began.elapsed());
                (self.world.publish)(std::mem::take(&mut turned.outbox));
                Ok(turned)
            }
            Err(error) => {
                self.learnt = turn.words;
                Err(error)
            }
        }
    }

    /// Records what was learnt, alone. What Postgres refuses for its content is left to whoever takes the window up when it is
    /// due, and said loudly.
    fn tell(&mut self) -> Result<(), DbError> {
        match self.commit(&[]) {
            Ok(_) => return Ok(()),
            Err(error) if error.fate() == Fate::Retry => return Err(error),
            Err(_) => {}
        }
        let mut left = std::mem::take(&mut self.learnt).into_iter();
        while let Some(words) = left.next() {
            let (batch, count) = (words.batch, words.words.len());
            self.learnt = vec![words];
            match self.commit(&[]) {
                Ok(_) => {}
                Err(error) if error.fate() == Fate::Retry => {
                    self.learnt.extend(left);
                    return Err(error);
                }
                Err(error) => {
                    self.learnt.clear();
                    tracing::error!(
                        %batch, count, error = %chain(&error),
                        "what the rail said cannot be recorded; these payments are asked about when their window comes due"
                    );
                }
            }
        }
        Ok(())
    }

    /// Reports to the consumer, and gives the calls that may be made.
    fn take_in(&self, taken: Vec<Group>, turned: Turned) -> Vec<Calls> {
        let payments = taken.iter().map(|group| group.wanted.len()).sum();
        let settled = taken.iter().flat_map(|group| group.wanted.iter().map(|wanted| (group.batch, wanted.claim.seq)));
        let tally = Tally {
            claimed: turned.claimed.iter().map(Vec::len).sum(),
            rejected: turned.rejected,
            cancelled: turned.cancelled,
            already_known: turned.already_known,
            not_now: turned.not_now,
            dead: Vec::new(),
            settled: settled.collect(),
        };
        self.world.intake.report(payments, tally);
        let windows = turned.claimed.into_iter().zip(turned.windows);
        taken
            .into_iter()
            .zip(windows)
            .filter_map(|(group, (seqs, window))| {
                let Group { batch, batch_no, traceparent, wanted } = group;
                // A message that came twice asks twice for the same payment; it is claimed once, and sent once.
                let mut claimed: std::collections::HashSet<_> = seqs.into_iter().collect();
                let wanted = wanted.into_iter().filter(|wanted| claimed.remove(&wanted.claim.seq));
                let calls = wanted.filter_map(|wanted| {
                    let key = RailKey::new(batch_no, wanted.claim.seq, 1).ok()?;
                    let order = Order {
                        key,
                        handle: None,
                        sends: 1,
                        quiet: false,
                        to: wanted.to,
                        amount: wanted.claim.amount,
                        payee_name: wanted.claim.payee_name,
                        narrative: wanted.claim.narrative,
                    };
                    Some(Call { seq: wanted.claim.seq, attempt: 1, todo: Todo::Send, order })
                });
                Some(Calls { batch, work: window?, traceparent, calls: calls.collect() })
            })
            .collect()
    }

    fn bury(&self, group: &Group, error: &DbError) {
        let dead = group.wanted.iter().map(|wanted| (wanted.message, wanted.claim.seq, error.to_string()));
        let settled = group.wanted.iter().map(|wanted| (group.batch, wanted.claim.seq));
        let tally = Tally { dead: dead.collect(), settled: settled.collect::<Vec<(BatchId, _)>>(), ..Tally::default() };
        self.world.intake.report(group.wanted.len(), tally);
    }

    /// What was taken goes back; what was learnt is kept and told again.
    fn database_is_away(&self, taken: Vec<Group>, error: DbError) {
        if taken.is_empty() {
            self.world.intake.refuse(Trouble::Database(error));
        } else {
            self.world.intake.give_back(taken, Trouble::Database(error));
        }
        self.world.shutdown.wait_timeout(TELL_AGAIN);
    }
}
