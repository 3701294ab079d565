//! How fast a rail may be called: the contract's rate over the partitions that this replica has, less where the rail says that it
//! is too much, and nothing for a while where it does not answer.
//!
//! It makes no call and knows no payment. Every lane and every chore asks here for room before it claims or calls.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::settings::RailSettings;

/// Slices of a second over which the rate is spread: what may be sent at once.
const SLICES: u32 = 10;
/// The slowest that a rail's complaints make us, as a share of the rate: one in so many.
const SLOWEST: u32 = 64;
/// How long a lower rate stands before it rises by a step.
const RISE_EVERY: Duration = Duration::from_secs(1);

/// What the calls of one window or chore came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Calls that the rail answered, whatever it said.
    pub(crate) answered: u32,
    /// Calls without an answer, or that could not be made.
    pub(crate) failed: u32,
    /// Sends that the rail has paid.
    pub(crate) paid: u32,
    /// The longest that the rail wants to be left alone.
    pub(crate) slow_down: Option<Duration>,
}

/// Shared by the lanes and chores of a process.
pub(crate) struct Pace {
    settings: RailSettings,
    total_partitions: u32,
    state: Mutex<State>,
}

struct State {
    owned_partitions: u32,
    limiter: Option<DefaultDirectRateLimiter>,
    /// One in so many of the rate; 1: all of it.
    slower: u32,
    /// Calls per second seen lately, from which a rail without a contract rate is slowed down.
    seen: Seen,
    rises_at: Instant,
    breaker: Breaker,
}

struct Seen {
    since: Instant,
    calls: u32,
    last_second: u32,
}

enum Breaker {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One payment is under way that decides.
    Trial {
        pause: Duration,
    },
    /// It answered; windows grow again from this size.
    Growing {
        window: usize,
    },
}

/// Why nothing may be called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// So many may be.
    For(usize),
    /// The rate allows none just now.
    Later(Duration),
    /// The rail is left alone.
    Closed(Duration),
}

impl Pace {
    pub(crate) fn new(settings: &RailSettings, total_partitions: u32, now: Instant) -> Self {
        let state = State {
            owned_partitions: total_partitions,
            limiter: None,
            slower: 1,
            seen: Seen { since: now, calls: 0, last_second: 0 },
            rises_at: now,
            // The first payment of a process is one alone: wrong credentials are found with it.
            breaker: Breaker::Open { until: now, pause: settings.pause_min },
        };
        let pace =
            Self { settings: settings.clone(), total_partitions: total_partitions.max(1), state: Mutex::new(state) };
        pace.set_rate(&mut pace.lock());
        pace
    }

    /// This replica has so many partitions now: its share of the contract's rate.
    pub(crate) fn assigned(&self, partitions: usize) {
        let mut state = self.lock();
        state.owned_partitions = u32::try_from(partitions).unwrap_or(u32::MAX).min(self.total_partitions);
        self.set_rate(&mut state);
    }

    /// How many of `wanted` may be called now. They count as called.
    pub(crate) fn room(&self, wanted: usize, now: Instant) -> Room {
        let mut state = self.lock();
        if state.slower > 1 && now >= state.rises_at {
            state.slower = (state.slower - (state.slower / 4).max(1)).max(1);
            state.rises_at = now + RISE_EVERY;
            self.set_rate(&mut state);
        }
        let wanted = match state.breaker {
            Breaker::Closed { .. } => wanted,
            Breaker::Growing { window } => wanted.min(window),
            Breaker::Open { until, .. } if now < until => return Room::Closed(until - now),
            Breaker::Open { .. } => wanted.min(1),
            Breaker::Trial { .. } => return Room::Later(Duration::from_millis(50)),
        };
        let room = state.take(wanted);
        if let (Room::For(1..), &Breaker::Open { pause, .. }) = (&room, &state.breaker) {
            state.breaker = Breaker::Trial { pause };
        }
        room
    }

    /// What was given room was not called after all: the trial is another's.
    pub(crate) fn unused(&self, now: Instant) {
        let mut state = self.lock();
        if let Breaker::Trial { pause } = state.breaker {
            state.breaker = Breaker::Open { until: now, pause };
        }
    }

    /// The next call is one payment that tries the rail.
    pub(crate) fn try_with_one(&self, now: Instant) {
        self.lock().breaker = Breaker::Open { until: now, pause: self.settings.pause_min };
    }

    /// The rail wants to be left alone.
    pub(crate) fn slow_down(&self, how_long: Duration, now: Instant) {
        let mut state = self.lock();
        state.slower = (state.slower * 2).min(SLOWEST);
        state.rises_at = now + how_long.max(RISE_EVERY);
        self.set_rate(&mut state);
    }

