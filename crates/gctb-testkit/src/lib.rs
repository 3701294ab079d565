//! For tests only: the real servers that `make test` starts, one database per test, and waiting with a deadline.

mod database;
mod servers;
mod wait;

pub use database::TestDatabase;
pub use servers::{database, kafka, skipped};
pub use wait::{eventually, eventually_within};
