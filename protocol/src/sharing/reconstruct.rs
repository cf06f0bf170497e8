//! Rebuilding the tier key from shares (opening.md section 6): for a patient who lost the device.
//!
//! Not for emergencies: those use [`super::partial_open`] and [`super::combine`].

use super::{Commitments, KIN_MAX, Share, SharingError, TierKey, lagrange_at_zero};
use crate::crypto::group::Scalar;
use crate::units::ShareIndex;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use zeroize::Zeroizing;

/// The key, and the shares that were refused.
#[derive(Debug)]
pub struct Reconstructed {
    /// `x`; belongs to the commitments' public key.
    pub key: TierKey,
    /// [`SharingError::WrongShare`] or [`SharingError::DuplicateIndex`] for each, in the order given.
    pub refused: Vec<SharingError>,
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconstructError {
    /// More shares than there can be kin.
    #[error("{found} shares; a patient has at most {KIN_MAX} kin")]
    TooMany {
        /// How many were given.
        found: usize,
    },
    /// Fewer good shares than the threshold.
    #[error("{good} good shares; {needed} are needed")]
    TooFew {
        /// How many good ones of different indices there were.
        good: usize,
        /// The threshold.
        needed: usize,
        /// What was refused.
        refused: Vec<SharingError>,
    },
    /// The shares do not interpolate; cannot happen with different indices.
    #[error(transparent)]
    Sharing(#[from] SharingError),
}

/// Checks every share against the commitments and interpolates the first threshold-many good ones at zero.
///
/// # Errors
/// Every [`ReconstructError`].
pub fn reconstruct(
    shares: &[Share],
    commitments: &Commitments,
) -> Result<Reconstructed, ReconstructError> {
    if shares.len() > KIN_MAX {
        let found = shares.len();
        return Err(ReconstructError::TooMany { found });
    }
    let mut good: BTreeMap<ShareIndex, &Share> = BTreeMap::new();
    let mut refused = Vec::new();
    for share in shares {
        let index = share.index();
        match good.entry(index) {
            Entry::Occupied(_) => refused.push(SharingError::DuplicateIndex { index }),
            Entry::Vacant(place) => match share.verify(commitments) {
                Ok(()) => _ = place.insert(share),
                Err(fault) => refused.push(fault),
            },
        }
    }
    let needed = commitments.threshold();
    if good.len() < needed {
        return Err(ReconstructError::TooFew {
            good: good.len(),
            needed,
            refused,
        });
    }
    let indices: Vec<ShareIndex> = good.keys().copied().take(needed).collect();
    let lambdas = lagrange_at_zero(&indices)?;
    let mut x = Zeroizing::new(Scalar::ZERO);
    for (lambda, share) in lambdas.iter().zip(good.values()) {
        *x += lambda * share.scalar();
    }
    Ok(Reconstructed {
        key: TierKey::from_scalar(*x),
        refused,
    })
}
