//! Refused callbacks that are kept for a person, with what they said; only so many in a minute.

use std::time::{Duration, Instant};

use gctb_db::NewException;
use gctb_domain::{BatchId, RailKey};

use super::outcome::Outcome;

const MINUTE: Duration = Duration::from_secs(60);
/// Bytes of a body that wait to be kept: as many as the 4096 characters can have that are.
pub(super) const BODY_BYTES_MAX: usize = 4 * 4096;

/// A callback that is not believed. Personal data: it has no `Debug`.
pub(super) struct Refused {
    /// Why.
    pub(super) outcome: Outcome,
    /// The payment that it names, if it names one of ours.
    pub(super) key: Option<RailKey>,
    /// That payment's batch, where it is here.
    pub(super) batch: Option<BatchId>,
    /// What it said.
    pub(super) body: Vec<u8>,
}

impl Refused {
    pub(super) fn exception(&self) -> NewException {
        let instruction = self.key.and_then(|key| self.batch.map(|batch| (batch, key.seq())));
        NewException {
            kind: self.outcome.as_str(),
            detail: self.outcome.detail().to_owned(),
            rail_key: self.key.map(|key| key.to_string()),
            instruction,
            body: Some(String::from_utf8_lossy(&self.body).into_owned()),
        }
    }
}

/// How many may be kept.
#[derive(Debug)]
pub(super) struct Allowance {
    per_minute: u32,
    left: u32,
    since: Instant,
}

impl Allowance {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        Self { per_minute, left: per_minute, since: now }
    }

    /// How many of `wanted` may be kept now.
    pub(super) fn take(&mut self, wanted: usize, now: Instant) -> usize {
        if now.saturating_duration_since(self.since) >= MINUTE {
            *self = Self::new(self.per_minute, now);
        }
        let taken = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.left);
        self.left -= taken;
        taken as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i10_only_so_many_are_kept_in_a_minute() {
        let start = Instant::now();
        let mut allowance = Allowance::new(3, start);
        assert_eq!(allowance.take(2, start), 2);
        assert_eq!(allowance.take(2, start), 1);
        assert_eq!(allowance.take(2, start + MINUTE - Duration::from_millis(1)), 0);
        assert_eq!(allowance.take(5, start + MINUTE), 3);
    }
}
