//! What the deployment decides about disbursements: limits and defaults, handed in by the caller.

use chrono::TimeDelta;
use gctb_domain::{Currency, FinancialAddress};

/// Most disbursements that one message may ever have, whatever the settings say: positions must fit rail keys, and a
/// message of tiny items must not fill the memory.
pub const HARD_DISBURSEMENTS_MAX: usize = 100_000;

/// Limits and defaults for disburse messages.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Most disbursements per message; at most [`HARD_DISBURSEMENTS_MAX`] count.
    pub max_disbursements: usize,
    /// Pays where an item names no payer; without it such items are refused.
    pub default_payer: Option<FinancialAddress>,
    /// The currency of items that name none; without it such items are refused.
    pub default_currency: Option<Currency>,
    /// How far ahead of its arrival a payment may be scheduled.
    pub max_schedule_ahead: TimeDelta,
}
