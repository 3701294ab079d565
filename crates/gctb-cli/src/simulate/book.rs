//! One simulated rail's own book: what it really paid, whatever the bridge believes.
//!
//! It depends on the simulator's HTTP interface alone (docs/simulator.md). References and accounts are compared here and never
//! printed.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::books::BookName;
use crate::error::CliError;
use crate::http::Http;
use crate::sums::Sums;

/// Lines of a book asked for at once.
const LINES_PER_CALL: u64 = 10_000;

/// The book of one rail at a simulator.
pub(crate) struct Book {
    http: Http,
    base: String,
    name: BookName,
}

/// A book in three numbers.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    payments: u64,
    paid_twice: u64,
    sums: Sums,
}

/// What a book gained between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gain {
    /// Payments made.
    pub(crate) payments: u64,
    /// Their sums.
    pub(crate) sums: Sums,
    /// Payments beyond the first one of a payment reference or beneficiary.
    pub(crate) paid_twice: u64,
}

impl Gain {
    /// Takes in what another book gained.
    pub(crate) fn add(&mut self, other: &Self) {
        self.payments += other.payments;
        self.sums.add_all(&other.sums);
        self.paid_twice += other.paid_twice;
    }
}

/// The bank writes sums as decimals.
#[derive(Deserialize)]
struct BankSummary {
    payments: u64,
    paid_twice: u64,
    sums: BTreeMap<String, String>,
}

/// The rails that are called count minor units.
#[derive(Deserialize)]
struct RailSummary {
    payments: u64,
    paid_twice: u64,
    amount_minor: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct BankLine {
    payment_ref: String,
    beneficiary_account: String,
    amount: String,
    currency: String,
}

#[derive(Deserialize)]
struct RailLine {
    key: Option<String>,
    account: String,
    amount_minor: u64,
    currency: String,
}

/// One payment, as far as it is compared.
struct Payment {
    /// The key under which it was ordered; simple-mpesa has none.
    reference: Option<String>,
    account: String,
    amount: String,
    currency: String,
}

impl From<BankLine> for Payment {
    fn from(line: BankLine) -> Self {
        let BankLine { payment_ref, beneficiary_account: account, amount, currency } = line;
        Self { reference: Some(payment_ref), account, amount, currency }
    }
}

impl From<RailLine> for Payment {
    fn from(line: RailLine) -> Self {
        let RailLine { key: reference, account, amount_minor, currency } = line;
        Self { reference, account, amount: amount_minor.to_string(), currency }
    }
}

impl Book {
    /// The book of this name at the simulator at `base_url`.
    pub(crate) fn at(base_url: &str, name: BookName, http: Http) -> Self {
        Self { http, base: format!("{}{}", base_url.trim_end_matches('/'), name.path()), name }
    }

    /// The book as it stands.
    pub(crate) async fn summary(&self) -> Result<Summary, CliError> {
        let url = format!("{}/summary", self.base);
        let mut sums = Sums::default();
        let (payments, paid_twice, readable) = match self.name {
            BookName::Bank => {
                let answer: BankSummary = self.http.get(&url).await?;
                let readable = answer.sums.iter().all(|(code, total)| sums.add_total(code, total));
                (answer.payments, answer.paid_twice, readable)
            }
            BookName::Mpesa | BookName::SimpleMpesa | BookName::Mojaloop => {
                let answer: RailSummary = self.http.get(&url).await?;
                let mut totals = answer.amount_minor.iter();
                let readable = totals.all(|(code, minor)| sums.add_minor_total(code, i128::from(*minor)));
                (answer.payments, answer.paid_twice, readable)
            }
        };
        match readable {
            true => Ok(Summary { payments, paid_twice, sums }),
            false => Err(CliError::IncompleteAnswer { url, what: "a readable sum" }),
        }
    }

    /// What the book gained since `before`, read line by line as well as from its summary.
    pub(crate) async fn gained_since(&self, before: &Summary) -> Result<Gain, CliError> {
        let now = self.summary().await?;
        let mut seen = SeenPayments::default();
        let mut offset = before.payments;
        while offset < now.payments {
            let url = format!("{}/book?offset={offset}&limit={LINES_PER_CALL}", self.base);
            let lines = self.lines(&url).await?;
            if lines.is_empty() {
                return Err(CliError::IncompleteAnswer { url, what: "lines that its summary counts" });
            }
            offset += lines.len() as u64;
            lines.into_iter().for_each(|payment| seen.add(payment));
        }
        Ok(Gain {
            payments: now.payments.saturating_sub(before.payments),
            sums: now.sums.since(&before.sums),
            // Three views of the same wrong: against all earlier payments, and within this run by reference and payee.
            paid_twice: seen.repeated().max(now.paid_twice.saturating_sub(before.paid_twice)),
        })
    }

    async fn lines(&self, url: &str) -> Result<Vec<Payment>, CliError> {
        match self.name {
            BookName::Bank => self.lines_as::<BankLine>(url).await,
            BookName::Mpesa | BookName::SimpleMpesa | BookName::Mojaloop => self.lines_as::<RailLine>(url).await,
        }
    }

    async fn lines_as<L: DeserializeOwned + Into<Payment>>(&self, url: &str) -> Result<Vec<Payment>, CliError> {
        let lines: Vec<L> = self.http.get(url).await?;
        Ok(lines.into_iter().map(Into::into).collect())
    }
}

/// The payments of one run by what must not occur twice.
#[derive(Default)]
struct SeenPayments {
    references: HashSet<String>,
    repeated_references: u64,
    payees: HashSet<(String, String, String)>,
    repeated_payees: u64,
}

impl SeenPayments {
    fn add(&mut self, payment: Payment) {
        // Every instruction of a run has its own beneficiary. The amount belongs to the key since the account that the
        // simulated mapper derives from an id has ten digits: among 100,000 ids two may get the same one.
        let payee = (payment.account, payment.currency, payment.amount);
        let repeated = payment.reference.is_some_and(|reference| !self.references.insert(reference));
        self.repeated_references += u64::from(repeated);
        self.repeated_payees += u64::from(!self.payees.insert(payee));
    }

    fn repeated(&self) -> u64 {
        self.repeated_references.max(self.repeated_payees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(payments: &[(Option<&str>, &str, &str)]) -> u64 {
        let mut seen = SeenPayments::default();
        for (reference, account, amount) in payments {
            seen.add(Payment {
                reference: reference.map(Into::into),
                account: (*account).into(),
                amount: (*amount).into(),
                currency: "KES".into(),
            });
        }
        seen.repeated()
    }

    #[test]
    fn a_second_payment_is_seen_by_its_reference_or_by_its_beneficiary() {
        let (p1, p2, p3) = (Some("p-1"), Some("p-2"), Some("p-3"));
        assert_eq!(seen(&[(p1, "11", "5.00"), (p2, "12", "5.00"), (p3, "11", "6.00")]), 0);
        assert_eq!(seen(&[(p1, "11", "5.00"), (p1, "12", "7.00")]), 1);
        assert_eq!(seen(&[(p1, "11", "5.00"), (p2, "11", "5.00"), (p3, "11", "5.00")]), 2);
    }

    #[test]
    fn on_a_rail_without_references_a_second_payment_is_seen_by_its_beneficiary() {
        assert_eq!(seen(&[(None, "a@x", "500"), (None, "b@x", "500"), (None, "a@x", "600")]), 0);
        assert_eq!(seen(&[(None, "a@x", "500"), (None, "a@x", "500")]), 1);
    }
}
