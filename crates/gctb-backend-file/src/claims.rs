//! The consumer's part: polled payments become ledger rows with a place in a payment file, a batch's together in one commit.

use std::collections::{BTreeMap, HashMap};

use gctb_db::{Claim, ClaimOutcome, Db, DbError, Fate, FileGroup, FilePlace, OutboxRow};
use gctb_domain::{BackendName, BatchId, BatchNo, FinancialAddress, ReasonCode};
use gctb_events::{Event, Payment, PaymentChunk};
use gctb_runtime::{DeadEntry, HandleError, Handled, Handler, Incoming};

use crate::layout::Layout;
use crate::settings::FilesSettings;

/// Longest narrative of a line, in characters (ISO 20022 allows 140 for unstructured remittance information).
const NARRATIVE_CHARS_MAX: usize = 140;
/// Most instructions of one commit: enough that a commit costs little for each, and few enough that its locks are short.
const COMMIT_MAX: usize = 5_000;

/// Claims what arrives on this backend's topic.
pub struct Claims<P> {
    backend: BackendName,
    db: Db,
    publish: P,
    layout: Layout,
    rows_max: usize,
    close_after_ms: i64,
    /// The open files that this process fills. A hint: the claim itself locks and checks them.
    files: HashMap<FileGroup, FilePlace>,
}

impl<P: Fn(Vec<OutboxRow>)> Claims<P> {
    /// A handler for the topic of `backend`. `publish` sends rows that are committed, soon.
    pub fn new(backend: BackendName, db: Db, publish: P, layout: Layout, settings: &FilesSettings) -> Self {
        let close_after_ms = i64::try_from(settings.close_after.as_millis()).unwrap_or(i64::MAX);
        Self { backend, db, publish, layout, rows_max: settings.rows_max, close_after_ms, files: HashMap::new() }
    }

