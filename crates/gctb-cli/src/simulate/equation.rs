//! The demo's equation: what was received is what was paid and what failed, and the rails' own books say the same.
//!
//! Four sides are compared: the message that was sent, the status API, the bridge's tables by backend (where they could be
//! read), and each book. No I/O here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::book::Gain;
use super::books::Gains;
use super::paid_by::PaidBy;
use crate::breakdown::{Breakdown, StatusWord, Tally};

/// The currency of the last line where the batch has several.
const FIRST_CURRENCY: &str = "KES";

/// The four sides.
pub(crate) struct Equation {
    /// What was submitted.
    pub(crate) sent: Tally,
    /// What the status API says of it.
    pub(crate) told: Breakdown,
    /// What the bridge's tables say each backend paid. None: nobody named a database.
    pub(crate) paid_by: Option<PaidBy>,
    /// What each backend's book gained meanwhile.
    pub(crate) gained: Gains,
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

    /// All books together.
    fn books(&self) -> Gain {
        let mut all = Gain::default();
        self.gained.values().for_each(|gain| all.add(gain));
        all
    }

    /// What nobody can account for: sent and not known, or called paid and in no book.
    fn lost(&self) -> u64 {
        let not_known = self.sent.count.saturating_sub(self.told.total().count);
        let all_rails = self.paid().count.saturating_sub(self.books().payments);
        let by_rail = self.rails().map(|(_, told, gain)| told.count.saturating_sub(gain.payments)).sum();
        not_known + all_rails.max(by_rail)
    }

    /// Each backend that paid or should have: what the tables say, and what its book gained. Nothing where no tables were read.
    fn rails(&self) -> impl Iterator<Item = (&str, Tally, Gain)> {
        let told: BTreeMap<&str, &Tally> =
            self.paid_by.iter().flatten().map(|(backend, tally)| (backend.as_str(), tally)).collect();
        let names: BTreeSet<&str> = match self.paid_by {
            Some(_) => self.gained.keys().map(String::as_str).chain(told.keys().copied()).collect(),
            None => BTreeSet::new(),
        };
        names.into_iter().filter_map(move |name| {
            let tally = told.get(name).copied().cloned().unwrap_or_default();
            let gain = self.gained.get(name).cloned().unwrap_or_default();
            (tally.count + gain.payments > 0).then_some((name, tally, gain))
        })
    }

