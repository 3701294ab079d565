//! What every payment backend over a called rail shares: the trait that such a rail adds, and all that surrounds its calls -
//! claims, windows, leases, pace, holds, what comes due later - so that a new rail is a page of calls and answers.
//!
//! What follows from what was learnt is decided by `gctb-domain` and written by `gctb-db`
//! (docs/decisions/0008-paying-over-rails-that-are-called.md). This crate must not know any rail's protocol.

mod calls;
mod chores;
mod claims;
#[cfg(feature = "conformance")]
pub mod conformance;
mod holds;
mod intake;
mod lane;
mod lease;
mod meters;
mod pace;
mod rail;
mod service;
mod settings;
mod world;

pub use lease::Deadline;
pub use rail::{Hold, Order, PaymentBackend, Refusal, Reply};
pub use service::{BackendSettings, Listening, ServiceSettings, Surroundings, run};
pub use settings::{RailSettings, UnusableRailSetting};
pub use world::{Affordable, FundsGate, RailSignals};
