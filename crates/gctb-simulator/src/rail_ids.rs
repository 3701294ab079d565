//! The names that the rails give to what they do: receipts, conversation ids, transfer ids, random tokens.
//!
//! Every name holds a number that grows with the clock, so that none is given twice, also after a restart.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

/// Gives out names. One for all rails.
pub(crate) struct Ids {
    /// Microseconds since 1970 at the start, plus one for each name given: faster than a million names per second it would
    /// run ahead of the clock, and never behind what an earlier start gave.
    next: AtomicU64,
    /// Makes the names of two simulators differ.
    salt: u64,
}

impl Ids {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        let micros = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        Self { next: AtomicU64::new(micros), salt: u64::from_le_bytes(random()) }
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// An M-Pesa receipt: ten capital letters and digits.
    pub(crate) fn receipt(&self) -> String {
        in_alphabet(u128::from(self.next()), b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)
    }

    /// A Daraja `ConversationID`: `AG_`, the day, twenty hexadecimal digits.
    pub(crate) fn conversation(&self, now: DateTime<Utc>) -> String {
        format!("AG_{}_2010{:016x}", now.format("%Y%m%d"), self.next())
    }

    /// What Daraja calls a request that brought no name of its own.
    pub(crate) fn originator(&self) -> String {
        let number = self.next();
        format!("{:04x}-4aa8-9fe0-{number:019}", self.salt & 0xffff)
    }

    /// The `requestId` of a refusal.
    pub(crate) fn request(&self) -> String {
        format!("{:04x}-{:x}-1", self.salt & 0xffff, self.next())
    }

    /// A ULID: 48 bits of milliseconds, then 80 that differ each time.
    pub(crate) fn ulid(&self, now: DateTime<Utc>) -> String {
        let millis = u128::try_from(now.timestamp_millis()).unwrap_or(0);
        let rest = (u128::from(self.salt & 0xffff) << 64) | u128::from(self.next());
        in_alphabet((millis << 80) | rest, b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26)
    }

    /// A name in the form of a UUID.
    pub(crate) fn uuid(&self) -> String {
        let (high, low) = (self.salt, self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0xfff,
            low & 0xffff_ffff_ffff
        )
    }
}

/// An access token: 28 letters and digits that nobody can guess.
pub(crate) fn token() -> String {
    let bytes: [u8; 16] = random();
    in_alphabet(u128::from_le_bytes(bytes), b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 28)
}

/// Base64 for URLs, without padding.
pub(crate) fn base64_url(bytes: &[u8]) -> String {
    openssl::base64::encode_block(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// The last `width` digits of a number in an alphabet.
fn in_alphabet(mut number: u128, alphabet: &[u8], width: usize) -> String {
    let base = u128::try_from(alphabet.len()).unwrap_or(1);
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = alphabet[usize::try_from(number % base).unwrap_or(0)];
        number /= base;
    }
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_have_their_form_and_none_comes_twice() {
        let now = Utc::now();
        let (first, restarted) = (Ids::new(now), Ids::new(now + chrono::TimeDelta::seconds(1)));
        let receipts: HashSet<_> =
            (0..2000).map(|_| first.receipt()).chain((0..2000).map(|_| restarted.receipt())).collect();
        assert_eq!(receipts.len(), 4000);
        assert!(receipts.iter().all(|receipt| receipt.len() == 10));
        assert_eq!((first.ulid(now).len(), first.uuid().len(), token().len()), (26, 36, 28));
        assert!(first.ulid(now).starts_with('0'), "the time of a ULID begins with 0 for some centuries");
        assert_ne!(token(), token());
    }
}
