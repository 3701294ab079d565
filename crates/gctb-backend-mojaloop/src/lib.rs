//! The payment backend of Mojaloop: pays through a Mojaloop scheme by way of an SDK scheme adapter, in two
//! phases.
//!
//! It calls the adapter and reads its answers (docs/protocols.md, "Mojaloop SDK scheme adapter"). What follows from
//! them, when it is called and by whom is the backend kit's. It must not know how the ledger is kept.

mod amount;
mod answer;
mod codes;
mod http;
mod party;
mod quote;
mod rail;
mod reading;
mod request;
mod service;
mod settings;
mod text;

#[cfg(test)]
mod tests;

pub use party::{IdType, PartyRuleError, PartyRuleSetting};
pub use rail::{MojaloopRail, RailError};
pub use service::{IDENTITY, Settings, run};
pub use settings::{AdapterSettings, FeeSettings, MojaloopSettings, PayerSettings, PayerType, UnusableSetting};
