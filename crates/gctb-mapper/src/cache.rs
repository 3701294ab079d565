//! Addresses that the mapper gave lately, in memory alone, so that a replay, a sweep or a payee of many batches does not
//! ask again. Only addresses are kept: a refusal may be put right at any time.
//!
//! Two generations bound it: new entries go to the young one; when that holds half of the limit, it becomes the old one,
//! and the former old one is forgotten. Nothing here is ever logged.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gctb_domain::FinancialAddress;

/// Resolved ids, each until it expires.
pub(crate) struct Cache {
    young: HashMap<FinancialAddress, Kept>,
    old: HashMap<FinancialAddress, Kept>,
    entries_max: usize,
    expiry: Duration,
}

struct Kept {
    address: FinancialAddress,
    since: Instant,
}

impl Cache {
    /// A cache of at most `entries_max` ids.
    pub(crate) fn new(entries_max: usize, expiry: Duration) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), entries_max, expiry }
    }

    /// The address of an id, if it was put in less than the expiry time before `now`.
    pub(crate) fn get(&self, id: &FinancialAddress, now: Instant) -> Option<&FinancialAddress> {
        let kept = self.young.get(id).or_else(|| self.old.get(id))?;
        (now.saturating_duration_since(kept.since) < self.expiry).then_some(&kept.address)
    }

    /// Remembers an address as the mapper gave it at `now`.
    pub(crate) fn put(&mut self, id: FinancialAddress, address: FinancialAddress, now: Instant) {
        if self.entries_max == 0 {
            return;
        }
        if self.young.len() >= self.entries_max.div_ceil(2) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, Kept { address, since: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fa(text: &str) -> FinancialAddress {
        FinancialAddress::parse(text).expect(text)
    }

    #[test]
    fn an_address_is_known_until_it_expires() {
        let (mut cache, start) = (Cache::new(10, Duration::from_secs(60)), Instant::now());
        let (id, address) = (fa("token:A@nationalId"), fa("account:1@b.c.bank_acc"));
        cache.put(id.clone(), address.clone(), start);
        assert_eq!(cache.get(&id, start + Duration::from_secs(59)), Some(&address));
        assert_eq!(cache.get(&id, start + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_later_answer_replaces_an_earlier_one() {
        let (mut cache, start) = (Cache::new(2, Duration::from_secs(60)), Instant::now());
        let id = fa("token:A@nationalId");
        for account in ["account:1@b.c.bank_acc", "account:2@b.c.bank_acc"] {
            cache.put(id.clone(), fa(account), start);
        }
        assert_eq!(cache.get(&id, start), Some(&fa("account:2@b.c.bank_acc")));
    }

    #[test]
    fn it_never_holds_more_than_its_limit_and_forgets_the_oldest() {
        let (mut cache, start) = (Cache::new(100, Duration::from_secs(60)), Instant::now());
        let id = |n: u32| fa(&format!("token:{n}@nationalId"));
        for n in 0..1_000 {
            cache.put(id(n), fa("account:1@b.c.bank_acc"), start);
            assert!(cache.young.len() + cache.old.len() <= 100);
        }
        assert!(cache.get(&id(999), start).is_some());
        assert!(cache.get(&id(0), start).is_none());
    }

    #[test]
    fn a_limit_of_zero_keeps_nothing() {
        let (mut cache, start) = (Cache::new(0, Duration::from_secs(60)), Instant::now());
        cache.put(fa("token:A@nationalId"), fa("account:1@b.c.bank_acc"), start);
        assert!(cache.get(&fa("token:A@nationalId"), start).is_none());
    }
}
