//! A process that acts for a backend, and how long it waits for what.
//!
//! It knows no rows: whoever asks it says how often something was done already.

use std::time::Duration;

use gctb_domain::paying::RailKind;
use gctb_domain::{BackendName, News};
use uuid::Uuid;

/// How often a wait is doubled at most; a limit of its own may end it sooner.
const DOUBLINGS_MAX: u32 = 10;

/// A process that acts for a backend, and for how long by one claim.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The backend.
    pub backend: BackendName,
    /// The process; new at each of its starts.
    pub owner: Uuid,
    /// What its rail can do.
    pub kind: RailKind,
    /// How long one claim or one taking-over lasts. Every call that it is for has ended before.
    pub lease: Duration,
    /// How long after that the rail may still act on what it was sent.
    pub settle: Duration,
    /// Most attempts of one instruction, from 1; those do not count that the rail refused with everybody's.
    pub attempts_max: i16,
    /// How long after an answer that decided nothing the rail is asked; doubled with each question.
    pub ask_after: Duration,
    /// The longest wait between two questions.
    pub ask_after_max: Duration,
    /// Most questions after one send that may decide nothing, from 1; then the payment is UNKNOWN and a person's.
    pub asks_max: i16,
    /// How long after a definite refusal another attempt begins; doubled with each.
    pub retry_after: Duration,
}

impl Holder {
    /// How long until the rail is asked that was asked so often since the last send.
    pub(super) fn ask_wait(&self, asked: i16) -> Duration {
        doubled(self.ask_after, asked).min(self.ask_after_max.max(self.ask_after))
    }

    /// How long until another attempt begins after so many that count.
    pub(super) fn retry_wait(&self, counted: i16) -> Duration {
        doubled(self.retry_after, counted.saturating_sub(1))
    }

    /// A refusal of the last attempt that there may be closes the instruction.
    pub(super) fn closing(&self, news: News, counted: i16) -> News {
        if news == News::NotPaid && counted >= self.attempts_max { News::Refused } else { news }
    }
}

/// `wait`, doubled so often.
pub(super) fn doubled(wait: Duration, times: i16) -> Duration {
    let times = u32::try_from(times).unwrap_or(0).min(DOUBLINGS_MAX);
    wait.saturating_mul(1 << times)
}
