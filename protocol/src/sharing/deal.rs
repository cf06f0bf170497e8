//! Dealing a key: a random polynomial, its commitments, its values (opening.md section 1).

use super::polynomial::Polynomial;
use super::{Commitments, Share, SharingError, Threshold, TierKey};
use rand_core::CryptoRng;

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
    let polynomial = Polynomial::random(*key.scalar(), threshold.needed(), rng);
    let commitments = Commitments::from_points(polynomial.commitments().collect())?;
    let shares = threshold
        .indices()
        .map(|index| Share::new(index, polynomial.value(index)))
        .collect();
    Ok((commitments, shares))
}
