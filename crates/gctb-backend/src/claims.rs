//! The consumer's part: offers polled payments to the lanes and waits until they are claimed. From then on the ledger owns them, and
//! Kafka's position may move.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use gctb_db::Claim;
use gctb_domain::{BatchId, BatchNo, RailKey, ReasonCode, Seq};
use gctb_events::{Event, Payment, PaymentChunk};
use gctb_runtime::{DeadEntry, HandleError, Handled, Handler, Incoming};

use crate::holds::silence;
use crate::intake::{Ended, Group, Tally, Trouble, Wanted};
use crate::rail::{PaymentBackend, Refusal};
use crate::world::World;

/// Longest narrative that the ledger keeps, in characters (ISO 20022 allows 140 for unstructured remittance information).
const NARRATIVE_CHARS_MAX: usize = 140;

/// Claims what arrives on the backend's topic.
pub(crate) struct Claims<R> {
    world: Arc<World<R>>,
    /// What was claimed of the messages that come again.
    settled: HashSet<(BatchId, Seq)>,
    tally: Tally,
    dead: Vec<DeadEntry>,
}

impl<R: PaymentBackend> Claims<R> {
    pub(crate) fn new(world: Arc<World<R>>) -> Self {
        Self { world, settled: HashSet::new(), tally: Tally::default(), dead: Vec::new() }
    }

    fn groups(&self, polled: &[Incoming<PaymentChunk>]) -> Vec<Group> {
        let mut groups: BTreeMap<(BatchId, BatchNo, Option<&str>), Vec<Wanted>> = BTreeMap::new();
        for (message, incoming) in polled.iter().enumerate() {
            let PaymentChunk { batch_id, batch_no, payments, .. } = &incoming.event;
            let group = groups.entry((*batch_id, *batch_no, incoming.traceparent.as_deref())).or_default();
            let new = payments.iter().filter(|payment| !self.settled.contains(&(*batch_id, payment.instruction.seq)));
            group.extend(new.map(|payment| self.wanted(message, *batch_no, payment)));
        }
        let to_group = |((batch, batch_no, traceparent), wanted): ((_, _, Option<&str>), _)| Group {
            batch,
            batch_no,
            traceparent: traceparent.map(str::to_owned),
            wanted,
        };
        groups.into_iter().map(to_group).filter(|group| !group.wanted.is_empty()).collect()
    }

    fn wanted(&self, message: usize, batch_no: BatchNo, payment: &Payment) -> Wanted {
        let instruction = &payment.instruction;
        let text = if instruction.note.is_empty() { &instruction.purpose } else { &instruction.note };
        let mut refusal = self.world.rail.check(&payment.resolved_fa, instruction.amount).err();
        if RailKey::new(batch_no, instruction.seq, 1).is_err() {
            let message = "the number of the batch or the position in it is too large for the key that the rail gets";
            refusal = Some(Refusal { reason: ReasonCode::PaymentFailed, message: message.to_owned() });
        }
        let claim = Claim {
            seq: instruction.seq,
            payer_fa: instruction.from_fa.as_str().to_owned(),
            resolved_fa: payment.resolved_fa.as_str().to_owned(),
            amount: instruction.amount,
            scheduled_at: instruction.scheduled_at,
            payee_name: instruction.payee_name.clone(),
            narrative: text.chars().take(NARRATIVE_CHARS_MAX).collect(),
            refusal: refusal.map(|Refusal { reason, message }| (reason, message)),
        };
        Wanted { message, to: payment.resolved_fa.clone(), claim }
    }

    /// Keeps what became of payments while their messages come again.
    fn remember(&mut self, tally: Tally, polled: &[Incoming<PaymentChunk>]) {
        self.settled.extend(tally.settled);
        // Payments of one message that died of the same go together.
        let mut dead: BTreeMap<(usize, String), HashSet<Seq>> = BTreeMap::new();
        for (message, seq, reason) in tally.dead {
            dead.entry((message, reason)).or_default().insert(seq);
        }
        let letters =
            dead.into_iter().filter_map(|((message, reason), seqs)| letter(polled.get(message)?, &seqs, reason));
        self.dead.extend(letters);
        self.tally.claimed += tally.claimed;
        self.tally.rejected += tally.rejected;
        self.tally.cancelled += tally.cancelled;
        self.tally.already_known += tally.already_known;
        self.tally.not_now += tally.not_now;
    }
}

impl<R: PaymentBackend> Handler for Claims<R> {
    type Event = PaymentChunk;

    fn handle(&mut self, polled: &[Incoming<PaymentChunk>]) -> Result<Handled, HandleError> {
        let groups = self.groups(polled);
        if !groups.is_empty() {
            if let Some(rest) = self.world.pace.closed_for(Instant::now()) {
                return Err(HandleError::Retry(Box::new(Trouble::Stopped(silence(rest)))));
            }
            let Ended { tally, complete, trouble } = self.world.intake.offer(groups, self.world.settings.claim_wait);
            self.remember(tally, polled);
            match trouble {
                Some(trouble) => return Err(HandleError::Retry(Box::new(trouble))),
                None if !complete => return Err(HandleError::Again),
                None => {}
            }
        }
        self.settled.clear();
        Ok(into_handled(&std::mem::take(&mut self.tally), std::mem::take(&mut self.dead)))
    }

    fn assigned(&mut self, partitions: usize) {
        self.world.pace.assigned(partitions);
    }
}

fn into_handled(tally: &Tally, dead: Vec<DeadEntry>) -> Handled {
    let counts = [
        ("claimed", tally.claimed),
        ("rejected", tally.rejected),
        ("cancelled", tally.cancelled),
        ("already_known", tally.already_known),
        ("not_now", tally.not_now),
    ];
    let outcomes = counts.into_iter().filter(|(_, count)| *count > 0);
    let outcomes = outcomes.map(|(name, count)| (name, u64::try_from(count).unwrap_or(u64::MAX))).collect();
    Handled { outgoing: Vec::new(), dead, outcomes }
}

/// Payments of a message as a message of their own.
fn letter(message: &Incoming<PaymentChunk>, seqs: &HashSet<Seq>, reason: String) -> Option<DeadEntry> {
    let PaymentChunk { batch_id, batch_no, chunk_no, part, ref payments } = message.event;
    let payments: Vec<Payment> =
        payments.iter().filter(|payment| seqs.contains(&payment.instruction.seq)).cloned().collect();
    if payments.is_empty() {
        return None;
    }
    let alone = PaymentChunk { batch_id, batch_no, chunk_no, part, payments };
    Some(DeadEntry { payload: alone.encode(), reason, origin: message.origin.clone() })
}
