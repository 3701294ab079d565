//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Polls until `condition` gives a value; panics after 30 seconds with what was waited for.
pub fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    eventually_within(Duration::from_secs(30), what, condition)
}

/// Polls until `condition` gives a value; panics after `deadline` with what was waited for.
///
/// # Panics
/// Where the deadline passes.
pub fn eventually_within<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain for {what}");
        // The pause between two looks, not the wait: a condition that holds is seen within 20 ms.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
