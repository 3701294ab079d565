//! What a rail that is called adds to the kit: what it can do, how it is asked to pay, and what its answers mean.
//!
//! A rail makes calls and reads answers. It writes nothing down and decides nothing: when it is called, how often, by whom
//! and what follows is the kit's (docs/decisions/0008-paying-over-rails-that-are-called.md).

use std::fmt;
use std::time::Duration;

use gctb_domain::paying::{Learnt, RailKind};
use gctb_domain::{FinancialAddress, Money, RailKey, ReasonCode};

/// One attempt to pay, as it stands in the ledger. Shown for debugging, it tells nothing of the payee.
#[derive(Clone)]
pub struct Order {
    /// Our own key of the attempt: the same each time it is sent or asked about.
    pub key: RailKey,
    /// What the rail called the attempt in an earlier answer, if it was recorded.
    pub handle: Option<String>,
    /// How many sends the ledger had counted when this call was begun, this one included.
    pub sends: i16,
    /// Whether nothing of the attempt could be under way when this call was begun.
    pub quiet: bool,
    /// Who is paid.
    pub to: FinancialAddress,
    /// How much.
    pub amount: Money,
    /// For the rail, as the sender gave it.
    pub payee_name: String,
    /// For the payee's statement.
    pub narrative: String,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("key", &self.key).field("sends", &self.sends).finish_non_exhaustive()
    }
}

/// Why an order cannot be sent over this rail at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code that the sender reads.
    pub reason: ReasonCode,
    /// A sentence about it, without anything of the order in it.
    pub message: String,
}

/// Why a rail pays nobody at the moment, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// The payer's account is short of funds.
    NoFunds,
    /// We are not set up for what we ask.
    NotPermitted,
    /// The rail does not take our credentials.
    CredentialsRefused,
    /// The account or its credential is locked; each further call may make it worse.
    Locked,
}

/// What was learnt by one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// About the attempt.
    pub learnt: Learnt,
    /// What the rail calls the attempt: what one asks by later.
    pub handle: Option<String>,
    /// The rail's reference of the payment.
    pub rail_reference: Option<String>,
    /// Why it was refused.
    pub reason: Option<ReasonCode>,
    /// The rail's code and words, without anything of the order in them.
    pub message: String,
    /// Whether the rail itself answered, whatever it said: who does not answer is left alone after a while.
    pub answered: bool,
    /// That nobody else will be paid either.
    pub hold: Option<Hold>,
    /// How long the rail wants to be left alone.
    pub slow_down: Option<Duration>,
}

impl Reply {
    /// A reply that says this alone. The rail has answered, unless nothing was learnt or sent.
    pub fn of(learnt: Learnt, message: impl Into<String>) -> Self {
        Self {
            answered: !matches!(learnt, Learnt::NotSent | Learnt::Nothing | Learnt::Unanswerable),
            learnt,
            handle: None,
            rail_reference: None,
            reason: None,
            message: message.into(),
            hold: None,
            slow_down: None,
        }
    }
}

/// A rail that is called. Every call ends within [`PaymentBackend::deadline`], and makes no second try of its own.
pub trait PaymentBackend: Send + Sync + 'static {
    /// What the rail can do.
    fn kind(&self) -> RailKind;

    /// How long one call may take at most.
    fn deadline(&self) -> Duration;

    /// Looks at an order before any call.
    ///
    /// # Errors
    /// Where this rail could never pay it.
    fn check(&self, to: &FinancialAddress, amount: Money) -> Result<(), Refusal>;

    /// Prepares a payment without moving money, on a two-phase rail. [`Learnt::Accepted`] with a handle is the leave to pay.
    fn prepare(&self, order: &Order) -> impl Future<Output = Reply> + Send {
        let _ = order;
        async { Reply::of(Learnt::Accepted, "") }
    }

    /// What an attempt is called while it is prepared, on a two-phase rail of which it is not certain yet that preparing moves
    /// no money. It is noted before [`PaymentBackend::prepare`] is called with it, so that an attempt whose answer was lost is
    /// not taken for one that nobody paid: asked by it, the rail says [`Learnt::Unanswerable`]. None: it is certain.
    fn handle_in_doubt(&self) -> Option<&'static str> {
        None
    }

    /// Pays.
    fn pay(&self, order: &Order) -> impl Future<Output = Reply> + Send;

    /// Asks what became of it. A rail that answers later, elsewhere, says [`Learnt::Nothing`].
    fn inquire(&self, order: &Order) -> impl Future<Output = Reply> + Send;

    /// Makes impossible what was prepared, on a two-phase rail, and says [`Learnt::Refused`] once the rail has confirmed it.
    fn fence(&self, order: &Order) -> impl Future<Output = Reply> + Send {
        let _ = order;
        async { Reply::of(Learnt::Nothing, "the rail has no second phase") }
    }
}
