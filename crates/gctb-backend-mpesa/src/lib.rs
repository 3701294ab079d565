//! Pays over M-Pesa: Safaricom's Daraja B2C (version 3), and the simple-mpesa simulator that the original bridge used.
//!
//! Two rails for the kit of `gctb-backend`: they make calls and say what the answers mean, know nothing of the ledger, and decide
//! nothing. Beside them stands the listener for Daraja's callbacks, which hands to the ledger what they say. Nothing here knows
//! Kafka. Outside facts stand in docs/protocols.md, "M-Pesa".

mod amounts;
pub mod callbacks;
mod codes;
#[cfg(test)]
mod conformance;
pub mod daraja;
pub mod funds;
mod http;
mod msisdn;
mod service;
mod settings;
mod setup;
pub mod simple;
#[cfg(test)]
mod testing;
mod text;
mod tokens;

pub use callbacks::Callbacks;
pub use daraja::Daraja;
pub use funds::Funds;
pub use msisdn::Msisdn;
pub use service::{Settings, run};
pub use settings::{
    DarajaSettings, IDENTITY, ListenerSettings, MpesaSettings, MsisdnSettings, Profile, SimpleSettings,
};
pub use setup::SetupError;
pub use simple::Simple;
