//! G2P Connect JSON to and from the words of the domain: the disburse API as its server, the mapper API as its client.
//!
//! Messages are parsed once, borrowing from the bytes they came in; answers are written straight into bytes. Nothing
//! here does I/O, reads a clock, draws a random number, or knows of HTTP, SQL or Kafka. Where each rule comes from is
//! told in docs/protocols.md.

pub mod answer;
pub mod disburse;
mod header;
mod json;
mod mode;
mod refusal;
pub mod resolve;
pub mod status;
mod text;
mod time;

pub use header::Header;
pub use json::ShapeError;
pub use mode::Mode;
pub use refusal::{HeaderCode, HeaderRefusal, RefusedMessage, Rejected};
pub use time::TimeError;
