//! The harness of the system tests: the real binaries as processes, on a real Postgres and a real Kafka, with the simulator
//! as mapper and bank, and the questions that tests ask about them.
//!
//! It knows the services by their settings, pages, topics and tables alone, as an operator does, and never calls their code.
//! What became of a batch it asks of four witnesses (the status API, the tables, the ledger, the bank's own book), and
//! [`equation`] holds them against each other.

pub mod bank;
pub mod batch;
pub mod consumer;
pub mod crash_points;
pub mod doomed;
mod draw;
pub mod equation;
pub mod http;
pub mod kafka;
pub mod mount;
pub mod news;
pub mod own_kafka;
pub mod own_postgres;
pub mod process;
pub mod prove;
pub mod proxy;
pub mod rails;
pub mod replica;
pub mod secrets;
pub mod service;
pub mod signs;
pub mod soak;
pub mod system;
pub mod tables;
pub mod traces;

pub use batch::{Batch, Item};
pub use consumer::Consumer;
pub use replica::Replica;
pub use service::Service;
pub use system::{Options, Sent, System};
