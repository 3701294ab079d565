//! What the scheme's error codes mean, by the stage at which they come: one closed table.
//!
//! The codes are FSPIOP's; what follows from them is ours. Before the transfer no money can move, so an error there is
//! a refusal, at worst one after which another attempt may end better: attempts are counted and have their wait, so that a payee's
//! institution that is away for long does not keep its payments for ever. From the transfer on only a code that says for certain that nothing was paid is a refusal
//! (invariant I3); all others teach nothing, and the adapter is asked.

use gctb_backend::{Hold, Reply};
use gctb_domain::ReasonCode;
use gctb_domain::paying::Learnt;

/// When an error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// While the payee was looked up or the quote asked for.
    Quote,
    /// While money may have been moving.
    Transfer,
    /// When it was asked what became of a transfer.
    Inquiry,
}

/// What a code means at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) learnt: Learnt,
    pub(crate) reason: Option<ReasonCode>,
    pub(crate) hold: Option<Hold>,
}

impl Verdict {
    const fn of(learnt: Learnt) -> Self {
        Self { learnt, reason: None, hold: None }
    }

    const fn refused(again: bool, reason: ReasonCode, hold: Option<Hold>) -> Self {
        Self { learnt: Learnt::Refused { again }, reason: Some(reason), hold }
    }
}

/// A code: its name in the specification, what it means before the transfer, and what it means about the transfer.
type Row = (&'static str, &'static str, Verdict, Verdict);

const NOTHING: Verdict = Verdict::of(Learnt::Nothing);
const DUPLICATE: Verdict = Verdict::of(Learnt::Duplicate);

const fn finally(reason: ReasonCode) -> Verdict {
    Verdict::refused(false, reason, None)
}

const fn once_more(reason: ReasonCode) -> Verdict {
    Verdict::refused(true, reason, None)
}

/// It is about the payer or the set-up, so that nobody would be paid: this payment is tried again when the rail is.
const fn held(reason: ReasonCode, hold: Hold) -> Verdict {
    Verdict::refused(true, reason, Some(hold))
}

const fn both(code: &'static str, words: &'static str, verdict: Verdict) -> Row {
    (code, words, verdict, verdict)
}

const FAILED: Verdict = finally(ReasonCode::PaymentFailed);
const AGAIN: Verdict = once_more(ReasonCode::PaymentFailed);
const PAYEE: Verdict = finally(ReasonCode::PayeeFaInvalid);
const AMOUNT: Verdict = finally(ReasonCode::AmountInvalid);
const CURRENCY: Verdict = finally(ReasonCode::CurrencyCodeInvalid);
const NO_FUNDS: Verdict = held(ReasonCode::PaymentFailed, Hold::NoFunds);
const NOT_SET_UP: Verdict = held(ReasonCode::PaymentFailed, Hold::NotPermitted);
const SIGNATURE: Verdict = held(ReasonCode::PaymentFailed, Hold::CredentialsRefused);
const PAYER_REFUSED: Verdict = held(ReasonCode::PayerFaInvalid, Hold::NotPermitted);
const PAYER_BLOCKED: Verdict = held(ReasonCode::PayerFaInvalid, Hold::Locked);