    /// The next call is one payment that tries the rail, and not before the shortest pause is over.
    pub(crate) fn try_with_one_later(&self, now: Instant) {
        self.lock().breaker = self.open(self.settings.pause_min, now);
    }

    /// What calls came to.
    pub(crate) fn learn(&self, summary: Summary, now: Instant) {
        let calls = summary.answered + summary.failed;
        if let Some(slow_down) = summary.slow_down {
            self.slow_down(slow_down, now);
        }
        if calls == 0 {
            // Nothing that tells whether it answers: the next call tries it.
            self.unused(now);
            return;
        }
        let mut state = self.lock();
        state.seen.add(calls, now);
        let window = self.settings.window();
        state.breaker = match state.breaker {
            Breaker::Closed { failures } => {
                let failures = if summary.answered > 0 { summary.failed.min(1) } else { failures + summary.failed };
                if failures >= self.settings.failures_max {
                    self.open(self.settings.pause_min, now)
                } else {
                    Breaker::Closed { failures }
                }
            }
            Breaker::Trial { .. } | Breaker::Growing { .. } | Breaker::Open { .. } if summary.answered == 0 => {
                let pause = match state.breaker {
                    Breaker::Trial { pause } => (pause * 2).min(self.settings.pause_max),
                    Breaker::Open { pause, .. } => pause,
                    Breaker::Closed { .. } | Breaker::Growing { .. } => self.settings.pause_min,
                };
                self.open(pause, now)
            }
            // It answers again: windows grow from a small one.
            Breaker::Growing { window: now_at } if now_at * 2 >= window => Breaker::Closed { failures: 0 },
            Breaker::Growing { window: now_at } => Breaker::Growing { window: now_at * 2 },
            Breaker::Trial { .. } | Breaker::Open { .. } if window <= 2 => Breaker::Closed { failures: 0 },
            Breaker::Trial { .. } | Breaker::Open { .. } => Breaker::Growing { window: 2 },
        };
    }

    /// For how long the rail is left alone, if it is.
    pub(crate) fn closed_for(&self, now: Instant) -> Option<Duration> {
        match self.lock().breaker {
            Breaker::Open { until, .. } if now < until => Some(until - now),
            Breaker::Closed { .. } | Breaker::Open { .. } | Breaker::Trial { .. } | Breaker::Growing { .. } => None,
        }
    }

    fn open(&self, pause: Duration, now: Instant) -> Breaker {
        Breaker::Open { until: now + pause, pause: pause.min(self.settings.pause_max) }
    }

    fn set_rate(&self, state: &mut State) {
        // Without a contract, a rail that complains is slowed down from what it was called with.
        let contract = self.settings.rate().map(NonZeroU32::get);
        let all = match (contract, state.slower) {
            (Some(rate), _) => u64::from(rate) * u64::from(state.owned_partitions),
            (None, 1) => {
                state.limiter = None;
                return;
            }
            (None, _) => u64::from(state.seen.rate().max(SLOWEST)) * u64::from(self.total_partitions),
        };
        let share = u64::from(self.total_partitions) * u64::from(state.slower);
        // One call in so many nanoseconds; a replica without partitions calls for its chores alone, at the least rate.
        let period = Duration::from_nanos((1_000_000_000 * share / all.max(1)).clamp(1, 60_000_000_000));
        let burst = u32::try_from(all / share / u64::from(SLICES)).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        state.limiter = Quota::with_period(period).map(|quota| RateLimiter::direct(quota.allow_burst(burst)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&self, wanted: usize) -> Room {
        let Some(limiter) = &self.limiter else { return Room::For(wanted) };
        let mut wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        // As many as are left of the burst: halved until they fit.
        while let Some(some) = NonZeroU32::new(wanted) {
            if matches!(limiter.check_n(some), Ok(Ok(()))) {
                return Room::For(usize::try_from(wanted).unwrap_or(usize::MAX));
            }
            wanted /= 2;
        }
        Room::Later(Duration::from_millis(u64::from(1000 / SLICES) / 5))
    }
}

impl Seen {
    fn add(&mut self, calls: u32, now: Instant) {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            self.last_second = self.calls;
            self.calls = 0;
            self.since = now;
        }
        self.calls = self.calls.saturating_add(calls);
    }

    fn rate(&self) -> u32 {
        self.last_second.max(self.calls)
    }
}

#[cfg(test)]
mod tests;
