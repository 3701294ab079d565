//! The key under which a rail knows one attempt: short, deterministic and reversible.
//!
//! Twelve characters of Crockford's base 32: batch number (33 bits), position (17 bits), attempt (5 bits), and a check
//! character (Luhn mod 32) that catches any single wrong character. Twelve fit the narrowest field of the rails
//! (13: NPCI's user credit reference). An answer is matched by decoding its key; nothing is looked up to find it.

use std::fmt;

use crate::ids::{BatchNo, Seq};

/// Largest batch number that a key carries.
pub const MAX_BATCH_NO: i64 = (1 << 33) - 1;
/// Largest position in a batch that a key carries; the limit on a batch's size lies below it.
pub const MAX_SEQ: i32 = (1 << 17) - 1;
/// Largest attempt number that a key carries.
pub const MAX_ATTEMPT: i16 = 31;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DATA_CHARS: usize = 11;

/// Names one attempt to pay one instruction to a rail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RailKey {
    batch_no: BatchNo,
    seq: Seq,
    attempt: i16,
}

impl RailKey {
    /// The key of an attempt.
    ///
    /// # Errors
    /// `OutOfRange` where a part does not fit the key.
    pub fn new(batch_no: BatchNo, seq: Seq, attempt: i16) -> Result<Self, RailKeyError> {
        let fits = (0..=MAX_BATCH_NO).contains(&batch_no.0)
            && (0..=MAX_SEQ).contains(&seq.0)
            && (1..=MAX_ATTEMPT).contains(&attempt);
        if fits { Ok(Self { batch_no, seq, attempt }) } else { Err(RailKeyError::OutOfRange) }
    }

    /// Reads a key that a rail sent back; lower case and surrounding white space are forgiven.
    ///
    /// # Errors
    /// `Malformed` or `WrongCheck` where it is not one of ours.
    pub fn parse(text: &str) -> Result<Self, RailKeyError> {
        let values = text.trim().bytes().map(value_of).collect::<Option<Vec<u8>>>().ok_or(RailKeyError::Malformed)?;
        let [data @ .., check] = values.as_slice() else { return Err(RailKeyError::Malformed) };
        if data.len() != DATA_CHARS {
            return Err(RailKeyError::Malformed);
        }
        if luhn(data) != *check {
            return Err(RailKeyError::WrongCheck);
        }
        let packed = data.iter().fold(0_i64, |sum, value| (sum << 5) | i64::from(*value));
        let seq = i32::try_from((packed >> 5) & i64::from(MAX_SEQ)).map_err(|_| RailKeyError::Malformed)?;
        let attempt = i16::try_from(packed & i64::from(MAX_ATTEMPT)).map_err(|_| RailKeyError::Malformed)?;
        Self::new(BatchNo(packed >> 22), Seq(seq), attempt)
    }

    /// The batch.
    pub const fn batch_no(self) -> BatchNo {
        self.batch_no
    }

    /// The position in the batch.
    pub const fn seq(self) -> Seq {
        self.seq
    }

    /// The attempt, from 1.
    pub const fn attempt(self) -> i16 {
        self.attempt
    }
}

impl fmt::Display for RailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packed = (self.batch_no.0 << 22) | (i64::from(self.seq.0) << 5) | i64::from(self.attempt);
        let mut data = [0_u8; DATA_CHARS];
        for (place, value) in data.iter_mut().rev().enumerate() {
            *value = u8::try_from((packed >> (5 * place)) & 31).map_err(|_| fmt::Error)?;
        }
        for value in data.iter().chain([&luhn(&data)]) {
            write!(f, "{}", char::from(ALPHABET[usize::from(*value)]))?;
        }
        Ok(())
    }
}

fn value_of(byte: u8) -> Option<u8> {
    let upper = byte.to_ascii_uppercase();
    ALPHABET.iter().position(|letter| *letter == upper).and_then(|place| u8::try_from(place).ok())
}

/// The check value by which the whole, doubled at every second place from the right, sums to a multiple of 32.
fn luhn(data: &[u8]) -> u8 {
    let sum: u32 = data
        .iter()
        .rev()
        .enumerate()
        .map(|(place, value)| {
            let value = u32::from(*value) * if place % 2 == 0 { 2 } else { 1 };
            value / 32 + value % 32
        })
        .sum();
    u8::try_from((32 - sum % 32) % 32).unwrap_or(0)
}

/// Why a text is not a rail key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RailKeyError {
    /// A part is larger than the key can carry.
    #[error("the batch number, position or attempt does not fit into a rail key")]
    OutOfRange,
    /// Not twelve characters of the alphabet.
    #[error("the reference is not twelve characters of our alphabet")]
    Malformed,
    /// The check character does not fit the rest.
    #[error("the reference's check character is wrong")]
    WrongCheck,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_never_change() {
        let key = |batch, seq, attempt| RailKey::new(BatchNo(batch), Seq(seq), attempt).expect("fits").to_string();
        assert_eq!(key(1, 0, 1), "00000040001P");
        assert_eq!(key(MAX_BATCH_NO, MAX_SEQ, MAX_ATTEMPT).len(), 12);
    }

    proptest! {
        #[test]
        fn a_key_reads_back_as_what_it_names(batch in 0..=MAX_BATCH_NO, seq in 0..=MAX_SEQ, attempt in 1..=MAX_ATTEMPT) {
            let key = RailKey::new(BatchNo(batch), Seq(seq), attempt).expect("in range");
            prop_assert_eq!(RailKey::parse(&key.to_string()), Ok(key));
            prop_assert_eq!(RailKey::parse(&format!(" {} ", key.to_string().to_lowercase())), Ok(key));
        }

        #[test]
        fn one_wrong_character_never_names_another_payment(batch in 0..=MAX_BATCH_NO, seq in 0..=MAX_SEQ, place in 0_usize..12, letter in 0_usize..32) {
            let key = RailKey::new(BatchNo(batch), Seq(seq), 1).expect("in range").to_string();
            let mut wrong = key.clone().into_bytes();
            wrong[place] = ALPHABET[letter];
            let wrong = String::from_utf8(wrong).expect("ascii");
            prop_assert!(wrong == key || RailKey::parse(&wrong).is_err());
        }
    }
}
