//! Folds status events into the projection: any repetition and any order of them gives the same tables (invariant I5).
//!
//! The row of a chunk in the outbox goes in the commit that folds the last of its entries, never before: until then it is
//! sent again. An entry that Postgres refuses is found by halving, and goes to the dead-letter topic alone (I7).

use gctb_db::{Db, DbError, Fate, FoldOutcome, MAX_FOLD_ENTRIES, OutboxRow};
use gctb_domain::BatchId;
use gctb_events::{Event, LedgerEntry, StatusChunk};
use gctb_runtime::{DeadEntry, HandleError, Handled, Handler, Incoming, chain};
use uuid::Uuid;

use crate::reduce::{BatchNews, Sourced, reduce};

/// The handler of `gctb.status`.
///
/// `publish` is given the committed outbox rows that tell of finished batches.
pub struct StatusFolder<P> {
    db: Db,
    publish: P,
}

/// What one polled group came to.
#[derive(Debug, Default)]
struct Tally {
    changed: usize,
    already_known: usize,
    superseded: usize,
    dead: Vec<DeadEntry>,
}

impl<P: FnMut(Vec<OutboxRow>)> StatusFolder<P> {
    /// A folder into `db`.
    pub const fn new(db: Db, publish: P) -> Self {
        Self { db, publish }
    }

    fn fold_batch(&mut self, batch: BatchId, news: &BatchNews<'_>, tally: &mut Tally) -> Result<(), DbError> {
        let mut chunks = news.chunks.as_slice();
        let instructions: Vec<&[Sourced<'_>]> = news.instructions().collect();
        let mut runs: Vec<&[&[Sourced<'_>]]> = instructions.chunks(MAX_FOLD_ENTRIES).collect();
        if runs.is_empty() {
            // Nobody could read any entry: the dead letters hold them, and the rows in the outbox have done their work.
            runs.push(&[]);
        }
        for run in runs {
            let last = run.last().and_then(|versions| versions.first()).map(|said| said.entry.seq);
            let (done, later) = chunks.split_at(chunks.partition_point(|(chunk_last, _)| *chunk_last <= last));
            let done: Vec<Uuid> = done.iter().map(|(_, outbox_id)| *outbox_id).collect();
            self.fold_run(batch, run, &done, tally)?;
            chunks = later;
        }
        Ok(())
    }

    /// Folds instructions in one commit, in which the chunks `done` end; where Postgres refuses it, in two halves, down to
    /// the entry that it refuses. That one is set aside, and what was said before it about the instruction stands.
    fn fold_run(
        &mut self,
        batch: BatchId,
        run: &[&[Sourced<'_>]],
        done: &[Uuid],
        tally: &mut Tally,
    ) -> Result<(), DbError> {
        let entries: Vec<&LedgerEntry> =
            run.iter().filter_map(|versions| versions.first()).map(|said| said.entry).collect();
        let error = match self.db.fold_status(batch, &entries, done) {
            Ok(outcome) => {
                tally.count(run, &outcome);
                (self.publish)(outcome.outbox);
                return Ok(());
            }
            Err(error) => error,
        };
        match (error.fate(), run) {
            // A fold of nothing that is refused is no entry's fault.
            (Fate::Retry | Fate::Unknown, _) | (Fate::Refused, []) => Err(error),
            (Fate::Refused, [versions]) => match versions {
                [] => Err(error),
                [refused] => {
                    tally.set_aside(refused, &error);
                    self.fold_run(batch, &[], done, tally)
                }
                [refused, earlier @ ..] => {
                    tally.set_aside(refused, &error);
                    self.fold_run(batch, &[earlier], done, tally)
                }
            },
            (Fate::Refused, _) => {
                let (first, second) = run.split_at(run.len() / 2);
                self.fold_run(batch, first, &[], tally)?;
                self.fold_run(batch, second, done, tally)
            }
        }
    }

    /// A database that does not know the batch (it was restored, or is another deployment's) has nothing to fold into.
    /// The chunks go to the dead-letter topic whole: five hundred letters with one reason would help nobody.
    fn set_batch_aside(&self, news: &BatchNews<'_>, error: &DbError, tally: &mut Tally) -> Result<(), DbError> {
        let outbox_ids: Vec<Uuid> = news.chunks.iter().map(|(_, outbox_id)| *outbox_id).collect();
        fail::fail_point!("fold.set_aside.before");
        self.db.delete_outbox(&outbox_ids)?;
        fail::fail_point!("fold.set_aside.after");
        let filled = news.messages.iter().filter(|message| !message.event.entries.is_empty());
        tally.dead.extend(filled.map(|message| dead(message, message.event.encode(), error)));
        Ok(())
    }
}

impl<P: FnMut(Vec<OutboxRow>)> Handler for StatusFolder<P> {
    type Event = StatusChunk;

    fn handle(&mut self, polled: &[Incoming<StatusChunk>]) -> Result<Handled, HandleError> {
        let mut tally = Tally::default();
        for (batch, news) in reduce(polled) {
            let folded = match self.fold_batch(batch, &news, &mut tally) {
                Err(error) if error.fate() == Fate::Unknown => self.set_batch_aside(&news, &error, &mut tally),
                folded => folded,
            };
            folded.map_err(|error| HandleError::Retry(Box::new(error)))?;
        }
        Ok(tally.handled())
    }
}

impl Tally {
    fn count(&mut self, run: &[&[Sourced<'_>]], outcome: &FoldOutcome) {
        self.changed += outcome.changed;
        self.already_known += outcome.already_known;
        self.superseded += run.iter().map(|versions| versions.len().saturating_sub(1)).sum::<usize>();
    }

    fn set_aside(&mut self, refused: &Sourced<'_>, error: &DbError) {
        let chunk = &refused.message.event;
        let alone = StatusChunk { entries: vec![refused.entry.clone()], ..without_entries(chunk) };
        self.dead.push(dead(refused.message, alone.encode(), error));
    }

    /// Dead entries are counted by the loop.
    fn handled(self) -> Handled {
        let outcomes = vec![
            ("folded", self.changed as u64),
            ("already_known", self.already_known as u64),
            ("superseded", self.superseded as u64),
        ];
        Handled { outgoing: Vec::new(), dead: self.dead, outcomes }
    }
}

fn without_entries(chunk: &StatusChunk) -> StatusChunk {
    StatusChunk { batch_id: chunk.batch_id, outbox_id: chunk.outbox_id, entries: Vec::new() }
}

fn dead(message: &Incoming<StatusChunk>, payload: Vec<u8>, error: &DbError) -> DeadEntry {
    DeadEntry { payload, reason: chain(error), origin: message.origin.clone() }
}
