//! What is kept in memory about a rail's book: counts, sums, and where the payments of each key and account stand.
//!
//! Bounded per payment: the two texts and a position for each. It must not know files.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

use super::line::Paid;
use super::shards::Shards;

/// Positions of lines; nearly always there is one.
enum Positions {
    One(u64),
    Many(Vec<u64>),
}

impl Positions {
    /// Adds one and says how many there are.
    fn add(&mut self, position: u64) -> usize {
        match self {
            Self::One(first) => {
                *self = Self::Many(vec![*first, position]);
                2
            }
            Self::Many(all) => {
                all.push(position);
                all.len()
            }
        }
    }

    fn all(&self) -> Vec<u64> {
        match self {
            Self::One(only) => vec![*only],
            Self::Many(all) => all.clone(),
        }
    }
}

#[derive(Default)]
struct Totals {
    payments: u64,
    amount_minor: BTreeMap<String, i128>,
    keys_paid_twice: u64,
    accounts_paid_twice: u64,
    without_key: u64,
}

#[derive(Default)]
pub(super) struct Tally {
    keys: Shards<Positions>,
    accounts: Shards<Positions>,
    totals: Mutex<Totals>,
}

/// The body of `GET /rails/{rail}/summary`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Payments made.
    pub(crate) payments: u64,
    /// What was paid, in minor units by currency.
    pub(crate) amount_minor: BTreeMap<String, i128>,
    /// Distinct accounts paid.
    pub(crate) accounts: usize,
    /// Keys paid more than once; on a rail without keys, accounts.
    pub(crate) paid_twice: u64,
    /// Accounts paid more than once. Not an error in itself where there are keys.
    pub(crate) accounts_paid_twice: u64,
}

impl Tally {
    /// Counts a payment whose line starts at byte `position` of the book.
    pub(super) fn pay(&self, position: u64, paid: &Paid<'_>) {
        let key_again = paid.key.as_ref().is_some_and(|key| add(&self.keys, key, position) == 2);
        let account_again = add(&self.accounts, &paid.account, position) == 2;
        let mut totals = self.totals();
        totals.payments += 1;
        totals.keys_paid_twice += u64::from(key_again);
        totals.accounts_paid_twice += u64::from(account_again);
        totals.without_key += u64::from(paid.key.is_none());
        let amount = i128::from(paid.amount_minor);
        match totals.amount_minor.get_mut(paid.currency.as_ref()) {
            Some(sum) => *sum += amount,
            None => {
                totals.amount_minor.insert(paid.currency.clone().into_owned(), amount);
            }
        }
    }

    pub(super) fn positions(&self, key_or_account: &str) -> Vec<u64> {
        let of = |map: &Shards<Positions>| map.part(key_or_account).get(key_or_account).map(Positions::all);
        of(&self.keys).or_else(|| of(&self.accounts)).unwrap_or_default()
    }

    pub(super) fn sum(&self, currency: &str) -> i128 {
        self.totals().amount_minor.get(currency).copied().unwrap_or(0)
    }

    pub(super) fn summary(&self) -> Summary {
        let accounts = self.accounts.len();
        let totals = self.totals();
        let keyless = totals.without_key > 0;
        Summary {
            payments: totals.payments,
            amount_minor: totals.amount_minor.clone(),
            accounts,
            paid_twice: if keyless { totals.accounts_paid_twice } else { totals.keys_paid_twice },
            accounts_paid_twice: totals.accounts_paid_twice,
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().expect("a rail stops for good once somebody panicked at its books")
    }
}

fn add(map: &Shards<Positions>, text: &str, position: u64) -> usize {
    let mut part = map.part(text);
    match part.get_mut(text) {
        Some(positions) => positions.add(position),
        None => {
            part.insert(text.into(), Positions::One(position));
            1
        }
    }
}
