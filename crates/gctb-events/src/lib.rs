//! The events of the bridge: what travels over Kafka, as domain types; their topics, keys and headers.
//!
//! Only this crate names prost. It does no I/O and knows neither Kafka clients nor SQL. An event is decoded entry by
//! entry: one that nobody can read leaves the others of its chunk alone (invariant I7).

mod chunks;
mod codec;
mod instruction;
mod outgoing;
mod payment;
mod progress;
mod status;
mod topics;
mod wire;

pub use chunks::{CHUNK_BYTES_MAX, CHUNK_ENTRIES_MAX, split_by_size};
pub use codec::{Decoded, Event, RefusedEntry, Undecodable};
pub use instruction::{Instruction, InstructionChunk};
pub use outgoing::{Headers, Outgoing, header};
pub use payment::{Payment, PaymentChunk};
pub use progress::BatchProgress;
pub use status::{LedgerEntry, StatusChunk};
pub use topics::{Topic, TopicDeclaration, TopicsError, declared_topics};
