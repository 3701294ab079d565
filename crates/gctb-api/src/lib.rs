//! gctb-api: takes disbursement batches over the synchronous G2P Connect API, stores them in one commit each, and tells
//! what became of their disbursements.
//!
//! It acknowledges nothing that is not committed (invariant I1), needs no Kafka to accept (invariant I8), and decides
//! about payments only by refusing items at intake. docs/ARCHITECTURE.md traces one payment through it.

mod answers;
mod body;
mod budget;
mod docs;
mod intake;
mod listen;
mod metrics;
mod outbox_rows;
mod pieces;
mod readiness;
mod reply;
mod routes;
mod rows;
mod run;
mod server;
mod settings;
mod status;
mod world;

pub use run::run;
pub use settings::{IDENTITY, Settings};

#[cfg(test)]
mod tests;
