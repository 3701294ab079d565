//! The ledger of rails that are called: windows, what was learnt, and what needs attention later
//! (docs/decisions/0008-paying-over-rails-that-are-called.md).
//!
//! What follows from what was learnt is decided by `gctb_domain::paying`; here it is read, locked and written down.

mod control;
mod due;
mod evidence;
mod exceptions;
mod handles;
mod holder;
mod open_payment;
mod operator;
mod poison;
mod record;
mod row;
mod taking;
mod turn;
mod views;
mod work;

use std::time::Duration;

use gctb_domain::paying::Learnt;
use gctb_domain::{BatchId, BatchNo, Money, ReasonCode, Seq};
use uuid::Uuid;

use crate::admission::Claim;
use crate::outbox::OutboxRow;

pub use control::{ByHand, RailControl, RailGate, RailOrder, RailOrdered, RailState};
pub use evidence::Evidence;
pub use exceptions::{NewException, RailException};
pub use holder::Holder;
pub use open_payment::OpenPayment;
pub use operator::{PersonsWord, Resolved, WaitingPayment};
pub use views::{
    AttemptStanding, HeldBatch, InstructionAttempts, InstructionName, NextStep, PastAttempt, PostponedPayment, Step,
    StoppedRail,
};

/// What was learnt about one instruction.
#[derive(Clone, Debug)]
pub struct Word {
    /// Its position.
    pub seq: Seq,
    /// The attempt that it is about.
    pub attempt: i16,
    /// What.
    pub learnt: Learnt,
    /// How many sends the ledger had counted when the rail was sent it or asked; 0 where the bearer cannot know. What was asked
    /// before a later send says nothing about that one.
    pub sends: i16,
    /// Whether nothing of the attempt could be under way when the rail was asked. Never for the answer to a send.
    pub quiet: bool,
    /// Whether the rail has confirmed that what was prepared is impossible.
    pub fenced: bool,
    /// The amount that the rail says it about, if it names one.
    pub amount: Option<Money>,
    /// What the rail calls the attempt.
    pub handle: Option<String>,
    /// The rail's reference of the payment.
    pub rail_reference: Option<String>,
    /// Why it was refused.
    pub reason: Option<ReasonCode>,
    /// Whether the rail refuses everybody at the moment: such a refusal does not count against the payment's attempts.
    pub refuses_everybody: bool,
    /// The rail's code and words.
    pub message: String,
    /// How long to wait before the next send, where the rail wants to be left alone.
    pub send_after: Duration,
}

/// What was learnt about instructions of one batch.
#[derive(Clone, Debug)]
pub struct BatchWords {
    /// The batch.
    pub batch: BatchId,
    /// The row of `ledger_work` that the calls were for, which ends with this. None: nobody's in particular, such as a callback.
    /// Where the row is gone, these words were told before or a successor has taken over: they come from somebody else.
    pub work: Option<Uuid>,
    /// The trace to go on with.
    pub traceparent: Option<String>,
    /// What was learnt.
    pub words: Vec<Word>,
}

/// Instructions of one batch that a backend wants to claim.
#[derive(Clone, Debug)]
pub struct BatchClaims {
    /// The batch.
    pub batch: BatchId,
    /// Its short number.
    pub batch_no: BatchNo,
    /// The trace to go on with.
    pub traceparent: Option<String>,
    /// The claims.
    pub claims: Vec<Claim>,
}

/// What one commit does for a lane: it records its last window, and claims its next one.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// What was learnt by the calls of the last window.
    pub words: Vec<BatchWords>,
    /// What is to be claimed.
    pub claims: Vec<BatchClaims>,
}

/// What a turn came to.
#[derive(Clone, Debug, Default)]
pub struct Turned {
    /// Positions that are claimed, for each of the turn's claims in their order: these may be sent, and no others.
    pub claimed: Vec<Vec<Seq>>,
    /// The window of each of the turn's claims, where something is claimed: the work of the words about it.
    pub windows: Vec<Option<Uuid>>,
    /// Whether the rail may be used; where it is stopped nothing was claimed. Open where the turn claims nothing: nobody looked.
    pub rail: RailGate,
    /// Instructions that had a row already.
    pub already_known: usize,
    /// Instructions that are not due yet, or whose batch is held; the sweeper brings them again.
    pub not_now: usize,
    /// Rows inserted as REJECTED.
    pub rejected: usize,
    /// Rows inserted as CANCELLED.
    pub cancelled: usize,
    /// Ledger rows that changed by what was learnt.
    pub recorded: usize,
    /// Contradictions that were met.
    pub conflicts: usize,
    /// What nobody believed.
    pub exceptions: usize,
    /// The outbox rows that were committed, to be published from memory.
    pub outbox: Vec<OutboxRow>,
}

/// What is to be done about an attempt that came due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Todo {
    /// Ask the rail.
    Ask,
    /// Send it: the ledger has counted the send.
    Send,
    /// Make impossible what was prepared, then ask.
    Fence,
}

/// An attempt that came due and is this process's now.
#[derive(Clone, Debug)]
pub struct DueAttempt {
    /// Its position.
    pub seq: Seq,
    /// Which attempt.
    pub attempt: i16,
    /// What is to be done.
    pub todo: Todo,
    /// How many sends the ledger has counted: the words about this carry it.
    pub sends: i16,
    /// Whether nothing of it can be under way now.
    pub quiet: bool,
    /// What the rail calls it.
    pub handle: Option<String>,
    /// Payee's address.
    pub resolved_fa: String,
    /// How much.
    pub amount: Money,
    /// For the rail.
    pub payee_name: String,
    /// For the payee's statement.
    pub narrative: String,
}

/// What came due of one batch.
#[derive(Clone, Debug)]
pub struct DueWork {
    /// Whether the rail may be used. Where it is stopped, the attempts are questions alone.
    pub rail: RailGate,
    /// The row of `ledger_work`: the work of the words about it.
    pub work: Uuid,
    /// The batch.
    pub batch: BatchId,
    /// Its short number.
    pub batch_no: BatchNo,
    /// The attempts.
    pub attempts: Vec<DueAttempt>,
    /// The outbox rows that were committed, to be published from memory.
    pub outbox: Vec<OutboxRow>,
}
