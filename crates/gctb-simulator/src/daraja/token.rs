//! Daraja's access tokens. They live in memory: after a restart of the simulator none is good. It must not know requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openssl::memcmp;

use super::refusal::Refusal;
use crate::rail_faults::plan::MpesaKnobs;
use crate::rail_ids;

/// How many tokens are remembered, good or ended. The oldest is forgotten first.
const LIMIT: usize = 1_000;

struct Token {
    text: String,
    ends: Instant,
}

#[derive(Default)]
pub(super) struct Tokens(Mutex<Vec<Token>>);

impl Tokens {
    /// Gives out a token.
    pub(super) fn issue(&self, knobs: &MpesaKnobs, now: Instant) -> String {
        let text = rail_ids::token();
        let mut tokens = self.lock();
        if knobs.new_token_invalidates {
            tokens.iter_mut().for_each(|token| token.ends = now);
        }
        if tokens.len() == LIMIT {
            tokens.remove(0);
        }
        tokens.push(Token { text: text.clone(), ends: now + Duration::from_secs(knobs.token_life_s) });
        text
    }

    /// Whether the header's token is good.
    pub(super) fn check(&self, header: Option<&str>, now: Instant) -> Result<(), Refusal> {
        let text = header.and_then(|header| header.strip_prefix("Bearer ")).ok_or_else(Refusal::header)?;
        let same =
            |token: &&Token| token.text.len() == text.len() && memcmp::eq(token.text.as_bytes(), text.as_bytes());
        let tokens = self.lock();
        let token = tokens.iter().rev().find(same).ok_or_else(Refusal::unknown_token)?;
        if token.ends > now { Ok(()) } else { Err(Refusal::expired_token()) }
    }

    /// Ends every token.
    pub(super) fn end_all(&self, now: Instant) {
        self.lock().iter_mut().for_each(|token| token.ends = now);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Token>> {
        // Every change is a whole assignment, so what a panicking thread left is still consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_with_its_life_and_with_the_next_one() {
        let (tokens, knobs, now) = (Tokens::default(), MpesaKnobs::default(), Instant::now());
        let bearer = |token: &str| format!("Bearer {token}");
        let first = bearer(&tokens.issue(&knobs, now));
        assert_eq!(tokens.check(Some(&first), now + Duration::from_secs(3598)), Ok(()));
        assert_eq!(tokens.check(Some(&first), now + Duration::from_secs(3599)), Err(Refusal::expired_token()));
        let second = bearer(&tokens.issue(&knobs, now));
        assert_eq!(tokens.check(Some(&first), now), Err(Refusal::expired_token()));
        let knobs = MpesaKnobs { new_token_invalidates: false, ..knobs };
        tokens.issue(&knobs, now);
        assert_eq!(tokens.check(Some(&second), now), Ok(()));
        assert_eq!(tokens.check(Some("Bearer x"), now), Err(Refusal::unknown_token()));
        assert_eq!(tokens.check(None, now), Err(Refusal::header()));
    }
}
