//! What every payment backend over a called rail shares: today the trait that such a rail adds to it.
//!
//! It must not know any rail's protocol.

mod rail;

pub use rail::{Hold, Order, PaymentBackend, Refusal, Reply};
