//! A limit on the bytes of all bodies in hand. Who finds no room waits for it, in the order of arrival and with its body still
//! unread, since a queue of bodies is what fills the memory; who waits too long is turned away.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::time::timeout;
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

    /// Room for `bytes`, waited for at most `wait_max`; None where it took longer. A body that is larger than the budget
    /// takes all of it: it is the only one then.
    pub(crate) async fn wait_for(&self, bytes: u32, wait_max: Duration) -> Option<Room> {
        let held = Arc::clone(&self.free).acquire_many_owned(bytes.min(self.all));
        let held = timeout(wait_max, held).await.ok()?.ok()?;
        Some(Room { held, budget: self.clone() })
    }

    /// Bytes that are taken now.
    pub(crate) fn taken(&self) -> u32 {
        // The semaphore starts with `all`, which is a u32.
        self.all.saturating_sub(u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX))
    }
}

impl Room {
    /// Makes the room at least `bytes` large; false where there is not enough now. Nobody waits for more room while
    /// holding some: two who did could wait for each other.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.min(self.budget.all as usize).saturating_sub(self.held.num_permits());
        if missing == 0 {
            return true;
        }
        let more = u32::try_from(missing).ok();
        let more = more.and_then(|missing| Arc::clone(&self.budget.free).try_acquire_many_owned(missing).ok());
        more.map(|more| self.held.merge(more)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that fits waits, so that no time passes.
    const NOT_AT_ALL: Duration = Duration::ZERO;

    #[actix_web::test]
    async fn bodies_share_the_budget_and_give_their_room_back() {
        let budget = ByteBudget::new(10);
        let mut first = budget.wait_for(4, NOT_AT_ALL).await.expect("fits");
        assert!(first.grow_to(6));
        assert!(budget.wait_for(5, NOT_AT_ALL).await.is_none());
        let second = budget.wait_for(4, NOT_AT_ALL).await.expect("fits exactly");
        assert!(!first.grow_to(7));
        assert_eq!(budget.taken(), 10);
        drop((first, second));
        assert_eq!(budget.taken(), 0);
    }

    #[actix_web::test]
    async fn a_body_larger_than_the_budget_is_the_only_one() {
        let budget = ByteBudget::new(10);
        let small = budget.wait_for(1, NOT_AT_ALL).await.expect("fits");
        assert!(budget.wait_for(11, NOT_AT_ALL).await.is_none());
        drop(small);
        let mut large = budget.wait_for(11, NOT_AT_ALL).await.expect("has all of it");
        assert!(large.grow_to(12));
        assert!(budget.wait_for(1, NOT_AT_ALL).await.is_none());
    }

    #[actix_web::test]
    async fn room_goes_to_those_who_wait_in_the_order_of_their_arrival() {
        let budget = ByteBudget::new(10);
        let first = budget.wait_for(8, NOT_AT_ALL).await.expect("fits");
        let large = actix_web::rt::spawn({
            let budget = budget.clone();
            async move { budget.wait_for(9, Duration::from_secs(60)).await }
        });
        actix_web::rt::task::yield_now().await;
        // It would fit, but a stream of small bodies would then keep the large one out for ever.
        assert!(budget.wait_for(2, NOT_AT_ALL).await.is_none());
        drop(first);
        assert_eq!(large.await.expect("waits").map(|room| room.held.num_permits()), Some(9));
    }
}
