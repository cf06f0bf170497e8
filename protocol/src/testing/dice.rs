//! The one source of chance of a simulation: a small generator, the same on every machine and in every version.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): for schedules, never for keys.

/// Numbers drawn from a seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..bound`; 0 for a bound of 0. Slightly uneven for huge bounds, which schedules don't have.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()).wrapping_mul(u128::from(bound));
        (wide >> 64) as u64
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// Whether something that happens `percent` times in a hundred happens now.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        percent > 0 && self.below(100) < percent
    }

    /// One of `0..n`.
    pub(super) fn node(&mut self, n: u16) -> u16 {
        u16::try_from(self.below(u64::from(n))).unwrap_or(0)
    }
}

/// Spreads every bit of a number over all of its bits.
pub(super) fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A running digest of what happened, in order. Not against adversaries: two runs are compared by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log([u64; 2]);

impl Log {
    pub(super) fn new() -> Self {
        Self([0x6b69_7468_6b69_6e01, 0x6b69_7468_6b69_6e02])
    }

    pub(super) fn add(&mut self, number: u64) {
        self.0[0] = mix(self.0[0] ^ number);
        self.0[1] = mix(self.0[1].wrapping_add(number).rotate_left(17));
    }

    /// Sixteen bytes of it.
    pub(super) fn digest(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0[0].to_be_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_be_bytes());
        bytes
    }
}
