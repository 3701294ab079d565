//! What the parts of a backend share.

use std::sync::Arc;
use std::time::Instant;

use gctb_db::{Db, Holder, OutboxRow, RailGate};
use gctb_domain::paying::{Learnt, RailKind};
use gctb_runtime::Shutdown;
use tokio::runtime::Handle;

use crate::calls::holds_payments;
use crate::holds::Holds;
use crate::intake::Intake;
use crate::meters::Meters;
use crate::pace::{Pace, Summary};
use crate::rail::{Hold, PaymentBackend, Reply};
use crate::settings::RailSettings;

/// Sends rows that are committed, soon.
pub(crate) type Publish = Box<dyn Fn(Vec<OutboxRow>) + Send + Sync>;
/// Whether the payer's account can pay so much, in minor units.
pub type FundsGate = Box<dyn Fn(i64) -> Affordable + Send + Sync>;

/// What is known of the payer's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Affordable {
    /// It holds so much.
    Yes,
    /// It does not.
    No,
    /// No balance was told lately.
    Unknown,
}

/// Shared by the consumer, the lanes and the chores.
pub(crate) struct World<R> {
    pub(crate) rail: Arc<R>,
    pub(crate) kind: RailKind,
    pub(crate) db: Db,
    pub(crate) holder: Holder,
    pub(crate) settings: RailSettings,
    pub(crate) pace: Arc<Pace>,
    pub(crate) intake: Intake,
    pub(crate) holds: Arc<Holds>,
    pub(crate) funds: FundsGate,
    pub(crate) publish: Publish,
    pub(crate) meters: Meters,
    /// Where calls are made.
    pub(crate) runtime: Handle,
    pub(crate) shutdown: Shutdown,
}

impl<R: PaymentBackend> World<R> {
    /// Takes in what calls said about the rail itself. `gate` is how it stood when they were begun.
    pub(crate) fn learn(&self, summary: Summary, hold: Option<Hold>, gate: RailGate) {
        let now = Instant::now();
        self.pace.learn(summary, now);
        if let Some(hold) = hold {
            self.holds.found(hold);
            self.pace.try_with_one(now);
        } else if gate == RailGate::Probe && summary.paid > 0 {
            self.holds.pays_again();
        } else if gate == RailGate::Probe {
            // What it acknowledged is paid or refused later, and elsewhere: until then it gets one at a time, and not many.
            self.pace.try_with_one_later(now);
        }
        match self.pace.closed_for(now) {
            Some(rest) if summary.answered == 0 => self.holds.silent(rest),
            Some(_) | None if summary.answered > 0 => self.holds.answers(),
            Some(_) | None => {}
        }
    }
}

/// Where a rail's listener tells what it heard about the rail itself. Cheap to clone.
#[derive(Clone)]
pub struct RailSignals {
    pub(crate) pace: Arc<Pace>,
    pub(crate) holds: Arc<Holds>,
}

impl RailSignals {
    /// Whether this process found that the rail refuses its credentials or has locked them, and nobody has acted since.
    pub fn is_held(&self) -> bool {
        self.holds.waits_for_a_person()
    }

    /// Takes in what an answer that came elsewhere says about the rail: that it pays again, pays nobody, or wants to be left alone.
    /// Before the next claim it is written where every replica reads it. `is_of_question`: nothing was sent for it, a question
    /// was asked.
    pub fn heard(&self, reply: &Reply, is_of_question: bool) {
        let now = Instant::now();
        if let Some(how_long) = reply.slow_down {
            self.pace.slow_down(how_long, now);
        }
        if let Some(hold) = holds_payments(is_of_question, reply) {
            self.holds.found(hold);
            self.pace.try_with_one(now);
        } else if reply.learnt == Learnt::Paid && !is_of_question {
            self.holds.pays_again();
        }
    }
}
