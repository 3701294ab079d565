//! From counts over time to a rate, in the same way for the bridge and for its floor.

use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::statistics::{Sample, reached};
use crate::thousandths::Thousandths;

/// Counts of payments since a beginning.
#[derive(Debug)]
pub(super) struct Counted {
    began: Instant,
    all: u64,
    samples: Vec<Sample>,
}

impl Counted {
    pub(super) fn begin(all: u64) -> Self {
        Self { began: Instant::now(), all, samples: Vec::new() }
    }

    /// Notes that so many are done now.
    pub(super) fn note(&mut self, count: u64) {
        self.samples.push(Sample { at: self.began.elapsed(), count });
    }

    /// How many were done when last looked.
    pub(super) fn last(&self) -> u64 {
        self.samples.last().map_or(0, |sample| sample.count)
    }

    /// How many there are.
    pub(super) const fn all(&self) -> u64 {
        self.all
    }

    /// Whether so many percent are done.
    pub(super) fn has_reached(&self, percent: u64) -> bool {
        self.last() * 100 >= self.all * percent
    }

    /// Payments per second between the tenth and the ninety-fifth in a hundred: connections are made before, and what is last
    /// has the rail to itself.
    pub(super) fn steady_rate(&self) -> Result<Thousandths, BenchError> {
        let took = self.at(95)?.saturating_sub(self.at(10)?);
        Thousandths::per_second(self.all * 85 / 100, took).ok_or(few())
    }

    /// Payments per second from the tenth in a hundred to the last one, if that ends now.
    pub(super) fn rate_until_now(&self) -> Result<Thousandths, BenchError> {
        let took = self.began.elapsed().saturating_sub(self.at(10)?);
        Thousandths::per_second(self.all * 90 / 100, took).ok_or(few())
    }

    fn at(&self, percent: u64) -> Result<Duration, BenchError> {
        reached(&self.samples, self.all * percent / 100).ok_or(few())
    }
}

fn few() -> BenchError {
    BenchError::TooFew("the rate of payments")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tenth_and_the_last_twentieth_do_not_count() {
        let at = |millis, count| Sample { at: Duration::from_millis(millis), count };
        // A slow start, 1,000 a second, and a slow end.
        let samples = vec![at(5_000, 100), at(5_850, 950), at(20_000, 1_000)];
        let counted = Counted { began: Instant::now(), all: 1_000, samples };
        assert_eq!(counted.steady_rate().expect("samples"), Thousandths::whole(1_000));
        assert!(counted.has_reached(100) && counted.last() == 1_000);
    }

    #[test]
    fn what_did_not_come_far_enough_has_no_rate() {
        let mut counted = Counted::begin(1_000);
        counted.note(500);
        assert!(counted.steady_rate().is_err() && !counted.has_reached(51));
    }
}
