//! The demo's equation: what was received is what was paid and what failed, and the bank's book says the same.
//!
//! Three sides are compared: the message that was sent, the status API, the bank's book. No I/O here.

use std::collections::BTreeSet;
use std::fmt;

use super::book::Gain;
use crate::breakdown::{Breakdown, StatusWord, Tally};

/// The currency of the last line where the batch has several.
const FIRST_CURRENCY: &str = "KES";

/// The three sides.
pub(crate) struct Equation {
    /// What was submitted.
    pub(crate) sent: Tally,
    /// What the status API says of it.
    pub(crate) told: Breakdown,
    /// What the bank's book gained meanwhile.
    pub(crate) gained: Gain,
}

impl Equation {
    fn paid(&self) -> Tally {
        self.told.tally(|word| word == StatusWord::Succ)
    }

    fn failed(&self) -> Tally {
        self.told.tally(|word| word == StatusWord::Rjct)
    }

    fn in_flight(&self) -> u64 {
        self.told.tally(|word| !word.is_final()).count
    }

    /// Which sides disagree, one clause each; empty where the equation holds.
    pub(crate) fn disagreements(&self) -> Vec<String> {
        let (received, paid) = (self.told.total(), self.paid());
        let checks = [
            (received.count != self.sent.count).then(|| {
                format!("{} disbursements were sent, the status API knows {}", self.sent.count, received.count)
            }),
            (received.sums != self.sent.sums).then(|| {
                format!("the amounts sent make {}, those of the status API {}", self.sent.sums, received.sums)
            }),
            (self.in_flight() > 0).then(|| format!("{} instructions have not ended", self.in_flight())),
            (paid.count != self.gained.payments).then(|| {
                format!(
                    "the status API says that {} were paid, the bank's book has {}",
                    paid.count, self.gained.payments
                )
            }),
            (paid.sums != self.gained.sums).then(|| {
                format!("the status API says that {} was paid, the bank's book has {}", paid.sums, self.gained.sums)
            }),
            (paid.without_amount > 0).then(|| format!("{} were paid without a readable amount", paid.without_amount)),
            (self.gained.paid_twice > 0)
                .then(|| format!("the bank's book has {} payments that were made before", self.gained.paid_twice)),
        ];
        checks.into_iter().flatten().collect()
    }

    /// What has to be said before the equation: unreadable amounts, and the sums of further currencies.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let Tally { count, without_amount: without, .. } = self.told.total();
        let unreadable = (without > 0).then(|| {
            format!("demo: {without} of the {count} have no readable amount or currency; the sums leave them out")
        });
        let (_, further) = self.currencies();
        let sums = further.into_iter().map(|code| format!("demo: {}", self.sums(code)));
        unreadable.into_iter().chain(sums).collect()
    }

    /// The currency of the last line, and the others.
    fn currencies(&self) -> (&'static str, BTreeSet<&'static str>) {
        let received = self.told.total();
        let mut codes: BTreeSet<_> = received.sums.codes().collect();
        let first = codes.get(FIRST_CURRENCY).or(codes.first()).copied().unwrap_or(FIRST_CURRENCY);
        codes.remove(first);
        (first, codes)
    }

    fn sums(&self, code: &str) -> String {
        let (received, paid, failed) = (self.told.total(), self.paid(), self.failed());
        let [received, paid, failed] = [received, paid, failed].map(|tally| tally.sums.of(code));
        format!("{code} {received} received = {paid} paid + {failed} failed")
    }
}

/// The last line.
impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "demo: {} received = {} paid + {} failed + {} in flight; {} paid twice; {}",
            self.told.total().count,
            self.paid().count,
            self.failed().count,
            self.in_flight(),
            self.gained.paid_twice,
            self.sums(self.currencies().0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two paid, one refused for its amount, one refused by the bank; the book agrees.
    fn holding() -> Equation {
        let (mut told, mut sent, mut gained) = (Breakdown::default(), Tally::default(), Tally::default());
        for (status, reason, amount) in [
            (StatusWord::Succ, None, "1000.0"),
            (StatusWord::Succ, None, "0.10"),
            (StatusWord::Rjct, Some("rjct.amount.invalid"), "-5"),
            (StatusWord::Rjct, Some("rjct.payee_fa.invalid"), "20.25"),
        ] {
            told.count(status, reason, Some(amount), Some("KES"));
            sent.count(Some(amount), Some("KES"));
            if status == StatusWord::Succ {
                gained.count(Some(amount), Some("KES"));
            }
        }
        Equation { sent, told, gained: Gain { payments: gained.count, sums: gained.sums, paid_twice: 0 } }
    }

    #[test]
    fn an_equation_that_holds_is_one_line() {
        let equation = holding();
        assert_eq!(equation.disagreements(), Vec::<String>::new());
        assert_eq!(
            equation.to_string(),
            "demo: 4 received = 2 paid + 2 failed + 0 in flight; 0 paid twice; \
             KES 1020.35 received = 1000.10 paid + 20.25 failed"
        );
        assert_eq!(
            equation.remarks(),
            ["demo: 1 of the 4 have no readable amount or currency; the sums leave them out"]
        );
    }

    #[test]
    fn each_side_that_disagrees_is_named() {
        let told = |change: fn(&mut Equation)| {
            let mut equation = holding();
            change(&mut equation);
            equation.disagreements()
        };
        assert_eq!(told(|e| e.gained.payments += 1), ["the status API says that 2 were paid, the bank's book has 3"]);
        assert_eq!(told(|e| e.gained.paid_twice = 1), ["the bank's book has 1 payments that were made before"]);
        assert_eq!(told(|e| e.sent.count += 1), ["5 disbursements were sent, the status API knows 4"]);
        assert_eq!(
            told(|e| e.gained.sums = e.sent.sums.clone()),
            ["the status API says that KES 1000.10 was paid, the bank's book has KES 1020.35"]
        );
        assert_eq!(
            told(|e| e.told.count(StatusWord::Pdng, None, None, None)),
            ["4 disbursements were sent, the status API knows 5", "1 instructions have not ended"]
        );
    }

    #[test]
    fn further_currencies_have_a_line_of_their_own_before_the_last() {
        let mut equation = holding();
        equation.told.count(StatusWord::Rjct, Some("rjct.currency_code.invalid"), Some("7"), Some("UGX"));
        assert_eq!(equation.remarks()[1], "demo: UGX 7 received = 0 paid + 7 failed");
        assert!(equation.to_string().contains("KES 1020.35 received"));
    }
}
