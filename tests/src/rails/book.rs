//! A called rail's own book, by payee: what the simulator says that it really paid.

use std::collections::BTreeMap;

use crate::bank::Payment;
use crate::equation;
use crate::system::System;

/// All payments of the rail that a system was deployed with.
#[derive(Clone, Debug, Default)]
pub struct Book {
    by_account: BTreeMap<String, Vec<Payment>>,
}

impl Book {
    /// As it stands now.
    pub fn of(system: &System) -> Self {
        let mut book = Self::default();
        for payment in equation::book(system) {
            book.by_account.entry(payment.account.clone()).or_default().push(payment);
        }
        book
    }

    /// What this payee got.
    pub fn paid_to(&self, account: &str) -> &[Payment] {
        self.by_account.get(account).map_or(&[], Vec::as_slice)
    }

    /// Payments, and their sum in minor units.
    pub fn sum(&self) -> (u64, i128) {
        let payments = self.by_account.values().flatten();
        payments.fold((0, 0), |(count, sum), payment| (count + 1, sum + payment.minor))
    }

    /// Who was paid more than once.
    pub fn paid_twice(&self) -> Vec<&str> {
        let twice = self.by_account.iter().filter(|(_, payments)| payments.len() > 1);
        twice.map(|(account, _)| account.as_str()).collect()
    }
}
