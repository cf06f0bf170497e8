//! Interpolation at zero of points: `sum lambda_i D_i` (opening.md section 3). Indices and points are public.
//!
//! The coefficients are fractions of small numbers. Over their common denominator they are small whole numbers, by which a point
//! is multiplied in a few steps; the denominator is divided by once, and for every second choice of three among five kin it
//! is 1.

use super::{SharingError, lagrange_at_zero};
use crate::crypto::group::{Point, Scalar};
use crate::units::ShareIndex;
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use std::collections::BTreeSet;

/// How points at given indices are put together; as many points are wanted each time, in the same order.
pub(super) enum Interpolation {
    /// `(sum +-factor_i D_i) / divisor`.
    Whole {
        factors: Vec<Factor>,
        /// `1 / divisor`; None for 1.
        inverse: Option<Scalar>,
    },
    /// The numbers have more than 64 bits.
    Scalars(Vec<Scalar>),
}

/// A whole number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Factor {
    size: u64,
    negative: bool,
}

impl Interpolation {
    /// # Errors
    /// [`SharingError::DuplicateIndex`] for an index given twice.
    pub(super) fn new(indices: &[ShareIndex]) -> Result<Self, SharingError> {
        let mut seen = BTreeSet::new();
        if let Some(&index) = indices.iter().find(|&&index| !seen.insert(index)) {
            return Err(SharingError::DuplicateIndex { index });
        }
        let Some((factors, divisor)) = whole(indices) else {
            return Ok(Self::Scalars(lagrange_at_zero(indices)?));
        };
        let inverse = (divisor != 1).then(|| Scalar::from(divisor).invert());
        Ok(Self::Whole { factors, inverse })
    }

    /// `sum lambda_i D_i`.
    pub(super) fn at_zero(&self, points: &[&Point]) -> Point {
        match self {
            Self::Whole { factors, inverse } => {
                let sum = sum(factors, points);
                match inverse {
                    Some(inverse) => Point::vartime_multiscalar_mul([inverse], [&sum]),
                    None => sum,
                }
            }
            Self::Scalars(lambdas) => {
                Point::vartime_multiscalar_mul(lambdas, points.iter().copied())
            }
        }
    }
}

/// Numerators over the least common denominator, and that denominator. None when a number has more than 64 bits.
fn whole(indices: &[ShareIndex]) -> Option<(Vec<Factor>, u64)> {
    let fractions: Option<Vec<(Factor, u64)>> = indices
        .iter()
        .map(|&index| fraction(index, indices))
        .collect();
    let fractions = fractions?;
    let divisor = fractions.iter().try_fold(1u64, |all, (_, divisor)| {
        all.checked_mul(divisor / gcd(all, *divisor))
    })?;
    let factors: Option<Vec<Factor>> = fractions
        .iter()
        .map(|(Factor { size, negative }, own)| {
            Some(Factor {
                size: size.checked_mul(divisor / own)?,
                negative: *negative,
            })
        })
        .collect();
    Some((factors?, divisor))
}