    /// Claims what was ordered of one batch, commit by commit, and closes each file that becomes full.
    fn claim_batch(
        &mut self,
        order: &Order<'_>,
        mut wanted: &[Wanted<'_>],
        handled: &mut Tally,
    ) -> Result<(), HandleError> {
        let mut payers = Payers::default();
        while !wanted.is_empty() {
            let claims: Vec<Claim> =
                wanted.iter().take(COMMIT_MAX).map(|wanted| self.to_claim(&mut payers, wanted.payment)).collect();
            let (now, later) = wanted.split_at(self.how_many_fit(&claims));
            self.claim(order, now, &claims[..now.len()], handled)?;
            self.close_full()?;
            wanted = later;
        }
        Ok(())
    }

    /// Claims in one commit. Where Postgres refuses the content, in two halves, until the bad payment stands alone.
    fn claim(
        &mut self,
        order: &Order<'_>,
        wanted: &[Wanted<'_>],
        claims: &[Claim],
        handled: &mut Tally,
    ) -> Result<(), HandleError> {
        let claimed = self.db.claim_for_files(
            &self.backend,
            order.batch,
            order.batch_no,
            claims,
            &self.files,
            self.close_after_ms,
            order.traceparent,
        );
        match claimed {
            Ok(outcome) => {
                self.files.clone_from(&outcome.files);
                handled.add(&outcome);
                (self.publish)(outcome.outbox);
                Ok(())
            }
            Err(error) => match error.fate() {
                Fate::Retry => Err(HandleError::Retry(Box::new(error))),
                Fate::Refused if wanted.len() > 1 => {
                    let half = wanted.len() / 2;
                    self.claim(order, &wanted[..half], &claims[..half], handled)?;
                    self.claim(order, &wanted[half..], &claims[half..], handled)
                }
                Fate::Refused | Fate::Unknown => {
                    let same_message = |a: &Wanted<'_>, b: &Wanted<'_>| std::ptr::eq(a.message, b.message);
                    handled.dead.extend(wanted.chunk_by(same_message).filter_map(|wanted| dead(wanted, &error)));
                    Ok(())
                }
            },
        }
    }

    /// How many of the claims, from the first on, their files have room for. At least one: no file stays full.
    fn how_many_fit(&self, claims: &[Claim]) -> usize {
        let mut rows: HashMap<FileGroup, usize> = HashMap::new();
        let fits = |claim: &Claim| {
            let group = claim.group();
            let before = self.files.get(&group).map_or(0, |place| place.rows);
            let rows = rows.entry(group).or_insert(before);
            *rows += 1;
            *rows <= self.rows_max
        };
        claims.iter().map(fits).take_while(|fits| *fits).count().max(1)
    }

    /// Closes the files that have no room any more, so that they leave at once; the next claim opens new ones.
    fn close_full(&mut self) -> Result<(), HandleError> {
        let full: Vec<(FileGroup, i64)> = self
            .files
            .iter()
            .filter(|(_, place)| place.rows >= self.rows_max)
            .map(|(group, place)| (group.clone(), place.file_id))
            .collect();
        for (group, file_id) in full {
            self.db.close_file(file_id).map_err(|error| HandleError::Retry(Box::new(error)))?;
            self.files.remove(&group);
        }
        Ok(())
    }

    fn to_claim(&self, payers: &mut Payers, payment: &Payment) -> Claim {
        let instruction = &payment.instruction;
        let text = if instruction.note.is_empty() { &instruction.purpose } else { &instruction.note };
        let narrative: String = text.chars().take(NARRATIVE_CHARS_MAX).collect();
        let refusal = if payers.carried(&self.layout, &instruction.from_fa) {
            self.layout.refusal(&payment.resolved_fa, [&instruction.payee_name, &narrative])
        } else {
            Some((ReasonCode::PayerFaInvalid, "a payment file cannot carry the payer's address"))
        };
        Claim {
            seq: instruction.seq,
            payer_fa: instruction.from_fa.as_str().to_owned(),
            resolved_fa: payment.resolved_fa.as_str().to_owned(),
            amount: instruction.amount,
            scheduled_at: instruction.scheduled_at,
            payee_name: instruction.payee_name.clone(),
            narrative,
            refusal: refusal.map(|(code, message)| (code, message.to_owned())),
        }
    }
}

/// The last payer that was looked at: a batch has few, mostly one, and an address costs as much to take apart as all else.
#[derive(Default)]
struct Payers {
    last: Option<(FinancialAddress, bool)>,
}

impl Payers {
    fn carried(&mut self, layout: &Layout, payer: &FinancialAddress) -> bool {
        match &self.last {
            Some((last, carried)) if last == payer => *carried,
            _ => {
                let carried = layout.carries_payer(payer);
                self.last = Some((payer.clone(), carried));
                carried
            }
        }
    }
}

impl<P: Fn(Vec<OutboxRow>)> Handler for Claims<P> {
    type Event = PaymentChunk;

    fn handle(&mut self, polled: &[Incoming<PaymentChunk>]) -> Result<Handled, HandleError> {
        let mut tally = Tally::default();
        // In order of the batches' ids, and each batch at once: commits are what costs.
        let mut orders: BTreeMap<Order<'_>, Vec<Wanted<'_>>> = BTreeMap::new();
        for message in polled {
            let wanted = message.event.payments.iter().map(|payment| Wanted { payment, message });
            orders.entry(Order::of(message)).or_default().extend(wanted);
        }
        for (order, wanted) in &orders {
            self.claim_batch(order, wanted, &mut tally)?;
        }
        Ok(tally.into_handled())
    }
}

/// What claims of one commit have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order<'a> {
    batch: BatchId,
    batch_no: BatchNo,
    traceparent: Option<&'a str>,
}

impl<'a> Order<'a> {
    fn of(message: &'a Incoming<PaymentChunk>) -> Self {
        let PaymentChunk { batch_id, batch_no, .. } = message.event;
        Self { batch: batch_id, batch_no, traceparent: message.traceparent.as_deref() }
    }
}

/// A payment, and the message that brought it.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    payment: &'a Payment,
    message: &'a Incoming<PaymentChunk>,
}

#[derive(Default)]
struct Tally {
    claimed: usize,
    rejected: usize,
    cancelled: usize,
    already_known: usize,
    not_now: usize,
    dead: Vec<DeadEntry>,
}

impl Tally {
    fn add(&mut self, outcome: &ClaimOutcome) {
        self.claimed += outcome.claimed;
        self.rejected += outcome.rejected;
        self.cancelled += outcome.cancelled;
        self.already_known += outcome.already_known;
        self.not_now += outcome.not_now;
    }

    fn into_handled(self) -> Handled {
        let counts = [
            ("claimed", self.claimed),
            ("rejected", self.rejected),
            ("cancelled", self.cancelled),
            ("already_known", self.already_known),
            ("not_now", self.not_now),
        ];
        let outcomes = counts.into_iter().filter(|(_, count)| *count > 0);
        let outcomes = outcomes.map(|(name, count)| (name, u64::try_from(count).unwrap_or(u64::MAX))).collect();
        Handled { outgoing: Vec::new(), dead: self.dead, outcomes }
    }
}

/// The payments of one message as a message of their own.
fn dead(wanted: &[Wanted<'_>], error: &DbError) -> Option<DeadEntry> {
    let Incoming { event, origin, .. } = wanted.first()?.message;
    let payments = wanted.iter().map(|wanted| wanted.payment.clone()).collect();
    let alone = PaymentChunk { payments, ..without_payments(event) };
    Some(DeadEntry { payload: alone.encode(), reason: error.to_string(), origin: origin.clone() })
}

fn without_payments(chunk: &PaymentChunk) -> PaymentChunk {
    let PaymentChunk { batch_id, batch_no, chunk_no, part, payments: _ } = *chunk;
    PaymentChunk { batch_id, batch_no, chunk_no, part, payments: Vec::new() }
}
