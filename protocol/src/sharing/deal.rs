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
