//! Dealing a key: a random polynomial, its commitments, its values (opening.md section 1).

use super::{Commitments, Share, SharingError, Threshold, TierKey};
use crate::crypto::group::{Point, PointBytes, Scalar, random_scalar};
use crate::units::ShareIndex;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Shares `key` among `threshold.kin()` people, of whom any `threshold.needed()` can open.
///
/// Share `i` comes at position `i - 1`.
///
/// # Errors
/// [`SharingError::Commitment`] should the random source draw a zero coefficient: deal again.
pub fn deal(
    key: &TierKey,
    threshold: Threshold,
    rng: &mut impl CryptoRng,
) -> Result<(Commitments, Vec<Share>), SharingError> {
    let mut coefficients = Zeroizing::new(Vec::with_capacity(threshold.needed()));
    coefficients.push(*key.scalar());
    coefficients.resize_with(threshold.needed(), || random_scalar(rng));
    let commitments = Commitments::from_points(
        coefficients
            .iter()
            .map(|a| PointBytes::from(&Point::mul_base(a)))
            .collect(),
    )?;
    let shares = (0..threshold.kin())
        .filter_map(ShareIndex::from_position)
        .map(|index| Share::new(index, evaluate(&coefficients, index)))
        .collect();
    Ok((commitments, shares))
}

/// `f(i)` by Horner's rule; constant time in the coefficients.
fn evaluate(coefficients: &[Scalar], index: ShareIndex) -> Scalar {
    let i = Scalar::from(index.get());
    coefficients
        .iter()
        .rev()
        .fold(Scalar::ZERO, |sum, a| sum * i + a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;
    use rand_core::SeedableRng as _;

    /// Against powers summed up with another library's integers.
    #[test]
    fn evaluation_agrees_with_the_oracle() {
        let order = (BigUint::from(1u8) << 252u32)
            + "27742317777372353535851937790883648493"
                .parse::<BigUint>()
                .expect("a number");
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        for count in 1..=33usize {
            let coefficients: Vec<Scalar> = (0..count).map(|_| random_scalar(&mut rng)).collect();
            for i in [1u8, 2, 63, 64, 255] {
                let sum: BigUint = coefficients
                    .iter()
                    .zip(0u32..)
                    .map(|(a, power)| {
                        BigUint::from_bytes_le(a.as_bytes()) * BigUint::from(i).pow(power)
                    })
                    .sum();
                let index = ShareIndex::new(i).expect("not zero");
                let value = evaluate(&coefficients, index);
                assert_eq!(BigUint::from_bytes_le(value.as_bytes()), sum % &order);
            }
        }
    }
}
