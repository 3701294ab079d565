//! The bank simulator's own book: what it really paid, whatever the bridge believes.
//!
//! It depends on the simulator's HTTP interface alone. References and accounts are compared here and never printed.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::error::CliError;
use crate::http::Http;
use crate::sums::Sums;

/// Lines of the book asked for at once.
const LINES_PER_CALL: u64 = 10_000;

/// The bank of a simulator.
pub(crate) struct Bank {
    http: Http,
    base: String,
}

/// The book in three numbers.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    payments: u64,
    paid_twice: u64,
    sums: Sums,
}

/// What the book gained between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gain {
    /// Payments made.
    pub(crate) payments: u64,
    /// Their sums.
    pub(crate) sums: Sums,
    /// Payments beyond the first one of a payment reference or beneficiary.
    pub(crate) paid_twice: u64,
}

#[derive(Deserialize)]
struct SummaryAnswer {
    payments: u64,
    paid_twice: u64,
    sums: BTreeMap<String, String>,
}

/// One payment, as far as it is compared.
#[derive(Clone, Debug, Deserialize)]
struct Payment {
    payment_ref: String,
    beneficiary_account: String,
    amount: String,
    currency: String,
}

impl Bank {
    /// The bank of the simulator at `base_url`.
    pub(crate) fn at(base_url: &str, http: Http) -> Self {
        Self { http, base: base_url.trim_end_matches('/').to_owned() }
    }

    /// The book as it stands.
    pub(crate) async fn summary(&self) -> Result<Summary, CliError> {
        let url = format!("{}/bank/summary", self.base);
        let answer: SummaryAnswer = self.http.get(&url).await?;
        let mut sums = Sums::default();
        if !answer.sums.iter().all(|(code, total)| sums.add_total(code, total)) {
            return Err(CliError::IncompleteAnswer { url, what: "a readable sum" });
        }
        Ok(Summary { payments: answer.payments, paid_twice: answer.paid_twice, sums })
    }

    /// What the book gained since `before`, read line by line as well as from its summary.
    pub(crate) async fn gained_since(&self, before: &Summary) -> Result<Gain, CliError> {
        let now = self.summary().await?;
        let mut seen = SeenPayments::default();
        let mut offset = before.payments;
        while offset < now.payments {
            let url = format!("{}/bank/book?offset={offset}&limit={LINES_PER_CALL}", self.base);
            let lines: Vec<Payment> = self.http.get(&url).await?;
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
        let payee = (payment.beneficiary_account, payment.currency, payment.amount);
        self.repeated_references += u64::from(!self.references.insert(payment.payment_ref));
        self.repeated_payees += u64::from(!self.payees.insert(payee));
    }

    fn repeated(&self) -> u64 {
        self.repeated_references.max(self.repeated_payees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(payments: &[(&str, &str, &str)]) -> u64 {
        let mut seen = SeenPayments::default();
        for (reference, account, amount) in payments {
            seen.add(Payment {
                payment_ref: (*reference).into(),
                beneficiary_account: (*account).into(),
                amount: (*amount).into(),
                currency: "KES".into(),
            });
        }
        seen.repeated()
    }

    #[test]
    fn a_second_payment_is_seen_by_its_reference_or_by_its_beneficiary() {
        assert_eq!(seen(&[("p-1", "11", "5.00"), ("p-2", "12", "5.00"), ("p-3", "11", "6.00")]), 0);
        assert_eq!(seen(&[("p-1", "11", "5.00"), ("p-1", "12", "7.00")]), 1);
        assert_eq!(seen(&[("p-1", "11", "5.00"), ("p-2", "11", "5.00"), ("p-3", "11", "5.00")]), 2);
    }
}
