//! What operators do. Each verb is a file; what they share is how to reach Postgres and Kafka, and who acts.

pub(crate) mod conflicts;
pub(crate) mod dead;
pub(crate) mod exceptions;
pub(crate) mod files;
pub(crate) mod migrate;
pub(crate) mod payments;
pub(crate) mod rail;
pub(crate) mod replay;
pub(crate) mod topics;

mod actor;
mod reach;
mod time;

/// Says that a list was cut, where it was.
fn cut_notice(shown: usize, limit: u32) {
    if shown as u64 == u64::from(limit) {
        eprintln!("gctb: only the first {limit} were taken; take more with --limit.");
    }
}
