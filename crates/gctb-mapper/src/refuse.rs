//! Writes refusals into the ledger: REJECTED and its status event, in one commit per message.
//!
//! What a person or Postgres will never take goes to the dead-letter topic, entry by entry; everything else comes again.

use gctb_db::{Db, DbError, Fate, Rejection};
use gctb_events::{Event, InstructionChunk};
use gctb_runtime::{DeadEntry, Incoming, chain};

use crate::settling::Publish;

/// Refuses instructions.
pub(crate) struct Refuser {
    pub(crate) db: Db,
    pub(crate) publish: Publish,
}

/// What became of refusals.
#[derive(Default)]
pub(crate) struct Refused {
    /// Rows that were inserted.
    pub(crate) inserted: usize,
    /// Instructions that somebody had decided about before.
    pub(crate) already_known: usize,
    /// Instructions that cannot be refused here.
    pub(crate) dead: Vec<DeadEntry>,
}

impl Refuser {
    /// Refuses instructions of one message, unless somebody decided before.
    ///
    /// # Errors
    /// Where Postgres is away or busy: the same again, later.
    pub(crate) fn refuse(
        &self,
        incoming: &Incoming<InstructionChunk>,
        rejections: &[Rejection],
    ) -> Result<Refused, DbError> {
        let chunk = &incoming.event;
        let traceparent = incoming.traceparent.as_deref();
        match self.db.reject(chunk.batch_id, chunk.batch_no, rejections, traceparent) {
            Ok(decided) => {
                (self.publish)(decided.outbox);
                let (inserted, already_known) = (decided.inserted, decided.already_known);
                Ok(Refused { inserted, already_known, dead: Vec::new() })
            }
            Err(error) => match error.fate() {
                Fate::Retry => Err(error),
                // One entry may be to blame: each alone, so that it stops only itself.
                Fate::Refused if rejections.len() > 1 => self.refuse_one_by_one(incoming, rejections),
                Fate::Refused | Fate::Unknown => {
                    Ok(Refused { dead: dead(incoming, rejections, &chain(&error)), ..Refused::default() })
                }
            },
        }
    }

    fn refuse_one_by_one(
        &self,
        incoming: &Incoming<InstructionChunk>,
        rejections: &[Rejection],
    ) -> Result<Refused, DbError> {
        let mut all = Refused::default();
        for rejection in rejections {
            let one = self.refuse(incoming, std::slice::from_ref(rejection))?;
            all.inserted += one.inserted;
            all.already_known += one.already_known;
            all.dead.extend(one.dead);
        }
        Ok(all)
    }
}

fn dead(incoming: &Incoming<InstructionChunk>, rejections: &[Rejection], reason: &str) -> Vec<DeadEntry> {
    let chunk = &incoming.event;
    let of_rejection = |rejection: &Rejection| {
        let instruction = chunk.instructions.iter().find(|instruction| instruction.seq == rejection.seq)?;
        let alone = InstructionChunk { instructions: vec![instruction.clone()], ..*chunk };
        Some(DeadEntry { payload: alone.encode(), reason: reason.to_owned(), origin: incoming.origin.clone() })
    };
    rejections.iter().filter_map(of_rejection).collect()
}
