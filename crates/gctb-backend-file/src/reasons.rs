//! What a bank's reason codes mean for the sender: ISO 20022 external status reasons to G2P Connect reason codes.
//!
//! The table is that of docs/protocols.md, "Reason codes of banks".

use gctb_domain::ReasonCode;

/// What a refusal with a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The instruction was not paid, for this reason.
    Refused(ReasonCode),
    /// The bank says that it had the instruction before: it may have paid it then (invariant I3).
    PaidBefore,
}

/// The verdict of a refusal's reason code, in upper case. A code that the table does not know is a refusal without a code
/// of its own.
pub fn verdict(code: &str) -> Verdict {
    match code {
        "AM05" | "DU03" | "DU04" | "DU05" | "DUPL" | "RF01" => Verdict::PaidBefore,
        "AC01" | "AC03" | "AC04" | "AC06" | "AC07" | "AC08" | "AC12" | "AC14" | "AG01" | "AG03" | "BE01" | "BE04"
        | "BE06" | "BE21" | "BE22" | "BE23" | "CNOR" | "MD07" | "RC01" | "RC04" | "RC07" | "RC08" | "UCRD" => {
            Verdict::Refused(ReasonCode::PayeeFaInvalid)
        }
        "AC02" | "AC05" | "AC13" | "AG07" | "RC03" | "BE05" => Verdict::Refused(ReasonCode::PayerFaInvalid),
        "AM01" | "AM02" | "AM06" | "AM09" | "AM12" | "AM13" | "AM14" | "AM15" | "AM21" => {
            Verdict::Refused(ReasonCode::AmountInvalid)
        }
        "AM03" | "AM11" | "AC09" | "AC10" | "AC11" | "CURR" => Verdict::Refused(ReasonCode::CurrencyCodeInvalid),
        "CH03" | "CH04" | "DT01" | "DT02" | "DT03" | "DT04" | "DT05" | "TM01" => {
            Verdict::Refused(ReasonCode::ScheduleTsInvalid)
        }
        "FF08" => Verdict::Refused(ReasonCode::ReferenceIdInvalid),
        _ => Verdict::Refused(ReasonCode::PaymentFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_of_codes_has_its_reason() {
        let table = [
            ("AC04", Verdict::Refused(ReasonCode::PayeeFaInvalid)),
            ("AC02", Verdict::Refused(ReasonCode::PayerFaInvalid)),
            ("AM02", Verdict::Refused(ReasonCode::AmountInvalid)),
            ("AM03", Verdict::Refused(ReasonCode::CurrencyCodeInvalid)),
            ("DT01", Verdict::Refused(ReasonCode::ScheduleTsInvalid)),
            ("MS03", Verdict::Refused(ReasonCode::PaymentFailed)),
            ("AB05", Verdict::Refused(ReasonCode::PaymentFailed)),
            ("ZZ99", Verdict::Refused(ReasonCode::PaymentFailed)),
        ];
        for (code, expected) in table {
            assert_eq!(verdict(code), expected, "{code}");
        }
    }

    #[test]
    fn i3_a_refusal_as_a_duplicate_is_no_proof_that_nothing_was_paid() {
        for code in ["AM05", "DU04", "DUPL", "RF01"] {
            assert_eq!(verdict(code), Verdict::PaidBefore, "{code}");
        }
    }
}
