//! The bank's rules: which payment it makes and which it rejects, from the payment alone.
//!
//! The same payment always gets the same decision, so a test chooses the outcome by choosing the account. Whether the
//! payment was made before is deliberately not asked.

use sha2::{Digest, Sha256};

use super::payment_file::PaymentLine;

/// What becomes of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The money moves.
    Pay,
    /// It does not, for this reason.
    Reject(Reason),
}

/// An ISO 20022 external status reason with the bank's words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) const UNSPECIFIED: Reason = Reason { code: "MS03", text: "Not specified by the agent" };
pub(crate) const ACCOUNT_CLOSED: Reason = Reason { code: "AC04", text: "Account closed" };
const ZERO_AMOUNT: Reason = Reason { code: "AM01", text: "Amount is zero" };
const ABOVE_LIMIT: Reason = Reason { code: "AM02", text: "Amount above the bank's limit" };
const ACCOUNT_INCORRECT: Reason = Reason { code: "AC01", text: "Account number incorrect" };
const ACCOUNT_BLOCKED: Reason = Reason { code: "AC06", text: "Account blocked" };
const PROXY_UNKNOWN: Reason = Reason { code: "BE23", text: "Phone number or e-mail unknown" };

/// The largest amount that the bank pays, in whole units of any currency.
const LIMIT: i128 = 250_000;

/// Decides on one payment. `reject_percent` of all accounts, chosen by their hash, are rejected for no given reason.
pub(crate) fn decide(line: &PaymentLine, decimals: usize, reject_percent: u8) -> Decision {
    let one = (0..decimals).fold(1_i128, |unit, _| unit * 10);
    let reason = match line.minor {
        0 => Some(ZERO_AMOUNT),
        minor if minor > LIMIT * one => Some(ABOVE_LIMIT),
        _ => by_account(&line.beneficiary_account, reject_percent),
    };
    reason.map_or(Decision::Pay, Decision::Reject)
}

fn by_account(account: &str, reject_percent: u8) -> Option<Reason> {
    let digits: String = account.chars().filter(char::is_ascii_digit).collect();
    let ends = |ending: &str| digits.ends_with(ending);
    match () {
        () if ends("0001") => Some(ACCOUNT_INCORRECT),
        () if ends("0003") => Some(UNSPECIFIED),
        () if ends("0004") => Some(ACCOUNT_CLOSED),
        () if ends("0006") => Some(ACCOUNT_BLOCKED),
        () if ends("0404") => Some(PROXY_UNKNOWN),
        () => (percentile(account) < u16::from(reject_percent)).then_some(UNSPECIFIED),
    }
}

/// A number from 0 to 99 that belongs to the account for ever.
fn percentile(account: &str) -> u16 {
    let digest = Sha256::digest(account);
    u16::from_be_bytes([digest[0], digest[1]]) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(account: &str, minor: i128, decimals: usize, percent: u8) -> Option<&'static str> {
        let line = PaymentLine {
            line_no: 1,
            payment_ref: "P1".to_owned(),
            debit_account: "100".to_owned(),
            beneficiary_account: account.to_owned(),
            minor,
        };
        match decide(&line, decimals, percent) {
            Decision::Pay => None,
            Decision::Reject(reason) => Some(reason.code),
        }
    }

    #[test]
    fn the_account_and_the_amount_decide() {
        let table = [
            ("1234567890", 1050, None),
            ("+254 700 000 123", 1, None),
            ("1230001", 1050, Some("AC01")),
            ("1230003", 1050, Some("MS03")),
            ("12-30-004", 1050, Some("AC04")),
            ("0006", 1050, Some("AC06")),
            ("+254700000404", 1050, Some("BE23")),
            ("1234567890", 0, Some("AM01")),
            ("1234567890", 25_000_000, None),
            ("1234567890", 25_000_001, Some("AM02")),
        ];
        for (account, minor, expected) in table {
            assert_eq!(decision(account, minor, 2, 0), expected, "{account} {minor}");
        }
        assert_eq!(decision("1234567890", 250_001, 0, 0), Some("AM02"), "the limit is in whole units");
    }

    #[test]
    fn a_share_of_the_accounts_is_rejected_always_the_same_ones() {
        let rejected = (1000..3000).filter(|n| decision(&format!("77{n}9"), 100, 2, 10).is_some()).count();
        assert!((100..300).contains(&rejected), "{rejected} of 2000 at 10 percent");
        assert!((1000..1100).all(|n| decision(&format!("77{n}9"), 100, 2, 100) == Some("MS03")));
    }
}
