//! Messages that no service of a test has sent: what a restored database, or somebody else's Kafka, may bring.

use gctb_domain::{BackendName, BatchId, LedgerState, Seq};
use gctb_events::{LedgerEntry, StatusChunk};
use uuid::Uuid;

/// A batch that no database has heard of.
pub fn unknown_batch() -> BatchId {
    BatchId::from_uuid(Uuid::now_v7())
}

/// The news that the first instruction of this batch was paid by a file.
pub fn news_of_a_payment(batch_id: BatchId) -> StatusChunk {
    let entry = LedgerEntry {
        seq: Seq(0),
        version: 1,
        state: LedgerState::Paid,
        attempt: 1,
        backend: BackendName::parse("file").ok(),
        resolved_fa: String::new(),
        file: None,
        rail_reference: None,
        reason: None,
        message: String::new(),
        changed_at: chrono::Utc::now(),
    };
    StatusChunk { batch_id, outbox_id: Uuid::new_v4(), entries: vec![entry] }
}
