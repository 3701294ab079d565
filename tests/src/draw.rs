//! Numbers drawn from a seed: SplitMix64, written out here so that a seed draws the same numbers for ever, whatever library
//! comes and goes.

/// A source of numbers that follow from its seed alone.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    state: u64,
}

impl Draw {
    /// The source of a seed.
    pub(crate) const fn of(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    pub(crate) const fn any(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `most`, both included.
    pub(crate) const fn between(&mut self, least: u64, most: u64) -> u64 {
        // The numbers drawn here are small: that the last few of 2^64 favour some does not matter.
        least + self.any() % (most - least + 1)
    }

    /// True this often of a hundred times.
    pub(crate) const fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }

    /// One of several.
    pub(crate) const fn one_of<T: Copy>(&mut self, several: &[T]) -> T {
        let index = self.any() % several.len() as u64;
        several[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_numbers_for_ever() {
        let mut draw = Draw::of(0);
        // The first numbers of SplitMix64 from 0, as its authors publish them.
        assert_eq!([draw.any(), draw.any()], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
    }

    #[test]
    fn what_is_drawn_lies_between_its_limits() {
        let mut draw = Draw::of(7);
        let drawn: Vec<u64> = (0..1000).map(|_| draw.between(3, 5)).collect();
        assert!(drawn.iter().all(|number| (3..=5).contains(number)));
        assert!([3, 4, 5].iter().all(|number| drawn.contains(number)));
    }
}
