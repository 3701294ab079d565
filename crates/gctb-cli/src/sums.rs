//! Exact sums of money, one per currency: integer minor units, never a float, never one currency added to another.

use std::collections::BTreeMap;
use std::fmt;

use gctb_domain::{Currency, Money};
use serde::{Serialize, Serializer};

/// A sum for each currency, in minor units. `i128` holds more than 10^19 payments of the largest amount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums(BTreeMap<&'static str, (Currency, i128)>);

impl Sums {
    /// Adds one payment.
    pub(crate) fn add(&mut self, money: Money) {
        self.add_minor(money.currency(), i128::from(money.minor()));
    }

    /// Adds a total in minor units. False, and nothing added, if the currency is unknown.
    #[must_use]
    pub(crate) fn add_minor_total(&mut self, code: &str, minor: i128) -> bool {
        let Ok(currency) = Currency::parse(code) else { return false };
        self.add_minor(currency, minor);
        true
    }

    /// Adds every sum of `other`.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (currency, minor) in other.0.values() {
            self.add_minor(*currency, *minor);
        }
    }

    /// Adds a total that is written as a decimal, such as `1234.50`. False, and nothing added, if it is none or has
    /// more decimals than the currency.
    #[must_use]
    pub(crate) fn add_total(&mut self, code: &str, text: &str) -> bool {
        let Ok(currency) = Currency::parse(code) else { return false };
        let Some(minor) = minor_of(text, currency.exponent() as usize) else { return false };
        self.add_minor(currency, minor);
        true
    }

    /// What these sums have more than `before`, currency by currency; the difference may be negative.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut gained = self.clone();
        for (currency, minor) in before.0.values() {
            gained.add_minor(*currency, -minor);
        }
        gained.0.retain(|_, (_, minor)| *minor != 0);
        gained
    }

    /// The codes of all currencies that have a sum, in alphabetical order.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The sum of one currency as a plain decimal with the currency's digits, `0` where there is none at all.
    pub(crate) fn of(&self, code: &str) -> String {
        match (self.0.get(code), Currency::parse(code)) {
            (Some((currency, minor)), _) => decimal(*minor, currency.exponent()),
            (None, Ok(currency)) => decimal(0, currency.exponent()),
            (None, Err(_)) => "0".into(),
        }
    }

    fn add_minor(&mut self, currency: Currency, minor: i128) {
        self.0.entry(currency.code()).or_insert((currency, 0)).1 += minor;
    }
}

/// `KES 10.50; UGX 7`, or nothing at all.
impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums: Vec<_> = self.codes().map(|code| format!("{code} {}", self.of(code))).collect();
        f.write_str(&sums.join("; "))
    }
}

/// `{"KES":"10.50"}`: a string, since a JSON number may become a float at the reader.
impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.codes().map(|code| (code, self.of(code))))
    }
}

fn decimal(minor: i128, exponent: u32) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = exponent as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - exponent as usize);
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

fn minor_of(text: &str, exponent: usize) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > exponent || !digits(whole) || !digits(part) {
        return None;
    }
    format!("{whole}{part:0<exponent$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: &str, code: &str) -> Money {
        Money::parse(amount, Currency::parse(code).expect(code)).expect(amount)
    }

    #[test]
    fn a_tenth_added_a_thousand_times_is_a_hundred() {
        let mut sums = Sums::default();
        for _ in 0..1000 {
            sums.add(money("0.10", "KES"));
        }
        assert_eq!(sums.to_string(), "KES 100.00");
    }

    #[test]
    fn currencies_never_mix_and_keep_their_own_digits() {
        let mut sums = Sums::default();
        for (amount, code) in [("10.50", "KES"), ("7", "UGX"), ("1.005", "KWD"), ("0.50", "KES")] {
            sums.add(money(amount, code));
        }
        assert_eq!(sums.to_string(), "KES 11.00; KWD 1.005; UGX 7");
        assert_eq!(serde_json::to_string(&sums).expect("strings"), r#"{"KES":"11.00","KWD":"1.005","UGX":"7"}"#);
        assert_eq!((sums.of("USD"), sums.of("JPY")), ("0.00".into(), "0".into()));
    }

    #[test]
    fn totals_are_read_exactly_or_not_at_all() {
        for (text, expected) in
            [("0", "0.00"), ("1234.5", "1234.50"), ("98765432109876543210.99", "98765432109876543210.99")]
        {
            let mut sums = Sums::default();
            assert!(sums.add_total("KES", text), "{text}");
            assert_eq!(sums.of("KES"), expected);
        }
        for (code, text) in [("KES", ""), ("KES", "1.005"), ("KES", "-1"), ("KES", "1e3"), ("KSH", "1"), ("KES", ".5")]
        {
            assert!(!Sums::default().add_total(code, text), "{code} {text}");
        }
    }

    #[test]
    fn what_was_gained_is_a_difference_and_may_be_negative() {
        let (mut before, mut after) = (Sums::default(), Sums::default());
        before.add(money("5.05", "KES"));
        before.add(money("2", "UGX"));
        after.add(money("7.00", "KES"));
        after.add(money("2", "UGX"));
        assert_eq!(after.since(&before).to_string(), "KES 1.95");
        assert_eq!(before.since(&after).to_string(), "KES -1.95");
    }
}
