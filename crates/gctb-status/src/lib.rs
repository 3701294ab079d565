//! gctb-status: folds what the ledger says into the projection that senders read, and keeps batches moving.
//!
//! Four things, each in a file: it folds status events ([`StatusFolder`]), emits again what got lost ([`Sweeper`]), keeps
//! monthly partitions ahead, and counts what people must look at. It decides nothing about payments: the ledger does, and
//! every message may come again, in any order, on two replicas at once (invariant I5).

mod attention;
mod consumers;
mod fold;
mod partitions;
mod reduce;
mod run;
mod settings;
mod sweeper;

pub use fold::StatusFolder;
pub use run::run;
pub use settings::{AttentionSettings, IDENTITY, PartitionSettings, Settings, SweepSettings, UnusableSetting};
pub use sweeper::{Round, Sweeper};
