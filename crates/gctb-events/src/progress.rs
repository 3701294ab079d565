//! A batch finished, or changed after it had: topic `gctb.completions`. It wakes the callback; Postgres has the facts.

use gctb_domain::BatchId;
use prost::Message;

use crate::codec::{Decoded, Event, Undecodable, not_protobuf, uuid};
use crate::wire;

/// The totals of a batch reached this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchProgress {
    /// The batch.
    pub batch_id: BatchId,
    /// The version of its totals.
    pub totals_version: i64,
}

impl Event for BatchProgress {
    const SCHEMA: &'static str = "gctb.v1.BatchProgress";

    fn key(&self) -> String {
        self.batch_id.to_string()
    }

    fn encode(&self) -> Vec<u8> {
        let batch_id = self.batch_id.as_uuid().into_bytes().to_vec();
        wire::BatchProgress { batch_id, totals_version: self.totals_version }.encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Decoded<Self>, Undecodable> {
        let progress = wire::BatchProgress::decode(payload).map_err(|error| not_protobuf(Self::SCHEMA, &error))?;
        let batch_id = BatchId::from_uuid(uuid(Self::SCHEMA, "batch_id", &progress.batch_id)?);
        Ok(Decoded { event: Self { batch_id, totals_version: progress.totals_version }, refused: Vec::new() })
    }
}
