//! What Daraja decides about a payment after it acknowledged it. The last four digits of the MSISDN choose the answer where
//! they are reserved. It must not know the book.

use super::Accepted;

/// The smallest and the largest payment, in minor units of KES.
const MIN_MINOR: u64 = 1_000;
const MAX_MINOR: u64 = 25_000_000;

/// A decision: whether the money moves, and which result code is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) code: &'static str,
    pub(super) paid: bool,
}

impl Verdict {
    pub(super) fn refused(code: &'static str) -> Self {
        Self { code, paid: false }
    }
}

pub(super) fn judge(accepted: &Accepted, short_code: &str) -> Verdict {
    if accepted.party_a != short_code {
        return Verdict::refused("2028");
    }
    if accepted.amount_minor < MIN_MINOR {
        return Verdict::refused("2");
    }
    if accepted.amount_minor > MAX_MINOR {
        return Verdict::refused("3");
    }
    reserved(&accepted.account)
}

/// The reserved endings: docs/simulator.md has the same table.
fn reserved(msisdn: &str) -> Verdict {
    let ending = msisdn.get(msisdn.len().saturating_sub(4)..).unwrap_or_default();
    match ending {
        "0001" => Verdict::refused("1"),
        "0003" => Verdict::refused("SFC_IC0003"),
        "0004" => Verdict::refused("4"),
        "0008" => Verdict::refused("8"),
        "0011" => Verdict::refused("11"),
        "0015" => Verdict::refused("15"),
        "0017" => Verdict::refused("17"),
        "0117" => Verdict { code: "17", paid: true },
        "0021" => Verdict::refused("21"),
        "0026" => Verdict::refused("26"),
        "0028" => Verdict::refused("2028"),
        "0040" => Verdict::refused("2040"),
        "0006" => Verdict::refused("2006"),
        _ => Verdict { code: "0", paid: true },
    }
}

/// What Daraja says in words to a result code.
pub(super) fn words(code: &str) -> &'static str {
    match code {
        "0" => "The service request is processed successfully.",
        "1" => "The balance is insufficient for the transaction.",
        "2" => "Declined due to limit rule: less than the minimum transaction amount.",
        "3" => "Declined due to limit rule: greater than the maximum transaction amount.",
        "4" => "Declined due to limit rule: would exceed daily transfer limit.",
        "8" => "Declined due to limit rule: would exceed the maximum balance.",
        "11" => "The DebitParty is in an invalid state.",
        "15" => "Duplicate transaction detected.",
        "17" => "System internal error.",
        "21" => "The initiator is not allowed to initiate this request.",
        "26" => "Traffic blocking condition in place.",
        "2001" => "The initiator information is invalid.",
        "2006" => "Declined due to account rule: the account status does not allow this transaction.",
        "2028" => "The request is not permitted according to product assignment.",
        "2032" => "The original transaction does not exist.",
        "2040" => "Credit Party customer type (Unregistered or Registered Customer) can't be supported by the service.",
        "8006" => "The security credential is locked.",
        "SFC_IC0003" => "The operator does not exist.",
        _ => "The request was not handled within the queue time.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_numbers_are_those_of_the_document() {
        let document = include_str!("../../../../docs/simulator.md");
        let section = document.split_once("| MSISDN ends in |").expect("the table").1;
        let rows = section.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("| `"));
        let mut documented = 0;
        for row in rows {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_end_matches('`')).collect();
            let verdict = reserved(&format!("25470000{}", cells[0]));
            assert_eq!((verdict.code, verdict.paid), (cells[1], cells[2] == "yes"), "{row}");
            documented += 1;
        }
        let ordinary = Verdict { code: "0", paid: true };
        let endings = (0..10_000).filter(|ending| reserved(&format!("25470000{ending:04}")) != ordinary);
        assert_eq!(endings.count(), documented, "every reserved number is in the table");
    }
}