/// `prod t / (t - i)` over all `t` but `i`, in lowest terms. The indices differ, so no denominator is zero.
fn fraction(index: ShareIndex, indices: &[ShareIndex]) -> Option<(Factor, u64)> {
    let (mut size, mut divisor, mut negative) = (1u64, 1u64, false);
    for &other in indices.iter().filter(|&&other| other != index) {
        let (factor, difference) = (other.get(), other.get().abs_diff(index.get()));
        negative ^= other < index;
        let (factor, difference) = (u64::from(factor), u64::from(difference));
        let common = gcd(factor, difference);
        let (factor, difference) = (factor / common, difference / common);
        let (above, below) = (gcd(size, difference), gcd(divisor, factor));
        size = (size / above).checked_mul(factor / below)?;
        divisor = (divisor / below).checked_mul(difference / above)?;
    }
    Some((Factor { size, negative }, divisor))
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// By doubling and adding, all points at once.
fn sum(factors: &[Factor], points: &[&Point]) -> Point {
    let largest = factors.iter().map(|factor| factor.size).max();
    let bits = u64::BITS - largest.unwrap_or(0).leading_zeros();
    (0..bits).rev().fold(Point::default(), |sum, bit| {
        let set = factors
            .iter()
            .zip(points)
            .filter(|(factor, _)| (factor.size >> bit) & 1 == 1);
        set.fold(sum + sum, |sum, (factor, &point)| {
            if factor.negative {
                sum - point
            } else {
                sum + point
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::group::random_scalar;
    use rand_core::{Rng as _, SeedableRng as _};

    fn indices(numbers: &[u8]) -> Vec<ShareIndex> {
        let new = |&number| ShareIndex::new(number).expect("not zero");
        numbers.iter().map(new).collect()
    }

    fn factors(numbers: &[u8]) -> (Vec<i64>, u64) {
        let (factors, divisor) = whole(&indices(numbers)).expect("small");
        let signed = factors.iter().map(|factor| {
            let size = i64::try_from(factor.size).expect("small");
            if factor.negative { -size } else { size }
        });
        (signed.collect(), divisor)
    }

    #[test]
    fn coefficients_of_few_kin_are_small_whole_numbers() {
        assert_eq!(factors(&[1, 2, 3]), (vec![3, -3, 1], 1));
        assert_eq!(factors(&[3, 1, 2]), (vec![1, 3, -3], 1));
        assert_eq!(factors(&[2, 4]), (vec![2, -1], 1));
        assert_eq!(factors(&[1, 3, 5]), (vec![15, -10, 3], 8));
        assert_eq!(factors(&[1, 2, 4]), (vec![8, -6, 1], 3));
        assert_eq!(factors(&[9]), (vec![1], 1));
        let whole = subsets(3, 5).filter(|subset| factors(subset).1 == 1);
        assert_eq!(whole.count(), 5);
    }

    fn subsets(size: u32, of: u8) -> impl Iterator<Item = Vec<u8>> {
        (0u32..1 << of)
            .filter(move |set| set.count_ones() == size)
            .map(move |set| (1..=of).filter(|i| (set >> (i - 1)) & 1 == 1).collect())
    }

    /// Against the sum with scalars: all choices of few, and many with indices far apart.
    #[test]
    fn points_are_interpolated_as_with_scalars() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([8; 32]);
        let mut choices: Vec<Vec<u8>> = (2..=7)
            .flat_map(|kin: u8| subsets(u32::from(kin / 2 + 1), kin))
            .collect();
        for size in [2, 5, 11, 20, 33, 64] {
            for _ in 0..4 {
                let mut chosen = BTreeSet::new();
                while chosen.len() < size {
                    chosen.insert((rng.next_u32() % 255) as u8 + 1);
                }
                choices.push(chosen.into_iter().collect());
            }
        }
        let (mut small, mut large) = (0, 0);
        for choice in choices {
            let indices = indices(&choice);
            let points: Vec<Point> = indices
                .iter()
                .map(|_| Point::mul_base(&random_scalar(&mut rng)))
                .collect();
            let lambdas = lagrange_at_zero(&indices).expect("different");
            let expected: Point = points.iter().zip(&lambdas).map(|(d, l)| d * l).sum();
            let interpolation = Interpolation::new(&indices).expect("different");
            match interpolation {
                Interpolation::Whole { .. } => small += 1,
                Interpolation::Scalars(_) => large += 1,
            }
            let points: Vec<&Point> = points.iter().collect();
            assert_eq!(interpolation.at_zero(&points), expected, "{choice:?}");
        }
        assert!(small > 60 && large >= 8, "{small} and {large}");
    }

    #[test]
    fn an_index_given_twice_is_refused() {
        let index = ShareIndex::new(2).expect("not zero");
        assert_eq!(
            Interpolation::new(&[index, index]).err(),
            Some(SharingError::DuplicateIndex { index })
        );
    }
}
