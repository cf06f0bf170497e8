//! Interpolation at zero (opening.md section 3). Indices are public, so nothing here is secret.

use super::SharingError;
use crate::crypto::group::Scalar;
use crate::units::ShareIndex;

/// `lambda_i = prod_{t != i} t / (t - i)` for every `i` of `indices`, in their order: then
/// `f(0) = sum lambda_i f(i)` for every polynomial of a degree below their number.
///
/// # Errors
/// [`SharingError::DuplicateIndex`] for an index given twice.
pub fn lagrange_at_zero(indices: &[ShareIndex]) -> Result<Vec<Scalar>, SharingError> {
    let mut numerators = Vec::with_capacity(indices.len());
    let mut denominators = Vec::with_capacity(indices.len());
    for (position, &i) in indices.iter().enumerate() {
        let (mut numerator, mut denominator) = (Scalar::ONE, Scalar::ONE);
        for (other, &t) in indices.iter().enumerate() {
            if other == position {
                continue;
            }
            if t == i {
                return Err(SharingError::DuplicateIndex { index: i });
            }
            numerator *= Scalar::from(t.get());
            denominator *= Scalar::from(t.get()) - Scalar::from(i.get());
        }
        numerators.push(numerator);
        denominators.push(denominator);
    }
    // No factor is zero: the indices differ and are below the group order.
    Scalar::invert_batch_alloc(&mut denominators);
    Ok(numerators
        .iter()
        .zip(&denominators)
        .map(|(numerator, inverse)| numerator * inverse)
        .collect())
}
