//! The verbs of gctb-db on a real Postgres, a database per test.

mod claims;
mod files;
mod fold;
mod intake;
mod lookup;
mod migrations;
mod outbox;
mod rails;
mod settle;
mod sums;
mod world;
