//! The messages to the backends: the payments of one instruction chunk, by backend.

use std::collections::BTreeMap;

use gctb_domain::BackendName;
use gctb_events::{InstructionChunk, Outgoing, Payment, PaymentChunk, Topic, split_by_size};
use gctb_runtime::Incoming;
use uuid::Uuid;

/// More than the numbers, the currency and the framing of one payment take, in bytes.
const FIXED_BYTES_MAX: usize = 128;

/// Messages with the payments of `incoming`, under its chunk number and part. There is more than one to a backend only
/// where the addresses of the mapper make a chunk outgrow what a broker takes.
pub(crate) fn messages(
    incoming: &Incoming<InstructionChunk>,
    payments: BTreeMap<&BackendName, Vec<Payment>>,
) -> Vec<Outgoing> {
    let chunk = &incoming.event;
    let mut messages = Vec::with_capacity(payments.len());
    for (backend, payments) in payments {
        let topic = Topic::Payments(backend.clone());
        for payments in split_by_size(payments, encoded_bytes_max) {
            let event = PaymentChunk {
                batch_id: chunk.batch_id,
                batch_no: chunk.batch_no,
                chunk_no: chunk.chunk_no,
                part: chunk.part,
                payments,
            };
            messages.push(Outgoing::new(&topic, &event, Uuid::new_v4(), incoming.traceparent.as_deref()));
        }
    }
    messages
}

fn encoded_bytes_max(payment: &Payment) -> usize {
    let instruction = &payment.instruction;
    let texts = [
        instruction.reference_id.as_str(),
        instruction.from_fa.as_str(),
        instruction.to_fa.as_str(),
        &instruction.payee_name,
        &instruction.purpose,
        &instruction.note,
        payment.resolved_fa.as_str(),
    ];
    texts.iter().map(|text| text.len()).sum::<usize>() + FIXED_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use gctb_domain::{BatchId, BatchNo, Currency, FinancialAddress, Money, Seq};
    use gctb_events::{Event, Instruction};
    use gctb_runtime::Origin;

    use super::*;

    /// What the producer lets through (librdkafka's message.max.bytes).
    const BROKER_BYTES_MAX: usize = 1_000_000;

    fn payment(seq: i32, address: &FinancialAddress) -> Payment {
        let long = |chars| "€".repeat(chars);
        let instruction = Instruction {
            seq: Seq(seq),
            reference_id: long(99),
            from_fa: address.clone(),
            to_fa: address.clone(),
            amount: Money::parse("10.50", Currency::parse("KES").expect("a currency")).expect("an amount"),
            scheduled_at: None,
            payee_name: long(40),
            purpose: String::new(),
            note: String::new(),
        };
        Payment { instruction, resolved_fa: address.clone() }
    }

    #[test]
    fn addresses_as_long_as_allowed_do_not_make_a_message_that_no_broker_takes() {
        let address = FinancialAddress::parse(&format!("account:{}", "€".repeat(248))).expect("an address");
        let batch_id = BatchId::accepted_at(chrono::Utc::now());
        let event = InstructionChunk { batch_id, batch_no: BatchNo(7), chunk_no: 3, part: 1, instructions: Vec::new() };
        let origin = Origin { topic: "gctb.batches".to_owned(), partition: 0, offset: 0, timestamp_ms: None };
        let incoming = Incoming { event, origin, traceparent: None };
        let backend = BackendName::parse("file").expect("a name");
        let payments: Vec<Payment> = (0..500).map(|seq| payment(seq, &address)).collect();
        let messages = messages(&incoming, BTreeMap::from([(&backend, payments)]));
        assert!(messages.len() > 1 && messages.iter().all(|message| message.payload.len() < BROKER_BYTES_MAX));
        let chunks = messages.iter().map(|message| PaymentChunk::decode(&message.payload).expect("readable").event);
        let seqs: Vec<i32> = chunks.flat_map(|chunk| chunk.payments).map(|payment| payment.instruction.seq.0).collect();
        assert_eq!(seqs, (0..500).collect::<Vec<_>>(), "none is lost");
    }
}
