//! The words of the bridge as types: ids that do not mix, exact money, financial addresses, reason codes and the one
//! state machine of the payment ledger.
//!
//! Nothing here does I/O, reads a clock or knows of JSON, SQL or Kafka.

mod address;
mod backend;
mod ids;
mod ledger;
mod money;
pub mod paying;
mod rail_key;
mod reason;
mod status;
mod strategy;

pub use address::{AddressError, FinancialAddress, MAX_ADDRESS_CHARS};
pub use backend::{BackendName, BackendNameError};
pub use ids::{BatchId, BatchNo, InstructionId, Seq};
pub use ledger::{IllegalTransition, LedgerState, News, Step};
pub use money::{Currency, Money, MoneyError, NO_CURRENCY};
pub use rail_key::{MAX_ATTEMPT, MAX_BATCH_NO, MAX_SEQ, RailKey, RailKeyError};
pub use reason::ReasonCode;
pub use status::{G2pStatus, PaymentStatus};
pub use strategy::{
    AddressParts, FaKind, FaStrategies, FaStrategy, FaStrategySetting, StrategyError, default_strategies,
};