    /// Which sides disagree, one clause each; empty where the equation holds.
    pub(crate) fn disagreements(&self) -> Vec<String> {
        let (received, paid, books) = (self.told.total(), self.paid(), self.books());
        let checks = [
            (received.count != self.sent.count).then(|| {
                format!("{} disbursements were sent, the status API knows {}", self.sent.count, received.count)
            }),
            (received.sums != self.sent.sums).then(|| {
                format!("the amounts sent make {}, those of the status API {}", self.sent.sums, received.sums)
            }),
            (self.in_flight() > 0).then(|| format!("{} instructions have not ended", self.in_flight())),
            (paid.count != books.payments).then(|| {
                format!("the status API says that {} were paid, the books have {}", paid.count, books.payments)
            }),
            (paid.sums != books.sums)
                .then(|| format!("the status API says that {} was paid, the books have {}", paid.sums, books.sums)),
            (paid.without_amount > 0).then(|| format!("{} were paid without a readable amount", paid.without_amount)),
            (books.paid_twice > 0)
                .then(|| format!("the books have {} payments that were made before", books.paid_twice)),
        ];
        checks.into_iter().flatten().chain(self.rails().flat_map(disagreement)).collect()
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

    /// `file 560 of 560, mpesa 90 of 90`: payments in the book, of those that the bridge calls paid.
    fn by_rail(&self) -> String {
        let compared: Vec<_> =
            self.rails().map(|(name, told, gain)| format!("{name} {} of {}", gain.payments, told.count)).collect();
        if self.paid_by.is_some() {
            return compared.join(", ");
        }
        let alone = self.gained.iter().filter(|(_, gain)| gain.payments > 0);
        alone.map(|(name, gain)| format!("{name} {}", gain.payments)).collect::<Vec<_>>().join(", ")
    }
}

/// One rail's tables and book, where they say different things.
fn disagreement((name, told, gain): (&str, Tally, Gain)) -> Vec<String> {
    let count = (told.count != gain.payments)
        .then(|| format!("{name} is said to have paid {}, its book has {}", told.count, gain.payments));
    let sums = (told.sums != gain.sums)
        .then(|| format!("{name} is said to have paid {}, its book has {}", told.sums, gain.sums));
    [count, sums].into_iter().flatten().collect()
}

/// The last line.
impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "demo: {} received = {} paid + {} failed + {} in flight; in the books: {}; {} lost; {} paid twice; {}",
            self.told.total().count,
            self.paid().count,
            self.failed().count,
            self.in_flight(),
            self.by_rail(),
            self.lost(),
            self.books().paid_twice,
            self.sums(self.currencies().0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAID: [(&str, &str); 3] = [("file", "1000.0"), ("file", "0.10"), ("mpesa", "250")];

    /// Three paid by two backends, one refused for its amount, one refused by the bank; all books agree.
    fn holding() -> Equation {
        let (mut told, mut sent) = (Breakdown::default(), Tally::default());
        let (mut paid_by, mut gained) = (PaidBy::new(), Gains::new());
        for (reason, amount) in [("rjct.amount.invalid", "-5"), ("rjct.payee_fa.invalid", "20.25")] {
            told.count(StatusWord::Rjct, Some(reason), Some(amount), Some("KES"));
            sent.count(Some(amount), Some("KES"));
        }
        for (backend, amount) in PAID {
            told.count(StatusWord::Succ, None, Some(amount), Some("KES"));
            sent.count(Some(amount), Some("KES"));
            paid_by.entry(backend.to_owned()).or_default().count(Some(amount), Some("KES"));
        }
        for (backend, tally) in &paid_by {
            let gain = Gain { payments: tally.count, sums: tally.sums.clone(), paid_twice: 0 };
            gained.insert(backend.clone(), gain);
        }
        gained.insert("mojaloop".to_owned(), Gain::default());
        Equation { sent, told, paid_by: Some(paid_by), gained }
    }

    fn told(change: impl Fn(&mut Equation)) -> Vec<String> {
        let mut equation = holding();
        change(&mut equation);
        equation.disagreements()
    }

    fn book<'a>(equation: &'a mut Equation, backend: &str) -> &'a mut Gain {
        equation.gained.get_mut(backend).expect("has a book")
    }

    #[test]
    fn an_equation_that_holds_is_one_line_over_all_books() {
        let equation = holding();
        assert_eq!(equation.disagreements(), Vec::<String>::new());
        assert_eq!(
            equation.to_string(),
            "demo: 5 received = 3 paid + 2 failed + 0 in flight; in the books: file 2 of 2, mpesa 1 of 1; 0 lost; \
             0 paid twice; KES 1270.35 received = 1250.10 paid + 20.25 failed"
        );
        assert_eq!(
            equation.remarks(),
            ["demo: 1 of the 5 have no readable amount or currency; the sums leave them out"]
        );
    }

    #[test]
    fn without_the_tables_the_books_are_compared_together() {
        let mut equation = holding();
        equation.paid_by = None;
        assert_eq!(equation.disagreements(), Vec::<String>::new());
        assert!(equation.to_string().contains("in the books: file 2, mpesa 1; 0 lost; 0 paid twice"));
    }

    #[test]
    fn each_side_that_disagrees_is_named() {
        let other = "the status API says that 3 were paid, the books have 4";
        assert_eq!(told(|e| book(e, "file").payments += 1), [other, "file is said to have paid 2, its book has 3"]);
        assert_eq!(told(|e| book(e, "mpesa").paid_twice = 1), ["the books have 1 payments that were made before"]);
        assert_eq!(told(|e| e.sent.count += 1), ["6 disbursements were sent, the status API knows 5"]);
        assert_eq!(
            told(|e| book(e, "mpesa").sums = e.sent.sums.clone()),
            [
                "the status API says that KES 1250.10 was paid, the books have KES 2270.45",
                "mpesa is said to have paid KES 250.00, its book has KES 1270.35"
            ]
        );
        assert_eq!(
            told(|e| e.told.count(StatusWord::Pdng, None, None, None)),
            ["5 disbursements were sent, the status API knows 6", "1 instructions have not ended"]
        );
    }

    #[test]
    fn a_payment_in_another_backends_book_is_seen_though_the_numbers_of_all_books_agree() {
        let exchanged = |e: &mut Equation| {
            book(e, "file").payments -= 1;
            book(e, "mojaloop").payments += 1;
        };
        assert_eq!(
            told(exchanged),
            ["file is said to have paid 2, its book has 1", "mojaloop is said to have paid 0, its book has 1"]
        );
    }

    #[test]
    fn what_is_called_paid_and_stands_in_no_book_is_lost() {
        let mut equation = holding();
        book(&mut equation, "mpesa").payments = 0;
        assert!(equation.to_string().contains("mpesa 0 of 1; 1 lost;"), "{equation}");
        equation.paid_by = None;
        assert!(equation.to_string().contains("; 1 lost;"), "{equation}");
    }

    #[test]
    fn further_currencies_have_a_line_of_their_own_before_the_last() {
        let mut equation = holding();
        equation.told.count(StatusWord::Rjct, Some("rjct.currency_code.invalid"), Some("7"), Some("UGX"));
        assert_eq!(equation.remarks()[1], "demo: UGX 7 received = 0 paid + 7 failed");
        assert!(equation.to_string().contains("KES 1270.35 received"));
    }
}
