//! A small set of numbered facts.

/// Most facts of one check.
pub(super) const BITS: usize = 320;
const WORDS: usize = BITS / 64;

/// A set of numbers below [`BITS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Bits([u64; WORDS]);

impl Bits {
    pub(super) fn insert(&mut self, bit: usize) {
        assert!(
            bit < BITS,
            "the check needs more facts than it has room for"
        );
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    pub(super) fn contains(&self, bit: usize) -> bool {
        self.0[bit / 64] & (1 << (bit % 64)) != 0
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (to, from) in self.0.iter_mut().zip(other.0) {
            *to |= from;
        }
    }

    /// How many are in both sets.
    pub(super) fn common(&self, other: &Self) -> u32 {
        let pairs = self.0.iter().zip(other.0);
        pairs.map(|(a, b)| (a & b).count_ones()).sum()
    }
}
