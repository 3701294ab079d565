//! The payment backend for banks that take files: claims instructions into payment files, puts each file once into the
//! bank's folder, and reads what the bank answers.
//!
//! What is paid is decided by the ledger alone (`gctb-db`); this crate knows the layout of the files, the bank's words
//! and the folder. It must not know how an id becomes an address.

pub mod answers;
pub mod claims;
pub mod deliver;
pub mod layout;
pub mod reasons;
pub mod response;
mod service;
pub mod settings;
pub mod store;

pub use service::{IDENTITY, run};
