//! Pays over M-Pesa: Safaricom's Daraja B2C (version 3), and the simple-mpesa simulator that the original bridge used.
//!
//! Two rails for the kit of `gctb-backend`: they make calls and say what the answers mean. They know nothing of the ledger, of
//! Postgres or of Kafka, and decide nothing. Outside facts stand in docs/protocols.md, "M-Pesa".

mod amounts;
mod codes;
pub mod daraja;
mod http;
mod msisdn;
mod settings;
mod setup;
pub mod simple;
#[cfg(test)]
mod testing;
mod text;
mod tokens;

pub use daraja::Daraja;
pub use msisdn::Msisdn;
pub use settings::{DarajaSettings, IDENTITY, MpesaSettings, MsisdnSettings, Profile, SimpleSettings};
pub use setup::SetupError;
pub use simple::Simple;