/// In the order of the codes.
const TABLE: &[Row] = &[
    ("1000", "Communication error", AGAIN, NOTHING),
    ("1001", "Destination communication error", AGAIN, NOTHING),
    ("2000", "Generic server error", AGAIN, NOTHING),
    ("2001", "Internal server error", AGAIN, NOTHING),
    ("2002", "Not implemented", AGAIN, NOTHING),
    ("2003", "Service currently unavailable", AGAIN, NOTHING),
    ("2004", "Server timed out", AGAIN, NOTHING),
    ("2005", "Server busy", AGAIN, NOTHING),
    ("2006", "Temporary failure of party resolution", AGAIN, NOTHING),
    // Our own doing: no payee is to blame, and no other payment would fare better.
    ("3000", "Generic client error", AGAIN, NOTHING),
    ("3001", "Unacceptable version requested", NOT_SET_UP, NOTHING),
    ("3002", "Unknown URI", NOT_SET_UP, NOTHING),
    ("3003", "Add party information error", AGAIN, NOTHING),
    ("3040", "Delete party information error", AGAIN, NOTHING),
    both("3100", "Generic validation error", FAILED),
    both("3101", "Malformed syntax", FAILED),
    both("3102", "Missing mandatory element", FAILED),
    both("3103", "Too many elements", FAILED),
    both("3104", "Too large payload", FAILED),
    both("3105", "Invalid signature", SIGNATURE),
    // The scheme has had this id before, and may have paid it then.
    ("3106", "Modified request", AGAIN, DUPLICATE),
    both("3107", "Missing mandatory extension parameter", FAILED),
    both("3200", "Generic ID not found", PAYEE),
    both("3201", "Destination FSP error", PAYEE),
    both("3202", "Payer FSP ID not found", PAYER_REFUSED),
    both("3203", "Payee FSP ID not found", PAYEE),
    both("3204", "Party not found", PAYEE),
    // Answers to questions. The adapter hands the answer to a question about a transfer to whoever waits for the
    // transfer too.
    ("3205", "Quote ID not found", AGAIN, NOTHING),
    ("3206", "Transaction request ID not found", AGAIN, NOTHING),
    ("3207", "Transaction ID not found", AGAIN, NOTHING),
    ("3208", "Transfer ID not found", AGAIN, NOTHING),
    ("3209", "Bulk quote ID not found", AGAIN, NOTHING),
    ("3210", "Bulk transfer ID not found", AGAIN, NOTHING),
    ("3300", "Generic expired error", AGAIN, NOTHING),
    ("3301", "Transaction request expired", AGAIN, NOTHING),
    both("3302", "Quote expired", AGAIN),
    // The scheme aborts it; being asked, it says so.
    ("3303", "Transfer expired", AGAIN, NOTHING),
    both("4000", "Generic payer error", NOT_SET_UP),
    both("4001", "Payer FSP insufficient liquidity", NO_FUNDS),
    both("4100", "Generic payer rejection", FAILED),
    both("4101", "Payer rejected transaction request", FAILED),
    both("4102", "Payer FSP unsupported transaction type", NOT_SET_UP),
    both("4103", "Payer unsupported currency", CURRENCY),
    both("4200", "Payer limit error", AMOUNT),
    both("4300", "Payer permission error", PAYER_REFUSED),
    both("4400", "Generic payer blocked error", PAYER_BLOCKED),
    both("5000", "Generic payee error", FAILED),
    both("5001", "Payee FSP insufficient liquidity", AGAIN),
    both("5100", "Generic payee rejection", FAILED),
    both("5101", "Payee rejected quote", FAILED),
    both("5102", "Payee FSP unsupported transaction type", FAILED),
    both("5103", "Payee FSP rejected quote", FAILED),
    both("5104", "Payee rejected transaction", FAILED),
    both("5105", "Payee FSP rejected transaction", FAILED),
    both("5106", "Payee unsupported currency", CURRENCY),
    both("5107", "Payee identifier no longer valid", PAYEE),
    both("5200", "Payee limit error", AMOUNT),
    both("5300", "Payee permission error", PAYEE),
    both("5400", "Generic payee blocked error", PAYEE),
];

/// The code that says that the scheme knows no transfer of this id.
const TRANSFER_NOT_FOUND: &str = "3208";

