//! A map by text in parts with a lock each, so that threads rarely wait for each other. It must not know what it holds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};

const PARTS: usize = 64;

/// The map. Whoever needs one key locks its part, looks and changes, and lets go.
pub(crate) struct Shards<V> {
    parts: Vec<Mutex<HashMap<Box<str>, V>>>,
    hasher: RandomState,
}

impl<V> Default for Shards<V> {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl<V> Shards<V> {
    /// The part in which `key` is, locked.
    pub(crate) fn part(&self, key: &str) -> MutexGuard<'_, HashMap<Box<str>, V>> {
        let number = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0) % PARTS;
        // A thread that panicked half-way may have left memory and book apart; a rail that went on could lie.
        self.parts[number].lock().expect("a rail stops for good once somebody panicked at its books")
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().map_or(0, |part| part.len())).sum()
    }
}
