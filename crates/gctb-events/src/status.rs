//! What the ledger says: topic `gctb.status`.

use chrono::{DateTime, Utc};
use gctb_domain::{BackendName, BatchId, LedgerState, PaymentStatus, ReasonCode, Seq};
use prost::Message;
use uuid::Uuid;

use crate::chunks::split_by_size;
use crate::codec::{Decoded, Event, RefusedEntry, Undecodable, not_protobuf, time, uuid};
use crate::wire;

/// A ledger row in brief and whole: whoever holds the highest version knows all that the others said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Position in the batch.
    pub seq: Seq,
    /// The row's version, which is the rank of this entry. From 1.
    pub version: i32,
    /// The row's state.
    pub state: LedgerState,
    /// Which try to pay this is; 0 where nobody tried.
    pub attempt: i16,
    /// Who pays it; None where it was refused or cancelled before.
    pub backend: Option<BackendName>,
    /// The address that is paid; may be empty.
    pub resolved_fa: String,
    /// The payment file it is in.
    pub file: Option<String>,
    /// The rail's own reference.
    pub rail_reference: Option<String>,
    /// Why it was refused.
    pub reason: Option<ReasonCode>,
    /// The rail's or our words to it; may be empty.
    pub message: String,
    /// When the row changed.
    pub changed_at: DateTime<Utc>,
}

impl LedgerEntry {
    /// What the projection shows for it.
    pub const fn status(&self) -> PaymentStatus {
        PaymentStatus::of_ledger(self.state, self.file.is_some())
    }
}

/// Ledger rows of one batch, held by one outbox row until they are folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChunk {
    /// The batch.
    pub batch_id: BatchId,
    /// The outbox row that holds this chunk.
    pub outbox_id: Uuid,
    /// The entries.
    pub entries: Vec<LedgerEntry>,
}

impl StatusChunk {
    /// Splits rows of one batch into chunks, each with a new outbox id.
    pub fn split(batch_id: BatchId, entries: Vec<LedgerEntry>) -> Vec<Self> {
        split_by_size(entries, |entry| to_wire(entry).encoded_len())
            .into_iter()
            .map(|entries| Self { batch_id, outbox_id: Uuid::new_v4(), entries })
            .collect()
    }
}

impl Event for StatusChunk {
    const SCHEMA: &'static str = "gctb.v1.StatusChunk";

    fn key(&self) -> String {
        format!("{}:{}", self.batch_id, self.outbox_id)
    }

    fn encode(&self) -> Vec<u8> {
        wire::StatusChunk {
            batch_id: self.batch_id.as_uuid().into_bytes().to_vec(),
            outbox_id: self.outbox_id.into_bytes().to_vec(),
            entries: self.entries.iter().map(to_wire).collect(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Decoded<Self>, Undecodable> {
        let mut chunk = wire::StatusChunk::decode(payload).map_err(|error| not_protobuf(Self::SCHEMA, &error))?;
        let batch_id = BatchId::from_uuid(uuid(Self::SCHEMA, "batch_id", &chunk.batch_id)?);
        let outbox_id = uuid(Self::SCHEMA, "outbox_id", &chunk.outbox_id)?;
        let mut entries = Vec::with_capacity(chunk.entries.len());
        let mut refused = Vec::new();
        for entry in std::mem::take(&mut chunk.entries) {
            match from_wire(&entry) {
                Ok(read) => entries.push(read),
                Err(reason) => {
                    let alone = wire::StatusChunk { entries: vec![entry], ..chunk.clone() };
                    refused.push(RefusedEntry { payload: alone.encode_to_vec(), reason });
                }
            }
        }
        Ok(Decoded { event: Self { batch_id, outbox_id, entries }, refused })
    }
}

fn to_wire(entry: &LedgerEntry) -> wire::LedgerEntry {
    wire::LedgerEntry {
        seq: entry.seq.0.unsigned_abs(),
        version: entry.version.unsigned_abs(),
        state: u32::from(entry.state.code().unsigned_abs()),
        attempt: u32::from(entry.attempt.unsigned_abs()),
        backend: entry.backend.as_ref().map_or_else(String::new, |backend| backend.as_str().to_owned()),
        resolved_fa: entry.resolved_fa.clone(),
        file: entry.file.clone().unwrap_or_default(),
        rail_reference: entry.rail_reference.clone().unwrap_or_default(),
        reason_code: entry.reason.map_or_else(String::new, |reason| reason.as_str().to_owned()),
        message: entry.message.clone(),
        changed_at_ms: entry.changed_at.timestamp_millis(),
    }
}

fn from_wire(entry: &wire::LedgerEntry) -> Result<LedgerEntry, String> {
    let seq = i32::try_from(entry.seq).map_err(|_| format!("seq {} is out of range", entry.seq))?;
    let bad = |field: &str| format!("entry {seq}: {field} is out of range or unknown");
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    let backend =
        filled(&entry.backend).map(|name| BackendName::parse(&name)).transpose().map_err(|_| bad("backend"))?;
    let reason = filled(&entry.reason_code)
        .map(|code| ReasonCode::from_code(&code).ok_or_else(|| bad("reason_code")))
        .transpose()?;
    Ok(LedgerEntry {
        seq: Seq(seq),
        version: i32::try_from(entry.version).ok().filter(|version| *version > 0).ok_or_else(|| bad("version"))?,
        state: i16::try_from(entry.state).ok().and_then(LedgerState::from_code).ok_or_else(|| bad("state"))?,
        attempt: i16::try_from(entry.attempt).map_err(|_| bad("attempt"))?,
        backend,
        resolved_fa: entry.resolved_fa.clone(),
        file: filled(&entry.file),
        rail_reference: filled(&entry.rail_reference),
        reason,
        message: entry.message.clone(),
        changed_at: time(entry.changed_at_ms).ok_or_else(|| bad("changed_at_ms"))?,
    })
}
