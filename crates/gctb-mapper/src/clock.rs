//! The two clocks of this service, handed in from `main`: nothing below reads the time by itself.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// Where the time comes from.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The time of day, for the messages to the mapper.
    pub time: fn() -> DateTime<Utc>,
    /// A time that only grows, for expiry and for waiting.
    pub instant: fn() -> Instant,
}

impl Clock {
    /// The clocks of this machine.
    pub const SYSTEM: Self = Self { time: Utc::now, instant: Instant::now };
}
