//! The thread that commits callbacks: all that wait, together, and answers each of them after its commit.
//!
//! A callback that nobody believes is written down for a person in the same way, and moves nothing. It knows nothing of HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use gctb_db::{BatchWords, Db, DbError, Fate, Holder, Ordered, OutboxRow, Turn, Word};
use gctb_domain::{BatchId, FinancialAddress, Seq};
use gctb_runtime::{Component, Heartbeat, chain};
use tokio::sync::oneshot;

use super::kept::{Allowance, Refused};
use super::meters::Meters;
use super::numbers::BatchNumbers;
use super::outcome::Outcome;
use crate::daraja::{Daraja, Disagreement, PaymentNews};
use crate::settings::ListenerSettings;

/// How often the loop shows that it turns.
const BEAT: Duration = Duration::from_secs(1);
/// Longest silence of the thread before it counts as stuck: a commit, and one more for what is kept.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(120);
const WAITING: &str = "callbacks cannot be committed; 503 is answered, and payments are asked about later";

/// A callback whose caller waits. Personal data: it has no `Debug`.
pub(super) struct Waiting {
    pub(super) matter: Matter,
    /// Told after the commit. Nobody may listen any more.
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// What it is about.
pub(super) enum Matter {
    /// News of a payment, and the body that told them.
    News(Box<PaymentNews>, Vec<u8>),
    /// Nothing that can be believed.
    Refused(Refused),
}

/// Told of committed outbox rows, to publish them soon. It must not block.
pub(crate) type Publish = dyn Fn(Vec<OutboxRow>) + Send + Sync;
/// Told of replies that hold the rail or slow it down. It must not block for long.
pub(crate) type Heard = dyn Fn(&PaymentNews) + Send + Sync;

/// Commits what comes.
pub(super) struct Committer {
    pub(super) rail: Arc<Daraja>,
    pub(super) db: Db,
    pub(super) holder: Holder,
    pub(super) publish: Box<Publish>,
    pub(super) heard: Box<Heard>,
    pub(super) settings: ListenerSettings,
    pub(super) numbers: BatchNumbers,
    pub(super) allowance: Allowance,
    pub(super) meters: Meters,
    pub(super) component: Component,
    pub(super) heartbeat: Heartbeat,
}

impl Committer {
    /// Works until nobody can send anything any more.
    pub(super) fn run(&mut self, waiting: &Receiver<Waiting>) {
        self.try_postgres();
        loop {
            self.heartbeat.beat();
            match waiting.recv_timeout(self.pause()) {
                Ok(first) => {
                    let group = self.gather(first, waiting);
                    self.settle(group);
                }
                Err(RecvTimeoutError::Timeout) if self.component.is_failing() => self.try_postgres(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn pause(&self) -> Duration {
        if self.component.is_failing() { BEAT.min(self.settings.retry_pause) } else { BEAT }
    }

    /// What waits, and what comes within a moment, up to the size of a group.
    fn gather(&self, first: Waiting, waiting: &Receiver<Waiting>) -> Vec<Waiting> {
        let until = Instant::now() + self.settings.group_wait;
        let mut group = vec![first];
        while group.len() < self.settings.group_max {
            match waiting.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(next) => group.push(next),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        group
    }

    /// Commits a group and answers everybody in it.
    fn settle(&mut self, group: Vec<Waiting>) {
        let (mut news, mut refused) = (Vec::new(), Vec::new());
        for Waiting { matter, answer } in group {
            match matter {
                Matter::News(told, body) => news.push(Told { news: told, body, answer }),
                Matter::Refused(what) => refused.push((what, answer)),
            }
        }
        self.record(news, &mut refused);
        self.keep(refused);
    }

    /// Records news. What turns out not to be about a payment as it was ordered is added to `refused`.
    fn record(&mut self, news: Vec<Told>, refused: &mut Vec<(Refused, oneshot::Sender<Outcome>)>) {
        if news.is_empty() {
            return;
        }
        self.heartbeat.beat();
        let orders = match self.orders(&news) {
            Ok(orders) => orders,
            Err(error) => return self.divide(news, &error, refused),
        };
        let mut believed = Vec::with_capacity(news.len());
        for told in news {
            match self.judge(&told.news, &orders) {
                Ok(()) => believed.push(told),
                Err((outcome, batch)) => refused.push(told.refused(outcome, batch)),
            }
        }
        match self.commit(&believed) {
            Ok(()) => believed.into_iter().for_each(|told| self.answer(told.answer, Outcome::Recorded)),
            Err(error) => self.divide(believed, &error, refused),
        }
    }

    /// What becomes of news that Postgres did not take: one that it will never take stops only itself.
    fn divide(&mut self, mut news: Vec<Told>, error: &DbError, refused: &mut Vec<(Refused, oneshot::Sender<Outcome>)>) {
        match error.fate() {
            Fate::Retry => {
                self.fail(error);
                news.into_iter().for_each(|told| self.answer(told.answer, Outcome::Unavailable));
            }
            Fate::Refused | Fate::Unknown if news.len() > 1 => {
                let rest = news.split_off(news.len() / 2);
                self.record(news, refused);
                self.record(rest, refused);
            }
            Fate::Refused | Fate::Unknown => {
                tracing::error!(error = %chain(error), "Postgres refuses a callback for its content; it is kept for a person");
                for told in news {
                    let batch = self.numbers.get(told.news.key.batch_no());
                    refused.push(told.refused(Outcome::RefusedByPostgres, batch));
                }
            }
        }
    }

    /// What was ordered of the payments that the news are about, by batch and position.
    fn orders(&mut self, news: &[Told]) -> Result<HashMap<(BatchId, Seq), Ordered>, DbError> {
        let numbers = || news.iter().map(|told| told.news.key.batch_no());
        let (known, db) = (&mut self.numbers, &self.db);
        insistently(self.settings.commit_tries, || known.look_up(db, numbers()))?;
        let mut wanted: BTreeMap<BatchId, Vec<Seq>> = BTreeMap::new();
        for told in news {
            if let Some(batch) = self.numbers.get(told.news.key.batch_no()) {
                wanted.entry(batch).or_default().push(told.news.key.seq());
            }
        }
        let mut orders = HashMap::with_capacity(news.len());
        for (batch, seqs) in wanted {
            self.heartbeat.beat();
            let found = insistently(self.settings.commit_tries, || self.db.ordered(batch, &seqs))?;
            orders.extend(found.into_iter().map(|order| ((batch, order.seq), order)));
        }
        Ok(orders)
    }

    /// Whether news are about a payment as it was ordered; else why not, and its batch.
    fn judge(
        &self,
        news: &PaymentNews,
        orders: &HashMap<(BatchId, Seq), Ordered>,
    ) -> Result<(), (Outcome, Option<BatchId>)> {
        let batch = self.numbers.get(news.key.batch_no());
        let order = batch.and_then(|batch| orders.get(&(batch, news.key.seq())));
        let Some(order) = order else { return Err((Outcome::UnknownPayment, batch)) };
        match self.disagreement(news, order) {
            None => Ok(()),
            Some(Disagreement::Amount) => Err((Outcome::AmountDiffers, batch)),
            Some(Disagreement::Payee) => Err((Outcome::PayeeDiffers, batch)),
        }
    }

    /// An order that no payment of this rail can be made of is left to the ledger, which says so where its row is locked.
    fn disagreement(&self, news: &PaymentNews, order: &Ordered) -> Option<Disagreement> {
        let to = FinancialAddress::parse(&order.resolved_fa).ok()?;
        let payee = self.rail.msisdn(&to).ok()?;
        news.disagrees_with(order.amount?, &payee)
    }

    fn commit(&mut self, believed: &[Told]) -> Result<(), DbError> {
        let mut words: BTreeMap<BatchId, Vec<Word>> = BTreeMap::new();
        for told in believed {
            if let Some(batch) = self.numbers.get(told.news.key.batch_no()) {
                words.entry(batch).or_default().push(word(&told.news));
            }
        }
        if words.is_empty() {
            return Ok(());
        }
        self.heartbeat.beat();
        let of_batch = |(batch, words)| BatchWords { batch, work: None, traceparent: None, words };
        let turn = Turn { words: words.into_iter().map(of_batch).collect(), claims: Vec::new() };
        let turned = insistently(self.settings.commit_tries, || self.db.turn(&self.holder, &turn))?;
        self.works();
        self.meters.group(believed.len());
        (self.publish)(turned.outbox);
        for told in believed {
            (self.heard)(&told.news);
        }
        Ok(())
    }

    /// Writes down what nobody believes, as far as a minute's allowance goes, and answers.
    fn keep(&mut self, refused: Vec<(Refused, oneshot::Sender<Outcome>)>) {
        let allowed = self.allowance.take(refused.len(), Instant::now());
        self.meters.not_kept(refused.len() - allowed);
        let exceptions: Vec<_> = refused.iter().take(allowed).map(|(what, _)| what.exception()).collect();
        let keep = || self.db.keep_exceptions(&self.holder.backend, &exceptions);
        let kept = if exceptions.is_empty() { Ok(()) } else { insistently(self.settings.commit_tries, keep) };
        if let Err(error) = &kept {
            self.fail(error);
        } else if !exceptions.is_empty() {
            self.works();
        }
        for (place, (what, answer)) in refused.into_iter().enumerate() {
            let lost = kept.is_err() && place < allowed;
            self.answer(answer, if lost { Outcome::Unavailable } else { what.outcome });
        }
    }

    fn answer(&self, answer: oneshot::Sender<Outcome>, outcome: Outcome) {
        // Who does not wait any more was answered that it took too long.
        let _ = answer.send(outcome);
    }

    /// A write that changes nothing, to see whether Postgres takes one.
    fn try_postgres(&self) {
        match self.db.introduce_rail(&self.holder.backend) {
            Ok(()) => self.works(),
            Err(error) => self.fail(&error),
        }
    }

    fn works(&self) {
        if self.component.ok() {
            tracing::info!("callbacks can be committed");
        }
    }

    fn fail(&self, error: &DbError) {
        if self.component.failing(WAITING) {
            tracing::warn!(error = %chain(error), "{WAITING}");
        }
    }
}

/// News, the body that told them, and who waits.
struct Told {
    news: Box<PaymentNews>,
    body: Vec<u8>,
    answer: oneshot::Sender<Outcome>,
}

impl Told {
    fn refused(self, outcome: Outcome, batch: Option<BatchId>) -> (Refused, oneshot::Sender<Outcome>) {
        (Refused { outcome, key: Some(self.news.key), batch, body: self.body }, self.answer)
    }
}

/// Does the same again where Postgres was away or busy, so that a connection that broke costs no callback. Nothing here counts
/// twice: a commit whose answer was lost finds its own news.
fn insistently<T>(tries: u32, mut work: impl FnMut() -> Result<T, DbError>) -> Result<T, DbError> {
    for _ in 1..tries {
        match work() {
            Err(error) if error.fate() == Fate::Retry => {}
            done => return done,
        }
    }
    work()
}

fn word(news: &PaymentNews) -> Word {
    let PaymentNews { key, reply, sends, quiet, amount, msisdn: _ } = news;
    Word {
        seq: key.seq(),
        attempt: key.attempt(),
        learnt: reply.learnt,
        sends: *sends,
        quiet: *quiet,
        fenced: false,
        amount: *amount,
        handle: reply.handle.clone(),
        rail_reference: reply.rail_reference.clone(),
        reason: reply.reason,
        refuses_everybody: reply.hold.is_some(),
        message: reply.message.clone(),
        send_after: reply.slow_down.unwrap_or_default(),
    }
}