/// What a code means at a stage. A code that the table does not know (settlement, third parties, a scheme's own) is
/// tried again before the transfer, and teaches nothing from there on.
pub(crate) fn verdict(code: &str, stage: Stage) -> Verdict {
    let row = TABLE.iter().find(|(known, ..)| *known == code);
    match stage {
        Stage::Quote => row.map_or(AGAIN, |(_, _, quote, _)| *quote),
        Stage::Transfer => row.map_or(NOTHING, |(_, _, _, transfer)| *transfer),
        // An error is an answer to the question, not about the payment, with one exception.
        Stage::Inquiry if code == TRANSFER_NOT_FOUND => Verdict::of(Learnt::NotFound),
        Stage::Inquiry => NOTHING,
    }
}

/// The reply to an error with a code. The words are the specification's: those of the answer may name the payee
/// (invariant I9).
pub(crate) fn reply(code: &str, stage: Stage) -> Reply {
    let verdict = verdict(code, stage);
    let words = TABLE.iter().find(|(known, ..)| *known == code).map_or("not in our table", |(_, words, ..)| words);
    let reply = Reply::of(verdict.learnt, format!("mojaloop:{code} {words}"));
    Reply { answered: true, reason: verdict.reason, hold: verdict.hold, ..reply }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(verdict: Verdict) -> String {
        let learnt = match verdict.learnt {
            Learnt::Refused { again: true } => "refused, again".to_owned(),
            Learnt::Refused { again: false } => "refused".to_owned(),
            other @ (Learnt::Paid
            | Learnt::Returned
            | Learnt::Accepted
            | Learnt::NotSent
            | Learnt::NotFound
            | Learnt::Duplicate
            | Learnt::Nothing
            | Learnt::Unanswerable) => format!("{other:?}"),
        };
        let reason = verdict.reason.map(|reason| format!(" {}", reason.as_str())).unwrap_or_default();
        let hold = verdict.hold.map(|hold| format!(" hold {hold:?}")).unwrap_or_default();
        format!("{learnt}{reason}{hold}")
    }

    /// The table as people read it; after a change on purpose, `codes.golden` is what this test prints.
    #[test]
    fn every_code_means_at_each_stage_what_the_golden_table_says() {
        let codes = TABLE.iter().map(|(code, words, ..)| (*code, *words));
        let mut text = String::from("code | name | before the transfer | about the transfer | when asked\n");
        for (code, words) in codes.chain([("9999", "any other code")]) {
            let cells = [Stage::Quote, Stage::Transfer, Stage::Inquiry].map(|stage| cell(verdict(code, stage)));
            text.push_str(&format!("{code} | {words} | {}\n", cells.join(" | ")));
        }
        assert_eq!(text, include_str!("codes.golden"), "the table is now:\n{text}");
    }

    #[test]
    fn the_codes_are_four_digits_and_each_stands_once_in_order() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(TABLE.iter().all(|(code, ..)| code.len() == 4 && code.bytes().all(|byte| byte.is_ascii_digit())));
    }

    #[test]
    fn i3_errors_of_the_network_and_of_servers_never_refuse_a_transfer() {
        for (code, ..) in TABLE.iter().filter(|(code, ..)| code.starts_with(['1', '2'])) {
            assert_eq!(verdict(code, Stage::Quote), AGAIN, "{code}");
            assert_eq!(verdict(code, Stage::Transfer), NOTHING, "{code}");
        }
    }

    #[test]
    fn i3_when_asked_no_code_refuses_a_payment() {
        for (code, ..) in TABLE {
            let expected = if *code == "3208" { Learnt::NotFound } else { Learnt::Nothing };
            assert_eq!(verdict(code, Stage::Inquiry).learnt, expected, "{code}");
        }
    }

    #[test]
    fn each_refusal_tells_the_sender_a_reason_and_nothing_else_does() {
        for stage in [Stage::Quote, Stage::Transfer, Stage::Inquiry] {
            for (code, ..) in TABLE {
                let verdict = verdict(code, stage);
                let refused = matches!(verdict.learnt, Learnt::Refused { .. });
                assert_eq!(verdict.reason.is_some(), refused, "{code} {stage:?}");
            }
        }
    }
}
