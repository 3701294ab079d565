//! The ids of batches by their short numbers, as callbacks name them: looked up together, remembered within a limit.
//!
//! What a number means never changes. Numbers that nobody has are not remembered: whoever makes some up fills no memory.

use std::collections::{HashMap, HashSet};

use gctb_db::{Db, DbError};
use gctb_domain::{BatchId, BatchNo};

/// Batches that are remembered.
#[derive(Debug)]
pub(super) struct BatchNumbers {
    known: HashMap<BatchNo, BatchId>,
    max: usize,
}

impl BatchNumbers {
    /// At most `max` are remembered, or those that one group needs where these are more.
    pub(super) fn new(max: usize) -> Self {
        Self { known: HashMap::new(), max }
    }

    /// Looks up those that are not remembered; [`Self::get`] knows them afterwards.
    pub(super) fn look_up(&mut self, db: &Db, numbers: impl Iterator<Item = BatchNo>) -> Result<(), DbError> {
        let needed: HashSet<BatchNo> = numbers.collect();
        let unknown: Vec<BatchNo> = needed.iter().copied().filter(|number| !self.known.contains_key(number)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let found = db.batches_by_no(&unknown)?;
        if self.known.len() + found.len() > self.max {
            self.known.retain(|number, _| needed.contains(number));
        }
        self.known.extend(found);
        Ok(())
    }

    pub(super) fn get(&self, number: BatchNo) -> Option<BatchId> {
        self.known.get(&number).copied()
    }
}
