//! One payment of a called rail, as it stands in the rail's book. It must not know where the line is written.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One payment really made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paid<'a> {
    /// What the payer named the payment by: `OriginatorConversationID` or `homeTransactionId`; nothing on a rail without one.
    #[serde(borrow)]
    pub(crate) key: Option<Cow<'a, str>>,
    /// Who got the money: MSISDN, e-mail or party.
    #[serde(borrow)]
    pub(crate) account: Cow<'a, str>,
    /// What the account got, in minor units of the currency.
    pub(crate) amount_minor: u64,
    #[serde(borrow)]
    pub(crate) currency: Cow<'a, str>,
    /// The rail's own name for the payment: receipt, statement number or `transferId`.
    #[serde(borrow)]
    pub(crate) reference: Cow<'a, str>,
    pub(crate) time: DateTime<Utc>,
}
