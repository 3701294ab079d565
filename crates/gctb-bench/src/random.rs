//! Numbers that look random and are the same in every run, so that two runs ask the same questions.

/// SplitMix64: small, and good enough to choose rows.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        // The remainder of a u32 is a u32.
        u32::try_from(self.next() % u64::from(limit.max(1))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_all_below_the_limit() {
        let draw = || {
            let mut random = Random::from_seed(4);
            (0..1_000).map(|_| random.below(12)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        let counts: Vec<usize> = (0..12).map(|n| draw().iter().filter(|drawn| **drawn == n).count()).collect();
        assert!(counts.iter().all(|count| (40..140).contains(count)), "{counts:?}");
    }
}
