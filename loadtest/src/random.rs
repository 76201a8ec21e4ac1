//! Randomness for keys and masks: unpredictable enough for RFC 6455, cheap enough for every frame.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A seed that differs from run to run.
pub fn seed() -> u64 {
    // The standard library seeds its hash maps from the system's randomness; this borrows one such seed.
    RandomState::new().build_hasher().finish()
}

/// SplitMix64: one addition and a few multiplications per number.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number of the sequence.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A masking key. RFC 6455 5.3: a fresh one for each frame.
    pub fn mask(&mut self) -> [u8; 4] {
        (self.next() as u32).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_its_sequence() {
        let mut first = Random::new(7);
        let mut second = Random::new(7);
        assert_eq!(first.next(), second.next());
        assert_ne!(first.mask(), first.mask());
        assert_ne!(seed(), seed());
    }
}
