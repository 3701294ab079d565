//! How long a claim still lasts, by a clock that goes on while the machine is suspended: a frozen process that wakes up knows
//! that its time is over.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// The end of a claim. It is taken before the claim begins, so that the lease in Postgres never ends before this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    ends: Duration,
}

impl Lease {
    /// A lease that begins now.
    pub(crate) fn begin(length: Duration) -> Self {
        Self { ends: since_boot() + length }
    }

    /// Whether a call that takes so long ends within it.
    pub(crate) fn outlasts(self, call: Duration) -> bool {
        since_boot() + call < self.ends
    }
}

/// When a call must have ended. A rail that waits before it sends, as for a token, looks here again: a machine that was suspended in
/// between wakes up with a claim that may be another's.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    ends: Duration,
}

impl Deadline {
    /// So much from now.
    pub fn after(length: Duration) -> Self {
        Self { at: Instant::now() + length, ends: since_boot() + length }
    }

    /// For a timer, which stands still while the machine is suspended.
    pub const fn at(self) -> Instant {
        self.at
    }

    /// Whether it is over, by the clock that does not.
    pub fn is_over(self) -> bool {
        since_boot() >= self.ends
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Never negative: it counts from the start of the machine.
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i2_a_call_that_could_end_after_the_claim_is_not_begun() {
        let lease = Lease::begin(Duration::from_secs(60));
        assert!(lease.outlasts(Duration::from_secs(50)));
        assert!(!lease.outlasts(Duration::from_secs(60)));
        assert!(!Lease::begin(Duration::ZERO).outlasts(Duration::ZERO));
        assert!(!Deadline::after(Duration::from_secs(60)).is_over());
        assert!(Deadline::after(Duration::ZERO).is_over());
    }
}
