//! Amounts as the bank reads and writes them: whole minor units of a currency, in text with exactly its decimals.
//!
//! Written for the simulator alone: sharing the bridge's arithmetic would let both be wrong together.

/// The decimals of a currency by ISO 4217: the exceptions are listed, every other currency has two.
///
/// Returns `None` for what is not three capital letters. Whether such a currency exists is not checked.
pub(crate) fn decimals_of(currency: &str) -> Option<usize> {
    let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then_some(match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    })
}

/// Reads digits with exactly `decimals` of them after the point; no sign, no grouping, at most 18 before the point.
pub(crate) fn parse(text: &str, decimals: usize) -> Option<i128> {
    const WHOLE_DIGITS: usize = 18;
    let (whole, fraction) = match decimals {
        0 => (text, ""),
        _ => text.split_once('.')?,
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = (1..=WHOLE_DIGITS).contains(&whole.len())
        && fraction.len() == decimals
        && all_digits(whole)
        && all_digits(fraction);
    if well_formed { format!("{whole}{fraction}").parse().ok() } else { None }
}

/// Writes minor units with the currency's decimals. Amounts in this crate are never negative.
pub(crate) fn format(minor: i128, decimals: usize) -> String {
    let digits = format!("{minor:0width$}", width = decimals + 1);
    match decimals {
        0 => digits,
        _ => {
            let (whole, fraction) = digits.split_at(digits.len() - decimals);
            format!("{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_exactly_the_decimals_of_their_currency() {
        assert_eq!(parse("10.50", 2), Some(1050));
        assert_eq!(parse("0.05", 2), Some(5));
        assert_eq!(parse("1500", 0), Some(1500));
        assert_eq!(parse("1.234", 3), Some(1234));
        for bad in [
            "",
            "10",
            "10.5",
            "10.505",
            "-1.00",
            "+1.00",
            "1,000.00",
            ".50",
            "1.",
            "1e3",
            "1.00 ",
            "1.0a",
            "1234567890123456789.00",
        ] {
            assert_eq!(parse(bad, 2), None, "{bad}");
        }
        assert_eq!(parse("10.00", 0), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        for (minor, decimals, text) in
            [(5, 2, "0.05"), (1050, 2, "10.50"), (0, 2, "0.00"), (7, 0, "7"), (1, 3, "0.001"), (12345, 4, "1.2345")]
        {
            assert_eq!(format(minor, decimals), text);
            assert_eq!(parse(text, decimals), Some(minor));
        }
    }

    #[test]
    fn currencies_have_their_own_decimals() {
        assert_eq!(
            [decimals_of("KES"), decimals_of("UGX"), decimals_of("KWD"), decimals_of("kes"), decimals_of("KE")],
            [Some(2), Some(0), Some(3), None, None]
        );
    }
}
