//! Instructions that were accepted: topics `gctb.batches` and `gctb.resolve`.

use chrono::{DateTime, Utc};
use gctb_domain::{BatchId, BatchNo, Currency, FinancialAddress, Money, Seq};
use prost::Message;

use crate::chunks::split_by_size;
use crate::codec::{Decoded, Event, RefusedEntry, Undecodable, not_protobuf, time, uuid};
use crate::wire;

/// One accepted payment instruction with all that a consumer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Position in the sender's message.
    pub seq: Seq,
    /// The sender's reference.
    pub reference_id: String,
    /// Where the money comes from.
    pub from_fa: FinancialAddress,
    /// Where it goes, as the sender gave it: an id or an address.
    pub to_fa: FinancialAddress,
    /// How much.
    pub amount: Money,
    /// Not before this time. None: at once.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The payee's name; may be empty.
    pub payee_name: String,
    /// What the payment is for; may be empty.
    pub purpose: String,
    /// The text for the payee's statement; may be empty.
    pub note: String,
}

/// Instructions of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstructionChunk {
    /// The batch.
    pub batch_id: BatchId,
    /// Its short number.
    pub batch_no: BatchNo,
    /// Position of the chunk in its batch.
    pub chunk_no: u32,
    /// Which emission this is: 0 at intake, raised by each sweep.
    pub part: u32,
    /// The entries.
    pub instructions: Vec<Instruction>,
}

impl InstructionChunk {
    /// Splits a batch's instructions into chunks.
    pub fn split(batch_id: BatchId, batch_no: BatchNo, part: u32, instructions: Vec<Instruction>) -> Vec<Self> {
        split_by_size(instructions, |instruction| to_wire(instruction).encoded_len())
            .into_iter()
            .zip(0..)
            .map(|(instructions, chunk_no)| Self { batch_id, batch_no, chunk_no, part, instructions })
            .collect()
    }
}

impl Event for InstructionChunk {
    const SCHEMA: &'static str = "gctb.v1.InstructionChunk";

    fn key(&self) -> String {
        format!("{}:{}:{}", self.batch_id, self.chunk_no, self.part)
    }

    fn encode(&self) -> Vec<u8> {
        wire::InstructionChunk {
            batch_id: self.batch_id.as_uuid().into_bytes().to_vec(),
            batch_no: self.batch_no.0,
            chunk_no: self.chunk_no,
            part: self.part,
            instructions: self.instructions.iter().map(to_wire).collect(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Decoded<Self>, Undecodable> {
        let mut chunk = wire::InstructionChunk::decode(payload).map_err(|error| not_protobuf(Self::SCHEMA, &error))?;
        let batch_id = BatchId::from_uuid(uuid(Self::SCHEMA, "batch_id", &chunk.batch_id)?);
        let mut instructions = Vec::with_capacity(chunk.instructions.len());
        let mut refused = Vec::new();
        for entry in std::mem::take(&mut chunk.instructions) {
            match from_wire(&entry) {
                Ok(instruction) => instructions.push(instruction),
                Err(reason) => {
                    let alone = wire::InstructionChunk { instructions: vec![entry], ..chunk.clone() };
                    refused.push(RefusedEntry { payload: alone.encode_to_vec(), reason });
                }
            }
        }
        let event = Self {
            batch_id,
            batch_no: BatchNo(chunk.batch_no),
            chunk_no: chunk.chunk_no,
            part: chunk.part,
            instructions,
        };
        Ok(Decoded { event, refused })
    }
}

pub(crate) fn to_wire(instruction: &Instruction) -> wire::Instruction {
    wire::Instruction {
        seq: instruction.seq.0.unsigned_abs(),
        reference_id: instruction.reference_id.clone(),
        from_fa: instruction.from_fa.as_str().to_owned(),
        to_fa: instruction.to_fa.as_str().to_owned(),
        amount_minor: instruction.amount.minor(),
        currency: instruction.amount.currency().code().to_owned(),
        scheduled_at_ms: instruction.scheduled_at.map_or(0, |at| at.timestamp_millis()),
        payee_name: instruction.payee_name.clone(),
        purpose: instruction.purpose.clone(),
        note: instruction.note.clone(),
    }
}

pub(crate) fn from_wire(entry: &wire::Instruction) -> Result<Instruction, String> {
    let seq = i32::try_from(entry.seq).map_err(|_| format!("seq {} is out of range", entry.seq))?;
    let field = |name: &str, error: &dyn std::fmt::Display| format!("entry {seq}: {name}: {error}");
    let currency = Currency::parse(&entry.currency).map_err(|error| field("currency", &error))?;
    let amount = Money::from_minor(entry.amount_minor, currency).map_err(|error| field("amount_minor", &error))?;
    let from_fa = FinancialAddress::parse(&entry.from_fa).map_err(|error| field("from_fa", &error))?;
    let to_fa = FinancialAddress::parse(&entry.to_fa).map_err(|error| field("to_fa", &error))?;
    let scheduled_at = match entry.scheduled_at_ms {
        0 => None,
        at => Some(time(at).ok_or_else(|| field("scheduled_at_ms", &"out of range"))?),
    };
    if entry.reference_id.is_empty() {
        return Err(field("reference_id", &"empty"));
    }
    Ok(Instruction {
        seq: Seq(seq),
        reference_id: entry.reference_id.clone(),
        from_fa,
        to_fa,
        amount,
        scheduled_at,
        payee_name: entry.payee_name.clone(),
        purpose: entry.purpose.clone(),
        note: entry.note.clone(),
    })
}
