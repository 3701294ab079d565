//! The soak: a bridge, batches and faults drawn from a seed; afterwards everything that docs/ARCHITECTURE.md promises is checked.
//!
//! A seed means the same batches, faults and moments every time. Moments are told by progress, not by the clock; how long a
//! fault lasts, and what meets what, depends on the machine, so that a seed is run again to see the same story, and not
//! always the same race.

mod check;
mod fault;
mod kafka_server;
mod lines;
mod operator;
mod plan;
mod progress;
mod sender;
mod stage;

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use crate::batch::{Batch, Item};
use crate::system::Sent;
pub use check::Outcome;
pub use plan::Plan;
use plan::{Action, Step};
use progress::Progress;
use sender::Sender;
use stage::{Stage, transaction_id};

/// How long the bridge may take to come to rest once everything is mended.
const REST_WITHIN: Duration = Duration::from_secs(120);
/// The next step comes when nothing has moved for so long: it may be waiting for what is broken.
const STALLED: Duration = Duration::from_millis(700);
/// Between two looks at the progress.
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// Between two rounds of the operator.
const OPERATOR_EVERY: Duration = Duration::from_millis(400);
/// After so long of coming to rest the operator looks at what waits for a timer.
const SOONER_AFTER: Duration = Duration::from_secs(1);

/// Runs one seed and checks it. None, and the test `name` counted as skipped, without the servers.
///
/// # Panics
/// Where anything does not hold; the sentence says what.
pub fn run(name: &str, plan: Plan) -> Option<Outcome> {
    let began = Utc::now();
    let steps = plan.steps.clone();
    let mut soak = Soak { stage: Stage::set(name, plan)?, posts: Vec::new(), began };
    for step in steps {
        soak.wait_for(step);
        soak.take(step.action);
    }
    while !soak.stage.is_whole() {
        soak.look();
    }
    soak.rest();
    soak.read_answers();
    Some(check::everything(&mut soak.stage))
}

/// What was posted, and what its answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    First,
    Again,
    Changed,
}

struct Post {
    batch: usize,
    meaning: Meaning,
    sender: Sender,
}

struct Soak {
    stage: Stage,
    posts: Vec<Post>,
    began: chrono::DateTime<Utc>,
}

impl Soak {
    /// Waits until so much is done, or nothing moves any more. What repeats a batch waits for its answer.
    fn wait_for(&mut self, step: Step) {
        let (mut last, mut moved) = (Progress::default(), Instant::now());
        loop {
            let now = self.look();
            if now != last {
                (last, moved) = (now, Instant::now());
            }
            let is_time = now.percent() >= step.at_percent || moved.elapsed() > STALLED;
            if is_time && self.is_possible(step.action) {
                return;
            }
        }
    }

    fn is_possible(&self, action: Action) -> bool {
        match action {
            Action::Send(_) | Action::Fault(_) => true,
            Action::SendAgain(batch) | Action::SendChanged(batch) => {
                let first = |post: &&Post| post.batch == batch && post.meaning == Meaning::First;
                self.posts.iter().find(first).is_some_and(|post| post.sender.has_answer())
            }
        }
    }

    /// Mends what is due, pauses for a moment, and looks how far the work is.
    fn look(&mut self) -> Progress {
        self.stage.mend(false);
        // The pause between two looks.
        std::thread::park_timeout(LOOK_EVERY);
        Progress::of(&self.stage.system.database)
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::Send(batch) => {
                self.schedule(batch);
                self.post(batch, Meaning::First);
            }
            Action::SendAgain(batch) => self.post(batch, Meaning::Again),
            Action::SendChanged(batch) => self.post(batch, Meaning::Changed),
            Action::Fault(fault) => self.stage.begin(fault),
        }
    }

    /// What is scheduled was drawn relative to the moment at which the batch is sent.
    fn schedule(&mut self, batch: usize) {
        let late: TimeDelta = Utc::now() - self.began;
        let times = self.stage.plan.batches[batch].items.iter_mut().filter_map(|item| item.scheduled_at.as_mut());
        times.for_each(|at| *at += late);
    }

    fn post(&mut self, batch: usize, meaning: Meaning) {
        let message = &self.stage.plan.batches[batch];
        let body = if meaning == Meaning::Changed { changed(message).json() } else { message.json() };
        let url = self.stage.system.disburse_url();
        self.posts.push(Post { batch, meaning, sender: Sender::post(url, body) });
    }

    /// Waits until everything is at its end, with an operator at work.
    fn rest(&mut self) {
        let began = Instant::now();
        let (mut operator, mut looked_sooner) = (began, false);
        loop {
            self.look();
            let is_answered = self.posts.iter().all(|post| post.sender.has_answer());
            let unfinished = operator::unfinished(&self.stage);
            if is_answered && unfinished.is_none() {
                return;
            }
            let ended = self.stage.ended();
            assert!(ended.is_empty(), "{} ended though nobody ended it", ended.join(" and "));
            let waited = began.elapsed();
            let what = unfinished.unwrap_or_else(|| "a message without an answer".to_owned());
            assert!(waited < REST_WITHIN, "{REST_WITHIN:?} after everything was mended there is still: {what}");
            if operator.elapsed() > OPERATOR_EVERY {
                operator::settle_unclear_files(&self.stage);
                operator::ask_the_banks(&self.stage);
                if waited > SOONER_AFTER && !looked_sooner {
                    operator::look_sooner(&self.stage);
                    looked_sooner = true;
                }
                operator = Instant::now();
            }
        }
    }

    /// Checks what the senders were answered: taken, the same once more, or refused.
    fn read_answers(&mut self) {
        for Post { batch, meaning, sender } in std::mem::take(&mut self.posts) {
            let (status, answer) = sender.answer();
            let message = self.stage.plan.batches[batch].clone();
            match meaning {
                Meaning::First => {
                    assert_is_taken(&message, status, &answer);
                    let transaction_id = transaction_id(&message).to_owned();
                    self.stage.system.sent.push(Sent { transaction_id, batch: message });
                }
                Meaning::Again => assert_is_taken(&message, status, &answer),
                Meaning::Changed => {
                    assert!((400..500).contains(&status), "a changed message under known names was answered {status}");
                    assert_eq!(answer["header"]["status"], "rjct", "a changed message under known names is refused");
                }
            }
        }
    }
}

fn assert_is_taken(message: &Batch, status: u16, answer: &Value) {
    assert_eq!(status, 200, "a batch was not taken: {}", answer["header"]["status_reason_code"]);
    assert_eq!(answer["message"]["transaction_id"], transaction_id(message), "it is answered under its own name");
    let items = answer["message"]["disbursements_status"].as_array().map_or(0, Vec::len);
    assert_eq!(items, message.items.len(), "every disbursement is answered");
}

/// The same names, and one disbursement more.
fn changed(message: &Batch) -> Batch {
    let mut changed = message.clone();
    changed.items.push(Item::to_account());
    changed
}
