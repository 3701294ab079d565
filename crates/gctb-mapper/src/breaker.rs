//! The breaker: after some failed calls in a row the mapper is left alone for a while, then one call tries it.
//!
//! It does no I/O and reads no clock. Without it a mapper in trouble would be kept down by everybody who waits for it.

use std::time::Instant;

use crate::settings::BreakerSettings;

/// Says whether the mapper may be called.
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: State,
}

enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is under way that decides.
    HalfOpen,
}

/// Its state as operators see it. The numbers are those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BreakerState {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures: 0 } }
    }

    /// Whether a call may begin at `now`. Who is admitted must tell how the call ended.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::HalfOpen => false,
            State::Open { until } if now < until => false,
            State::Open { .. } => {
                self.state = State::HalfOpen;
                true
            }
        }
    }

    /// A call was answered.
    pub(crate) fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// A call failed at `now`.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.settings.failures_max => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } | State::HalfOpen | State::Open { .. } => {
                State::Open { until: now + self.settings.open_time }
            }
        };
    }

    /// A call was given up before it ended. Nothing was learnt: the next one may try.
    pub(crate) fn abandoned(&mut self, now: Instant) {
        if matches!(self.state, State::HalfOpen) {
            self.state = State::Open { until: now };
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::HalfOpen => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OPEN: Duration = Duration::from_secs(5);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { failures_max: 3, open_time: OPEN })
    }

    fn opened(at: Instant) -> Breaker {
        let mut breaker = breaker();
        (0..3).for_each(|_| breaker.failed(at));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_before() {
        let (mut breaker, now) = (breaker(), Instant::now());
        breaker.failed(now);
        breaker.failed(now);
        breaker.succeeded();
        breaker.failed(now);
        breaker.failed(now);
        assert!(breaker.admits(now), "only two in a row");
        breaker.failed(now);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.admits(now));
    }

    #[test]
    fn after_its_time_it_lets_one_call_through() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.admits(now + OPEN - Duration::from_millis(1)));
        assert!(breaker.admits(now + OPEN));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.admits(now + OPEN), "one call alone tries");
    }

    #[test]
    fn the_one_call_decides() {
        let now = Instant::now();
        let mut good = opened(now);
        assert!(good.admits(now + OPEN));
        good.succeeded();
        assert!(good.admits(now + OPEN) && good.admits(now + OPEN));
        let mut bad = opened(now);
        assert!(bad.admits(now + OPEN));
        bad.failed(now + OPEN);
        assert!(!bad.admits(now + OPEN + Duration::from_secs(4)), "a failed trial waits the whole time again");
        assert!(bad.admits(now + OPEN + OPEN));
    }

    #[test]
    fn a_trial_that_was_given_up_leaves_room_for_the_next() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.admits(now + OPEN));
        breaker.abandoned(now + OPEN);
        assert!(breaker.admits(now + OPEN));
    }
}
