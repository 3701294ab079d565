//! How the number of ended instructions grew: for the rates, and for the chart.

use std::time::Duration;

use crate::error::BenchError;
use crate::statistics::{Sample, reached};
use crate::thousandths::Thousandths;

/// Samples since the first byte, up to all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curve {
    pub(crate) samples: Vec<Sample>,
    pub(crate) all: u64,
}

impl Curve {
    /// From the first byte to the last end.
    pub(crate) fn took(&self) -> Result<Duration, BenchError> {
        self.samples.last().map(|sample| sample.at).ok_or(BenchError::TooFew("how long it took"))
    }

    /// Instructions per second, from the first byte to the last end.
    pub(crate) fn rate(&self) -> Result<Thousandths, BenchError> {
        Thousandths::per_second(self.all, self.took()?).ok_or(BenchError::TooFew("the rate"))
    }

    /// Instructions per second between the end of the first tenth and that of the ninth.
    pub(crate) fn steady_rate(&self) -> Result<Thousandths, BenchError> {
        let few = || BenchError::TooFew("the steady rate");
        let at = |tenths| reached(&self.samples, self.all * tenths / 10).ok_or_else(few);
        Thousandths::per_second(self.all * 8 / 10, at(9)?.saturating_sub(at(1)?)).ok_or_else(few)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_rate_leaves_the_first_and_the_last_tenth_out() {
        // Two seconds until anything ends, then 1,000 a second, and a last one that is late.
        let mut samples: Vec<Sample> =
            (0..=9).map(|n| Sample { at: Duration::from_secs(2 + n), count: n * 1_000 }).collect();
        samples.push(Sample { at: Duration::from_secs(40), count: 10_000 });
        let curve = Curve { samples, all: 10_000 };
        assert_eq!(curve.rate().expect("samples"), Thousandths::whole(250));
        assert_eq!(curve.steady_rate().expect("samples"), Thousandths::whole(1_000));
    }

    #[test]
    fn a_curve_without_its_end_has_no_rate() {
        assert!(Curve::default().rate().is_err());
        let half = Curve { samples: vec![Sample { at: Duration::from_secs(1), count: 5 }], all: 10 };
        assert!(half.steady_rate().is_err());
    }
}
