//! Percentiles of times, and when a growing count reached a share of its end. Pure arithmetic in whole microseconds.

use std::time::Duration;

/// The value that `percent` of the samples do not exceed (nearest rank); None of no samples.
pub(crate) fn percentile(samples: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// How far something was at some time after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) at: Duration,
    /// The count then.
    pub(crate) count: u64,
}

/// When the count reached `wanted`, on a straight line between the two samples around it; None where it never did.
///
/// Samples are in the order of time and the count does not fall. It is 0 at the start.
pub(crate) fn reached(samples: &[Sample], wanted: u64) -> Option<Duration> {
    let mut before = Sample { at: Duration::ZERO, count: 0 };
    for after in samples {
        if after.count >= wanted {
            return Some(between(before, *after, wanted));
        }
        before = *after;
    }
    None
}

fn between(before: Sample, after: Sample, wanted: u64) -> Duration {
    let gained = after.count.saturating_sub(before.count);
    if gained == 0 {
        return before.at;
    }
    let missing = u128::from(wanted.saturating_sub(before.count));
    let micros = after.at.saturating_sub(before.at).as_micros() * missing / u128::from(gained);
    before.at + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn percentiles_are_samples_that_were_taken() {
        let hundred: Vec<Duration> = (1..=100).rev().map(ms).collect();
        assert_eq!(percentile(&hundred, 50), Some(ms(50)));
        assert_eq!(percentile(&hundred, 99), Some(ms(99)));
        assert_eq!(percentile(&hundred, 100), Some(ms(100)));
        assert_eq!(percentile(&[ms(7), ms(3), ms(5), ms(1)], 99), Some(ms(7)), "of four the largest");
        assert_eq!(percentile(&[ms(7), ms(3), ms(5)], 50), Some(ms(5)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_share_is_reached_on_the_line_between_two_samples() {
        let samples = [(100, 0), (200, 1_000), (300, 1_000), (400, 3_000)]
            .map(|(millis, count)| Sample { at: ms(millis), count });
        assert_eq!(reached(&samples, 500), Some(ms(150)));
        assert_eq!(reached(&samples, 1_000), Some(ms(200)));
        assert_eq!(reached(&samples, 2_000), Some(ms(350)));
        assert_eq!(reached(&samples, 3_000), Some(ms(400)));
        assert_eq!(reached(&samples, 3_001), None);
    }

    #[test]
    fn the_first_sample_counts_from_zero_at_the_start() {
        assert_eq!(reached(&[Sample { at: ms(100), count: 10 }], 5), Some(ms(50)));
    }
}
