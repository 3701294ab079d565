//! Instructions on their way to a payment backend: topics `gctb.payments.<backend>`.

use gctb_domain::{BatchId, BatchNo, FinancialAddress};
use prost::Message;

use crate::codec::{Decoded, Event, RefusedEntry, Undecodable, not_protobuf, uuid};
use crate::instruction::{self, Instruction};
use crate::wire;

/// An instruction with the address that will be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The instruction as it was accepted.
    pub instruction: Instruction,
    /// The address that the mapper gave for it, or the sender's own.
    pub resolved_fa: FinancialAddress,
}

/// Payments of one batch for one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentChunk {
    /// The batch.
    pub batch_id: BatchId,
    /// Its short number.
    pub batch_no: BatchNo,
    /// Position of the instruction chunk that this one comes from.
    pub chunk_no: u32,
    /// Which emission that chunk was.
    pub part: u32,
    /// The entries.
    pub payments: Vec<Payment>,
}

impl Event for PaymentChunk {
    const SCHEMA: &'static str = "gctb.v1.PaymentChunk";

    fn key(&self) -> String {
        format!("{}:{}:{}", self.batch_id, self.chunk_no, self.part)
    }

    fn encode(&self) -> Vec<u8> {
        let to_wire = |payment: &Payment| wire::Payment {
            instruction: Some(instruction::to_wire(&payment.instruction)),
            resolved_fa: payment.resolved_fa.as_str().to_owned(),
        };
        wire::PaymentChunk {
            batch_id: self.batch_id.as_uuid().into_bytes().to_vec(),
            batch_no: self.batch_no.0,
            chunk_no: self.chunk_no,
            part: self.part,
            payments: self.payments.iter().map(to_wire).collect(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Decoded<Self>, Undecodable> {
        let mut chunk = wire::PaymentChunk::decode(payload).map_err(|error| not_protobuf(Self::SCHEMA, &error))?;
        let batch_id = BatchId::from_uuid(uuid(Self::SCHEMA, "batch_id", &chunk.batch_id)?);
        let mut payments = Vec::with_capacity(chunk.payments.len());
        let mut refused = Vec::new();
        for entry in std::mem::take(&mut chunk.payments) {
            match from_wire(&entry) {
                Ok(payment) => payments.push(payment),
                Err(reason) => {
                    let alone = wire::PaymentChunk { payments: vec![entry], ..chunk.clone() };
                    refused.push(RefusedEntry { payload: alone.encode_to_vec(), reason });
                }
            }
        }
        let event =
            Self { batch_id, batch_no: BatchNo(chunk.batch_no), chunk_no: chunk.chunk_no, part: chunk.part, payments };
        Ok(Decoded { event, refused })
    }
}

fn from_wire(entry: &wire::Payment) -> Result<Payment, String> {
    let instruction = entry.instruction.as_ref().ok_or_else(|| "an entry without its instruction".to_owned())?;
    let instruction = instruction::from_wire(instruction)?;
    let resolved_fa = FinancialAddress::parse(&entry.resolved_fa)
        .map_err(|error| format!("entry {}: resolved_fa: {error}", instruction.seq))?;
    Ok(Payment { instruction, resolved_fa })
}
