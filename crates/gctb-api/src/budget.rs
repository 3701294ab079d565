//! A limit on the bytes of all bodies in hand: beyond it a request is turned away at once instead of being queued, since a
//! queue of bodies is what fills the memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that bodies may still take. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget {
    free: Arc<Semaphore>,
    all: u32,
}

/// Room for one body; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    held: OwnedSemaphorePermit,
    budget: ByteBudget,
}

impl ByteBudget {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes as usize)), all: bytes }
    }

    /// Room for `bytes` more; None where there is not enough.
    pub(crate) fn take(&self, bytes: u32) -> Option<Room> {
        let held = Arc::clone(&self.free).try_acquire_many_owned(bytes).ok()?;
        Some(Room { held, budget: self.clone() })
    }

    /// Bytes that are taken now.
    pub(crate) fn taken(&self) -> u32 {
        // The semaphore starts with `all`, which is a u32.
        self.all.saturating_sub(u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX))
    }
}

impl Room {
    /// Makes the room at least `bytes` large; false where the budget has not enough.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.held.num_permits());
        if missing == 0 {
            return true;
        }
        let more = u32::try_from(missing).ok().and_then(|missing| self.budget.take(missing));
        more.map(|more| self.held.merge(more.held)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_budget_and_give_their_room_back() {
        let budget = ByteBudget::new(10);
        let mut first = budget.take(4).expect("fits");
        assert!(first.grow_to(6));
        assert!(budget.take(5).is_none());
        let second = budget.take(4).expect("fits exactly");
        assert!(!first.grow_to(7));
        assert_eq!(budget.taken(), 10);
        drop((first, second));
        assert_eq!(budget.taken(), 0);
    }
}
