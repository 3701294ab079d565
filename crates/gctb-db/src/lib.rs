//! All that the bridge says to Postgres: one file per table or task, verbs on [`Db`].
//!
//! Only this crate names diesel. It knows the tables, the locks and what belongs into one commit; it knows neither
//! Kafka nor HTTP. Every verb blocks: call it from a thread that may.

mod admission;
mod batches;
mod claim;
mod conflicts;
mod controls;
mod copy;
mod error;
mod file_delivery;
mod fold;
mod incoming;
mod instructions;
mod ledger;
mod line;
mod migrations;
mod operators;
mod ordered;
mod outbox;
mod outgoing_files;
mod pool;
mod rails;
mod reject;
mod schema;
mod settle;
mod stretches;
mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
mod totals;

pub use admission::Claim;
pub use batches::{BatchRow, Intake, NewBatch, NewInstruction, Refusal};
pub use claim::{ClaimOutcome, FileGroup, FilePlace};
pub use conflicts::{ConflictRow, ExceptionRow};
pub use controls::ControlState;
pub use error::{DbError, Fate};
pub use file_delivery::{Beginning, PutNumber, PutOutcome, Resolution};
pub use fold::{FoldOutcome, MAX_FOLD_ENTRIES};
pub use incoming::{IncomingFile, IncomingState, Registration};
pub use instructions::InstructionRow;
pub use migrations::{MigrationReport, SchemaState};
pub use ordered::Ordered;
pub use outbox::{LeasedRow, OutboxKind, OutboxRow};
pub use outgoing_files::{FileState, OutgoingFile, PaymentLine};
pub use pool::{Db, DbOptions};
pub use rails::{
    AttemptStanding, BatchClaims, BatchWords, ByHand, DueAttempt, DueWork, Evidence, HeldBatch, Holder,
    InstructionAttempts, InstructionName, NewException, NextStep, OpenPayment, PastAttempt, PersonsWord,
    PostponedPayment, RailControl, RailException, RailGate, RailOrder, RailOrdered, RailState, Resolved, Step,
    StoppedRail, Todo, Turn, Turned, WaitingPayment, Word,
};
pub use reject::{Decided, Rejection};
pub use settle::{FileLine, LineException, SettleOutcome};
pub use sweep::{DueSweep, StrandedBatch, SweepOutcome};
pub use totals::{Progress, TotalRow};
