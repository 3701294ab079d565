//! Makes the calls of a window or of a chore, all at once, and says what was learnt by each.
//!
//! A call is begun only if it ends before the claim does. On a two-phase rail all are prepared, then what they are called there is
//! noted in Postgres, and only then they are paid.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gctb_db::{BatchWords, Todo, Word};
use gctb_domain::paying::Learnt;
use gctb_domain::{BatchId, Seq};
use tokio::time::timeout;
use uuid::Uuid;

use crate::lease::Lease;
use crate::pace::Summary;
use crate::rail::{Hold, Order, PaymentBackend, Reply};
use crate::world::World;

/// Longest words of a rail that the ledger keeps, in characters.
const MESSAGE_CHARS_MAX: usize = 300;
/// How much later than its own deadline a call that does not end is given up.
const GRACE: Duration = Duration::from_secs(1);

/// A call to be made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) seq: Seq,
    pub(crate) attempt: i16,
    pub(crate) todo: Todo,
    pub(crate) order: Order,
}

/// Calls about instructions of one batch, for one row of `ledger_work`.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) batch: BatchId,
    pub(crate) work: Uuid,
    pub(crate) traceparent: Option<String>,
    pub(crate) calls: Vec<Call>,
}

/// What was learnt.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(crate) words: Vec<BatchWords>,
    pub(crate) summary: Summary,
    /// That the rail pays nobody.
    pub(crate) hold: Option<Hold>,
}

/// Makes the calls and waits for all of them.
pub(crate) fn make<R: PaymentBackend>(world: &World<R>, batches: Vec<Calls>, lease: Lease) -> Learned {
    let mut learned = Learned::default();
    if batches.is_empty() {
        return learned;
    }
    // One number for all calls over all batches; a reply comes back with it.
    let all: Vec<Call> = batches.iter().flat_map(|batch| batch.calls.iter().cloned()).collect();
    let mut replies: Vec<Option<Reply>> = vec![None; all.len()];
    let numbered: Vec<(usize, Call)> = all.into_iter().enumerate().collect();
    if world.kind.two_phase {
        let (sends, others): (Vec<_>, Vec<_>) = numbered.into_iter().partition(|(_, call)| call.todo == Todo::Send);
        at_once(world, others, lease, Step::AsItSays, &mut replies);
        let sends = match world.rail.handle_in_doubt() {
            Some(name) => note_handles(world, &batches, named(sends, name), &mut replies),
            None => sends,
        };
        at_once(world, sends.clone(), lease, Step::Prepare, &mut replies);
        let prepared = prepared(sends, &replies);
        let prepared = note_handles(world, &batches, prepared, &mut replies);
        at_once(world, prepared, lease, Step::Pay, &mut replies);
    } else {
        at_once(world, numbered, lease, Step::AsItSays, &mut replies);
    }
    let mut replies = replies.into_iter();
    for batch in batches {
        let Calls { batch, work, traceparent, calls } = batch;
        let words = calls.iter().filter_map(|call| {
            let reply = replies.next()??;
            world.meters.called(call.todo, reply.learnt);
            learned.learn(call.todo, &reply);
            Some(word(call, reply))
        });
        let words = words.collect();
        learned.words.push(BatchWords { batch, work: Some(work), traceparent, words });
    }
    learned
}

/// Which call of a payment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// What the call is to do; paying, on a rail with one phase.
    AsItSays,
    Prepare,
    Pay,
}

/// Makes calls at the same time and puts each reply into its place. A call that could outlive the claim is not begun: what it was
/// to send is told as not sent, and about what it was to ask nothing is told.
fn at_once<R: PaymentBackend>(
    world: &World<R>,
    calls: Vec<(usize, Call)>,
    lease: Lease,
    step: Step,
    replies: &mut [Option<Reply>],
) {
    if calls.is_empty() {
        return;
    }
    let numbers: Vec<(usize, Todo)> = calls.iter().map(|(number, call)| (*number, call.todo)).collect();
    let (rail, deadline) = (Arc::clone(&world.rail), world.rail.deadline());
    let together = async move {
        let mut under_way: FuturesUnordered<_> =
            calls.into_iter().map(|(number, call)| one(&*rail, number, call, lease, step, deadline)).collect();
        let mut ended = Vec::with_capacity(under_way.len());
        while let Some(reply) = under_way.next().await {
            ended.push(reply);
        }
        ended
    };
    // On the thread of the connections, so that no call wakes up another thread.
    let task = world.runtime.spawn(together);
    match world.runtime.block_on(task) {
        Ok(ended) => ended.into_iter().for_each(|(number, reply)| {
            if reply.is_some() {
                replies[number] = reply;
            }
        }),
        Err(broken) => {
            tracing::error!(error = %broken, "calls to the rail broke off; what they were about is asked about or left to an operator");
            for (number, _) in numbers {
                replies[number] = Some(Reply::of(Learnt::Nothing, "the call broke off inside the bridge"));
            }
        }
    }
}

