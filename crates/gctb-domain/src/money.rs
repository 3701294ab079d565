//! Exact money (invariant I6): integer minor units of a currency that has an ISO 4217 exponent.

use std::fmt;

/// The code under which amounts are counted whose currency is unknown (ISO 4217: "no currency").
pub const NO_CURRENCY: &str = "XXX";

/// Digits before the decimal point that an amount may have (G2P Connect disburse 1.0.0, `amount`).
const MAX_INTEGER_DIGITS: usize = 13;

/// A currency that money can be paid in: an ISO 4217 code with a defined number of minor digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency {
    code: iso_currency::Currency,
    exponent: u32,
}

impl Currency {
    /// Reads an upper-case ISO 4217 alphabetic code.
    ///
    /// # Errors
    /// `UnknownCurrency` for a code that ISO 4217 does not list or that has no minor unit (XXX, XAU, XTS …).
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let known = iso_currency::Currency::from_code(code).ok_or(MoneyError::UnknownCurrency)?;
        let exponent = known.exponent().ok_or(MoneyError::UnknownCurrency)?;
        Ok(Self { code: known, exponent: u32::from(exponent) })
    }

    /// The alphabetic code, for example `KES`.
    pub fn code(self) -> &'static str {
        self.code.code()
    }

    /// How many digits stand behind the decimal point: 2 for KES, 0 for UGX, 3 for KWD.
    pub const fn exponent(self) -> u32 {
        self.exponent
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A positive amount of one currency in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// Reads a plain decimal such as `1000`, `1000.0` or `10.50`.
    ///
    /// Digits beyond the currency's exponent are accepted only where they are zero: nothing is rounded.
    ///
    /// # Errors
    /// What is wrong with the text, see [`MoneyError`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (integer, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if let Some(magnitude) = text.strip_prefix('-') {
            let numeric = magnitude.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            return Err(if numeric && !magnitude.is_empty() {
                MoneyError::NotPositive
            } else {
                MoneyError::NotANumber
            });
        }
        if !digits(integer) || !digits(fraction) {
            return Err(MoneyError::NotANumber);
        }
        if integer.len() > MAX_INTEGER_DIGITS {
            return Err(MoneyError::TooLarge);
        }
        let exponent = currency.exponent as usize;
        let (kept, beyond) = fraction.split_at(fraction.len().min(exponent));
        if beyond.bytes().any(|b| b != b'0') {
            return Err(MoneyError::ExcessPrecision { exponent: currency.exponent });
        }
        // 13 + at most 4 digits fit an i64; the arithmetic cannot overflow.
        let whole: i64 = integer.parse().map_err(|_| MoneyError::NotANumber)?;
        let part: i64 = format!("{kept:0<exponent$}0").parse::<i64>().map_err(|_| MoneyError::NotANumber)? / 10;
        Self::from_minor(whole * 10_i64.pow(currency.exponent) + part, currency)
    }

    /// An amount that is already in minor units.
    ///
    /// # Errors
    /// `NotPositive` for zero and less.
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if minor <= 0 {
            return Err(MoneyError::NotPositive);
        }
        Ok(Self { minor, currency })
    }

    /// The amount in minor units (cents for KES).
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

/// Plain decimal with exactly the currency's minor digits, without the code: `10.50`, `10` for UGX.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent as usize;
        if exponent == 0 {
            return write!(f, "{}", self.minor);
        }
        let scale = 10_i64.pow(self.currency.exponent);
        write!(f, "{}.{:0exponent$}", self.minor / scale, self.minor % scale)
    }
}

/// Why a text is not an amount that can be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with at most one decimal point between them.
    #[error("the amount is not a plain decimal number")]
    NotANumber,
    /// Zero or negative.
    #[error("the amount is not greater than zero")]
    NotPositive,
    /// More than 13 digits before the point.
    #[error("the amount has more than {MAX_INTEGER_DIGITS} digits before the decimal point")]
    TooLarge,
    /// Non-zero digits beyond what the currency has.
    #[error("the amount has more decimal places than the currency's {exponent}")]
    ExcessPrecision {
        /// The currency's number of decimal places.
        exponent: u32,
    },
    /// Not an ISO 4217 currency with minor units.
    #[error("the currency is not an ISO 4217 code that money can be paid in")]
    UnknownCurrency,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kes() -> Currency {
        Currency::parse("KES").expect("KES is a currency")
    }

    #[test]
    fn amounts_are_read_exactly_or_refused_by_name() {
        let minor = |text: &str, code: &str| Money::parse(text, Currency::parse(code).expect(code)).map(Money::minor);
        let excess = |exponent| Err(MoneyError::ExcessPrecision { exponent });
        let table = [
            ("10.50", "KES", Ok(1050)),
            ("1000.0", "KES", Ok(100_000)),
            ("1000", "KES", Ok(100_000)),
            ("0.01", "KES", Ok(1)),
            ("7.1000", "KES", Ok(710)),
            ("9999999999999.99", "KES", Ok(999_999_999_999_999)),
            ("5", "UGX", Ok(5)),
            ("5.0", "UGX", Ok(5)),
            ("5.001", "KWD", Ok(5001)),
            ("5.5", "UGX", excess(0)),
            ("10.505", "KES", excess(2)),
            ("0", "KES", Err(MoneyError::NotPositive)),
            ("0.00", "KES", Err(MoneyError::NotPositive)),
            ("-5.00", "KES", Err(MoneyError::NotPositive)),
            ("-", "KES", Err(MoneyError::NotANumber)),
            ("", "KES", Err(MoneyError::NotANumber)),
            (".5", "KES", Err(MoneyError::NotANumber)),
            ("5.", "KES", Err(MoneyError::NotANumber)),
            ("1e3", "KES", Err(MoneyError::NotANumber)),
            ("1,000.00", "KES", Err(MoneyError::NotANumber)),
            ("+5", "KES", Err(MoneyError::NotANumber)),
            (" 5", "KES", Err(MoneyError::NotANumber)),
            ("abc", "KES", Err(MoneyError::NotANumber)),
            ("٣", "KES", Err(MoneyError::NotANumber)),
            ("10000000000000", "KES", Err(MoneyError::TooLarge)),
        ];
        for (text, code, expected) in table {
            assert_eq!(minor(text, code), expected, "{text} {code}");
        }
    }

    #[test]
    fn codes_without_minor_units_are_no_currency() {
        for code in ["XXX", "XAU", "ZZZ", "kes", "", "KE"] {
            assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency), "{code}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_amount(minor in 1_i64..=999_999_999_999_999, code in "KES|UGX|KWD|USD|XOF") {
            let currency = Currency::parse(&code).expect("listed");
            // 13 digits before the point are the limit, so a currency without minor units stops there.
            let minor = minor % (10_i64.pow(13) - 1) + 1;
            let money = Money::from_minor(minor, currency).expect("positive");
            prop_assert_eq!(Money::parse(&money.to_string(), currency), Ok(money));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = Money::parse(&text, kes());
        }
    }
}
