//! The consumer's part: a chunk of payments becomes ledger rows with a place in a payment file, in one commit.

use std::collections::HashMap;

use gctb_db::{ClaimOutcome, Db, DbError, Fate, FileClaim, FileGroup, FilePlace, OutboxRow};
use gctb_domain::BackendName;
use gctb_events::{Event, Payment, PaymentChunk};
use gctb_runtime::{DeadEntry, HandleError, Handled, Handler, Incoming};

use crate::layout::Layout;
use crate::settings::FilesSettings;

/// Longest narrative of a line, in characters (ISO 20022 allows 140 for unstructured remittance information).
const NARRATIVE_CHARS_MAX: usize = 140;

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

    /// Claims the payments of one chunk. Where Postgres refuses the content, halves it until the bad entry stands alone.
    fn claim(
        &mut self,
        incoming: &Incoming<PaymentChunk>,
        payments: &[Payment],
        handled: &mut Tally,
    ) -> Result<(), HandleError> {
        let claims: Vec<FileClaim> = payments.iter().map(|payment| self.to_claim(payment)).collect();
        self.make_room(&claims)?;
        let chunk = &incoming.event;
        let claimed = self.db.claim_for_files(
            &self.backend,
            chunk.batch_id,
            chunk.batch_no,
            &claims,
            &self.files,
            self.close_after_ms,
            incoming.traceparent.as_deref(),
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
                Fate::Refused if payments.len() > 1 => {
                    let (first, second) = payments.split_at(payments.len() / 2);
                    self.claim(incoming, first, handled)?;
                    self.claim(incoming, second, handled)
                }
                Fate::Refused | Fate::Unknown => {
                    handled.dead.push(dead(incoming, payments, &error));
                    Ok(())
                }
            },
        }
    }

    /// Closes the files that the claims would fill beyond their limit; the claim opens new ones.
    fn make_room(&mut self, claims: &[FileClaim]) -> Result<(), HandleError> {
        let full: Vec<FileGroup> = self
            .files
            .iter()
            .filter(|(_, place)| place.rows + claims.len() > self.rows_max)
            .map(|(group, _)| group.clone())
            .collect();
        for group in full {
            if let Some(place) = self.files.get(&group) {
                self.db.close_file(place.file_id).map_err(|error| HandleError::Retry(Box::new(error)))?;
            }
            self.files.remove(&group);
        }
        Ok(())
    }

    fn to_claim(&self, payment: &Payment) -> FileClaim {
        let instruction = &payment.instruction;
        let text = if instruction.note.is_empty() { &instruction.purpose } else { &instruction.note };
        let narrative: String = text.chars().take(NARRATIVE_CHARS_MAX).collect();
        let refusal = self
            .layout
            .refusal(&instruction.from_fa, &payment.resolved_fa, [&instruction.payee_name, &narrative])
            .map(|(code, message)| (code, message.to_owned()));
        FileClaim {
            seq: instruction.seq,
            payer_fa: instruction.from_fa.as_str().to_owned(),
            resolved_fa: payment.resolved_fa.as_str().to_owned(),
            amount: instruction.amount,
            scheduled_at: instruction.scheduled_at,
            payee_name: instruction.payee_name.clone(),
            narrative,
            refusal,
        }
    }
}

impl<P: Fn(Vec<OutboxRow>)> Handler for Claims<P> {
    type Event = PaymentChunk;

    fn handle(&mut self, polled: &[Incoming<PaymentChunk>]) -> Result<Handled, HandleError> {
        let mut tally = Tally::default();
        for incoming in polled {
            // A file's lines must be fewer than its limit even when one chunk is larger than that.
            for payments in incoming.event.payments.chunks(self.rows_max.max(1)) {
                self.claim(incoming, payments, &mut tally)?;
            }
        }
        Ok(tally.into_handled())
    }
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

fn dead(incoming: &Incoming<PaymentChunk>, payments: &[Payment], error: &DbError) -> DeadEntry {
    let alone = PaymentChunk { payments: payments.to_vec(), ..incoming.event.clone() };
    DeadEntry { payload: alone.encode(), reason: error.to_string(), origin: incoming.origin.clone() }
}