async fn one<R: PaymentBackend>(
    rail: &R,
    number: usize,
    call: Call,
    lease: Lease,
    step: Step,
    deadline: Duration,
) -> (usize, Option<Reply>) {
    if !lease.outlasts(deadline + GRACE) {
        let too_late = Reply::of(Learnt::NotSent, "not sent: the claim would have ended first");
        return (number, (call.todo == Todo::Send).then_some(too_late));
    }
    let order = &call.order;
    let reply = match (step, call.todo) {
        (Step::Prepare, _) => timeout(deadline + GRACE, rail.prepare(order)).await,
        (Step::Pay, _) | (Step::AsItSays, Todo::Send) => timeout(deadline + GRACE, rail.pay(order)).await,
        (Step::AsItSays, Todo::Ask) => timeout(deadline + GRACE, rail.inquire(order)).await,
        (Step::AsItSays, Todo::Fence) => timeout(deadline + GRACE, rail.fence(order)).await,
    };
    let given_up = |_| Reply::of(Learnt::Nothing, "the call did not end within its deadline");
    (number, Some(reply.unwrap_or_else(given_up)))
}

/// The payments, each called so.
fn named(mut sends: Vec<(usize, Call)>, name: &str) -> Vec<(usize, Call)> {
    sends.iter_mut().for_each(|(_, call)| call.order.handle = Some(name.to_owned()));
    sends
}

/// Those that have the leave to pay, each with what the rail calls it.
fn prepared(sends: Vec<(usize, Call)>, replies: &[Option<Reply>]) -> Vec<(usize, Call)> {
    let ready = |(number, mut call): (usize, Call)| {
        let reply = replies[number].as_ref().filter(|reply| reply.learnt == Learnt::Accepted)?;
        call.order.handle = Some(reply.handle.clone()?);
        Some((number, call))
    };
    sends.into_iter().filter_map(ready).collect()
}

/// Notes what payments are called at the rail, and gives those that may go on: the others are told as not sent.
fn note_handles<R: PaymentBackend>(
    world: &World<R>,
    batches: &[Calls],
    mut prepared: Vec<(usize, Call)>,
    replies: &mut [Option<Reply>],
) -> Vec<(usize, Call)> {
    let mut first = 0;
    for batch in batches {
        let mine = first..first + batch.calls.len();
        first = mine.end;
        let handles: Vec<(Seq, String)> = prepared
            .iter()
            .filter(|(number, _)| mine.contains(number))
            .filter_map(|(_, call)| Some((call.seq, call.order.handle.clone()?)))
            .collect();
        if handles.is_empty() {
            continue;
        }
        let why_not = match world.db.note_handles(batch.work, &handles) {
            Ok(true) => continue,
            Ok(false) => "not sent: the claim had ended",
            Err(error) => {
                tracing::warn!(error = %gctb_runtime::chain(&error), "prepared payments are not paid, since what the rail calls them could not be noted");
                "not sent: what the rail calls it could not be noted"
            }
        };
        for (number, _) in prepared.extract_if(.., |(number, _)| mine.contains(number)) {
            replies[number] = Some(Reply::of(Learnt::NotSent, why_not));
        }
    }
    prepared
}

/// Leaves one send in a window and takes out all others, which are told as not sent.
pub(crate) fn all_but_one(batches: &mut [Calls]) -> Vec<(Uuid, Word)> {
    let mut first = true;
    let mut taken_out = Vec::new();
    for batch in batches {
        let others =
            batch.calls.extract_if(.., |call| call.todo == Todo::Send && !std::mem::replace(&mut first, false));
        taken_out.extend(others.map(|call| (batch.work, not_called(&call))));
    }
    taken_out
}

/// The word about a payment for which there was no time or no room.
pub(crate) fn not_called(call: &Call) -> Word {
    word(call, Reply::of(Learnt::NotSent, "not sent: there was no room for the call"))
}

impl Learned {
    /// Adds words about payments of the same windows that were not called.
    pub(crate) fn tell_too(&mut self, not_called: Vec<(Uuid, Word)>) {
        for (work, word) in not_called {
            if let Some(words) = self.words.iter_mut().find(|words| words.work == Some(work)) {
                words.words.push(word);
            }
        }
    }

    fn learn(&mut self, todo: Todo, reply: &Reply) {
        let summary = &mut self.summary;
        // Turned away with a wish to be left alone is an answer.
        if reply.answered || reply.slow_down.is_some() {
            summary.answered += 1;
        } else {
            summary.failed += 1;
        }
        summary.paid += u32::from(todo == Todo::Send && reply.learnt == Learnt::Paid);
        summary.slow_down = summary.slow_down.max(reply.slow_down);
        self.hold = self.hold.max(holds_payments(todo != Todo::Send, reply));
    }
}

/// What a reply says about the payments of everybody. That a question is not permitted says nothing about payments.
pub(crate) fn holds_payments(is_of_question: bool, reply: &Reply) -> Option<Hold> {
    reply.hold.filter(|hold| !is_of_question || *hold >= Hold::CredentialsRefused)
}

fn word(call: &Call, reply: Reply) -> Word {
    let Reply { learnt, handle, rail_reference, reason, message, answered: _, hold, slow_down } = reply;
    Word {
        seq: call.seq,
        attempt: call.attempt,
        learnt,
        sends: call.order.sends,
        quiet: call.todo != Todo::Send && call.order.quiet,
        fenced: call.todo == Todo::Fence && matches!(learnt, Learnt::Refused { .. }),
        amount: None,
        handle: handle.map(|handle| plain(&handle)),
        rail_reference: rail_reference.map(|reference| plain(&reference)),
        reason,
        refuses_everybody: hold.is_some(),
        message: plain(&message),
        send_after: slow_down.unwrap_or_default(),
    }
}

/// A rail's words as Postgres takes them.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MESSAGE_CHARS_MAX).collect()
}
