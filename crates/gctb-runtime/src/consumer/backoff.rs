//! Waiting times that double up to a limit, with jitter, so that replicas do not come back in step.

use std::time::Duration;

use uuid::Uuid;

#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(Duration::from_millis(1));
        Self { next: min.min(max), max }
    }

    /// The next waiting time: between half and all of the doubled one.
    pub(super) fn next(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.max);
        let half = full / 2;
        let spread = u64::try_from((full - half).as_millis()).unwrap_or(u64::MAX).max(1);
        let (random, _) = Uuid::new_v4().as_u64_pair();
        half + Duration::from_millis(random % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_double_with_jitter_and_stay_below_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
        for full in [200, 400, 800, 1000, 1000, 1000] {
            let waited = backoff.next();
            let range = Duration::from_millis(full / 2)..=Duration::from_millis(full);
            assert!(range.contains(&waited), "{waited:?} is not in {range:?}");
        }
    }
}
