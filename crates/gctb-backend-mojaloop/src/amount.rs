//! Amounts in Mojaloop's form and back, exactly (invariant I6).
//!
//! FSPIOP writes an amount as a text with at most 18 digits before the point, at most 4 behind it, no leading zero and
//! no trailing one. Every [`Money`] fits: it has at most 13 + 4 digits. Nothing is rounded in either direction.

use gctb_domain::{Currency, Money};

/// Digits before the decimal point.
const INTEGER_DIGITS_MAX: usize = 18;

/// `money` as the adapter takes it: `1000.5` for 1000.50 KES, `7` for 7.00 KES.
pub(crate) fn write(money: Money) -> String {
    let text = money.to_string();
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An amount of an answer in minor units; zero is one, since a fee may be zero. Trailing zeros are forgiven: they
/// change nothing.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn read(text: &str, currency: Currency) -> Result<i64, AmountError> {
    let (integer, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(integer) || !digits(fraction) || integer.len() > INTEGER_DIGITS_MAX {
        return Err(AmountError::NotAnAmount);
    }
    let exponent = currency.exponent() as usize;
    let (kept, beyond) = fraction.split_at(fraction.len().min(exponent));
    if beyond.bytes().any(|digit| digit != b'0') {
        return Err(AmountError::ExcessPrecision);
    }
    format!("{integer}{kept:0<exponent$}").parse().map_err(|_| AmountError::TooLarge)
}

/// Why a text of an answer is no amount of a currency. The text itself is never part of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AmountError {
    /// Not digits with at most one decimal point between them, or too many of them.
    #[error("an amount of the answer is not a plain decimal number")]
    NotAnAmount,
    /// Non-zero digits beyond what the currency has.
    #[error("an amount of the answer has more decimal places than its currency")]
    ExcessPrecision,
    /// More minor units than we count.
    #[error("an amount of the answer is too large")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect("a currency")
    }

    #[test]
    fn amounts_are_written_without_trailing_zeros() {
        let table = [
            ("1000.50", "KES", "1000.5"),
            ("1000.00", "KES", "1000"),
            ("0.01", "KES", "0.01"),
            ("10", "UGX", "10"),
            ("100", "UGX", "100"),
            ("5.001", "KWD", "5.001"),
            ("9999999999999.99", "KES", "9999999999999.99"),
        ];
        for (text, code, expected) in table {
            assert_eq!(write(Money::parse(text, currency(code)).expect(text)), expected);
        }
    }

    #[test]
    fn amounts_of_answers_are_read_exactly_or_refused() {
        let table = [
            ("1000.5", "KES", Ok(100_050)),
            ("1000.50", "KES", Ok(100_050)),
            ("0", "KES", Ok(0)),
            ("0.00", "UGX", Ok(0)),
            ("7", "UGX", Ok(7)),
            ("1000.505", "KES", Err(AmountError::ExcessPrecision)),
            ("0.0001", "KES", Err(AmountError::ExcessPrecision)),
            ("-1", "KES", Err(AmountError::NotAnAmount)),
            ("1e3", "KES", Err(AmountError::NotAnAmount)),
            (".5", "KES", Err(AmountError::NotAnAmount)),
            ("5.", "KES", Err(AmountError::NotAnAmount)),
            ("", "KES", Err(AmountError::NotAnAmount)),
            ("1000000000000000000", "KES", Err(AmountError::NotAnAmount)),
            ("999999999999999999", "KES", Err(AmountError::TooLarge)),
        ];
        for (text, code, expected) in table {
            assert_eq!(read(text, currency(code)), expected, "{text} {code}");
        }
    }

    proptest! {
        #[test]
        fn i6_what_is_written_fits_the_schemes_pattern_and_reads_back_as_the_same_amount(
            minor in 1_i64..=99_999_999_999_999_999,
            code in "KES|UGX|KWD|CLF|XOF",
        ) {
            let currency = currency(&code);
            let minor = minor % 10_i64.pow(13 + currency.exponent()) + 1;
            let text = write(Money::from_minor(minor, currency).expect("positive"));
            let pattern = Regex::new(r"^([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[1-9])?$").expect("compiles");
            prop_assert!(pattern.is_match(&text));
            prop_assert_eq!(read(&text, currency), Ok(minor));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = read(&text, currency("KES"));
        }
    }
}
