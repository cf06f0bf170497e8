//! The master's draw: a uniform number below any bound, from a hash, without modulo bias (spec section 3).

use crate::crypto::{Digest, HashWriter};
use crate::units::{Height, View};
use num_bigint::BigUint;

/// Bits of one candidate: a SHA-256 digest.
const CANDIDATE_BITS: u64 = 256;

/// A uniform number in `0..bound` for the master of `view`; 0 for a bound of 0 or 1.
///
/// Candidates are the digests over seed, height, view and a counter, read as
/// big integers. One above the largest multiple of `bound` is thrown away and
/// the next is taken: every number has exactly the same share of candidates.
#[must_use]
pub fn draw_below(bound: usize, seed: &Digest, height: Height, view: View) -> usize {
    let bound = BigUint::from(bound);
    for counter in 0..=u64::MAX {
        let mut writer = HashWriter::new("kithkin/leader/1");
        writer
            .field(seed)
            .number(height.0)
            .number(view.0)
            .number(counter);
        let candidate = BigUint::from_bytes_be(writer.finish().as_ref());
        if let Some(drawn) = residue(&candidate, CANDIDATE_BITS, &bound) {
            return usize::try_from(&drawn).unwrap_or(0);
        }
        if bound <= BigUint::from(1u8) {
            break;
        }
    }
    0
}

/// `candidate mod bound` when `candidate`, uniform in `0..2^bits`, lies below the largest multiple of `bound`.
fn residue(candidate: &BigUint, bits: u64, bound: &BigUint) -> Option<BigUint> {
    if *bound == BigUint::ZERO {
        return None;
    }
    let whole = BigUint::from(1u8) << bits;
    let limit = &whole - &whole % bound;
    (*candidate < limit).then(|| candidate % bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every candidate of eight bits, every bound: each number is drawn exactly `256 / bound` times, the rest is refused.
    #[test]
    fn the_draw_is_exactly_uniform() {
        for bound in 1..=256u32 {
            let mut hits = vec![0u32; bound as usize];
            let mut refused = 0;
            for candidate in 0..256u32 {
                match residue(&BigUint::from(candidate), 8, &BigUint::from(bound)) {
                    Some(drawn) => hits[usize::try_from(&drawn).expect("small")] += 1,
                    None => refused += 1,
                }
            }
            assert!(
                hits.iter().all(|&count| count == 256 / bound),
                "bound {bound}"
            );
            assert_eq!(refused, 256 % bound);
        }
        assert_eq!(residue(&BigUint::ZERO, 8, &BigUint::ZERO), None);
    }

    /// Chi-squared over 30,000 draws below 10: 9 degrees of freedom, 99.9 % quantile 27.9.
    #[test]
    fn draws_look_uniform() {
        let mut hits = [0f64; 10];
        for height in 0..30_000 {
            hits[draw_below(10, &Digest([7; 32]), Height(height), View(1))] += 1.0;
        }
        let expected = 3_000.0;
        let chi: f64 = hits
            .iter()
            .map(|hit| (hit - expected).powi(2) / expected)
            .sum();
        assert!(chi < 27.9, "chi squared {chi}");
    }

    #[test]
    fn every_argument_matters_and_the_ends_are_safe() {
        let seed = Digest([1; 32]);
        let base = draw_below(usize::MAX, &seed, Height(5), View(1));
        assert_eq!(base, draw_below(usize::MAX, &seed, Height(5), View(1)));
        assert_ne!(base, draw_below(usize::MAX, &seed, Height(6), View(1)));
        assert_ne!(base, draw_below(usize::MAX, &seed, Height(5), View(2)));
        assert_ne!(
            base,
            draw_below(usize::MAX, &Digest([2; 32]), Height(5), View(1))
        );
        assert_eq!(draw_below(0, &seed, Height(5), View(1)), 0);
        assert_eq!(draw_below(1, &seed, Height(5), View(1)), 0);
    }
}
