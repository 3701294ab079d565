//! Numbers with three decimals, kept as integers: a bench of a program that knows no floats needs none either.

use std::fmt;
use std::time::Duration;

/// A number in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Thousandths(u128);

impl Thousandths {
    /// A whole number.
    pub(crate) const fn whole(number: u64) -> Self {
        Self(number as u128 * 1000)
    }

    /// One number divided by another, rounded to the nearest; None for a division by zero.
    pub(crate) fn quotient(number: u128, by: u128) -> Option<Self> {
        (number * 1000 + by / 2).checked_div(by).map(Self)
    }

    /// How many per second; None where no time passed.
    pub(crate) fn per_second(count: u64, time: Duration) -> Option<Self> {
        Self::quotient(count as u128 * 1_000_000, time.as_micros())
    }

    /// A time in milliseconds: a microsecond is a thousandth of one.
    pub(crate) const fn millis(time: Duration) -> Self {
        Self(time.as_micros())
    }

    /// Divided by another, rounded to the nearest; None for a division by zero.
    pub(crate) fn over(self, other: Self) -> Option<Self> {
        Self::quotient(self.0, other.0)
    }

    /// The mean of two, which is how a floor before and one after a measurement become one.
    pub(crate) const fn mean(self, other: Self) -> Self {
        Self((self.0 + other.0) / 2)
    }

    /// In thousandths.
    pub(crate) const fn raw(self) -> u128 {
        self.0
    }

    /// For people: whole with separators from 100 on, two decimals below.
    pub(crate) fn for_people(self) -> String {
        if self.0 < 100_000 {
            let hundredths = (self.0 + 5) / 10;
            return format!("{}.{:02}", hundredths / 100, hundredths % 100);
        }
        let digits = ((self.0 + 500) / 1000).to_string();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }
}

/// As JSON has it.
impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_rounded_to_the_nearest_thousandth() {
        let rate = Thousandths::per_second(200_000, Duration::from_millis(3_000)).expect("time passed");
        assert_eq!((rate.to_string(), rate.for_people()), ("66666.667".into(), "66,667".into()));
        assert_eq!(Thousandths::per_second(1, Duration::ZERO), None);
    }

    #[test]
    fn a_time_is_in_milliseconds() {
        assert_eq!(Thousandths::millis(Duration::from_micros(12_345)).to_string(), "12.345");
    }

    #[test]
    fn a_ratio_of_rates_is_a_plain_number() {
        let ratio = Thousandths::whole(80_000).over(Thousandths::whole(190_000)).expect("a floor");
        assert_eq!((ratio.to_string(), ratio.for_people()), ("0.421".into(), "0.42".into()));
        assert_eq!(Thousandths::whole(1).over(Thousandths::default()), None);
    }

    #[test]
    fn people_get_separators_and_no_false_precision() {
        let cases = [(1_234_567_800, "1,234,568"), (100_000, "100"), (99_994, "99.99"), (5, "0.01"), (0, "0.00")];
        for (raw, text) in cases {
            assert_eq!(Thousandths(raw).for_people(), text);
        }
    }
}
