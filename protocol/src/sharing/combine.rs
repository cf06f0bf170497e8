//! Combining partial openings into the capsules' keys (opening.md section 3).

use super::interpolation::Interpolation;
use super::{
    BadPartial, CheckedPartial, KIN_MAX, Opening, PartialFault, PartialOpening, SessionSecret,
    SharingError, check_partials,
};
use crate::crypto::group::Point;
use crate::record::CapsuleKey;
use crate::units::ShareIndex;
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// The keys of the capsules in scope, in their order, and who sent something bad.
#[derive(Debug)]
pub struct Combined {
    /// `K_1, ..., K_m`.
    pub keys: Vec<CapsuleKey>,
    /// What was refused. All but [`PartialFault::Duplicate`] prove the author at fault, once the author's
    /// signature on it was checked.
    pub refused: Vec<BadPartial>,
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// The secret does not belong to the request's `E`.
    #[error("this session secret does not belong to the request")]
    Session,
    /// More partial openings than there can be kin.
    #[error("{found} partial openings; a patient has at most {KIN_MAX} kin")]
    TooMany {
        /// How many were given.
        found: usize,
    },
    /// Fewer good ones than the threshold.
    #[error("{good} good partial openings; {needed} are needed")]
    TooFew {
        /// How many good ones of different shares there were.
        good: usize,
        /// The threshold.
        needed: usize,
        /// What was refused.
        refused: Vec<BadPartial>,
    },
    /// It was checked for another case, epoch, tier or request, for other commitments or other capsules.
    #[error("the partial opening of share {index} was checked for another opening")]
    OtherOpening {
        /// Whose share was used.
        index: ShareIndex,
    },
    /// The shares do not interpolate; cannot happen with different indices.
    #[error(transparent)]
    Sharing(#[from] SharingError),
}

/// Checks every partial opening and combines the first threshold-many good ones:
/// `K_j = sum lambda_i D_ij - eps P`.
///
/// # Errors
/// Every [`CombineError`].
pub fn combine(
    opening: &Opening,
    secret: &SessionSecret,
    partials: &[PartialOpening],
) -> Result<Combined, CombineError> {
    check_call(opening, secret, partials.len())?;
    let (good, refused) = sort_out(opening, partials);
    let needed = opening.commitments().threshold();
    if good.len() < needed {
        return Err(CombineError::TooFew {
            good: good.len(),
            needed,
            refused,
        });
    }
    let good: Vec<&CheckedPartial> = good.iter().collect();
    let keys = keys(opening, secret, &good)?;
    Ok(Combined { keys, refused })
}

/// The same from partial openings that were checked before, for whom judges each as it arrives.
///
/// # Errors
/// Every [`CombineError`]; none is refused, so [`CombineError::TooFew`] names nobody. An index given twice is
/// [`SharingError::DuplicateIndex`].
pub fn combine_checked(
    opening: &Opening,
    secret: &SessionSecret,
    partials: &[&CheckedPartial],
) -> Result<Vec<CapsuleKey>, CombineError> {
    check_call(opening, secret, partials.len())?;
    for partial in partials {
        if partial.opening != *opening.digest() {
            let index = partial.index;
            return Err(CombineError::OtherOpening { index });
        }
    }
    let needed = opening.commitments().threshold();
    if partials.len() < needed {
        return Err(CombineError::TooFew {
            good: partials.len(),
            needed,
            refused: Vec::new(),
        });
    }
    keys(opening, secret, partials)
}

fn check_call(opening: &Opening, secret: &SessionSecret, found: usize) -> Result<(), CombineError> {
    if found > KIN_MAX {
        return Err(CombineError::TooMany { found });
    }
    if secret.point() != opening.context().session.point {
        return Err(CombineError::Session);
    }
    Ok(())
}

/// The keys from the first threshold-many of at least so many.
fn keys(
    opening: &Opening,
    secret: &SessionSecret,
    good: &[&CheckedPartial],
) -> Result<Vec<CapsuleKey>, CombineError> {
    let needed = opening.commitments().threshold();
    let good = good.get(..needed).unwrap_or(good);
    let indices: Vec<ShareIndex> = good.iter().map(|partial| partial.index).collect();
    let interpolation = Interpolation::new(&indices)?;
    let public_key = opening.commitments().public_key().point();
    let mask = Zeroizing::new(public_key * secret.scalar());
    let mut columns: Vec<_> = good.iter().map(|partial| partial.points.iter()).collect();
    Ok((0..opening.capsules())
        .map(|_| {
            // `D_ij` of all `i`, for the next `j`.
            let next: Vec<&Point> = columns.iter_mut().filter_map(Iterator::next).collect();
            CapsuleKey::new(interpolation.at_zero(&next) - *mask)
        })
        .collect())
}

fn sort_out(
    opening: &Opening,
    partials: &[PartialOpening],
) -> (Vec<CheckedPartial>, Vec<BadPartial>) {
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    let all: Vec<&PartialOpening> = partials.iter().collect();
    for (partial, verdict) in partials.iter().zip(check_partials(opening, &all)) {
        let index = partial.index;
        let verdict = if seen.contains(&index) {
            let fault = PartialFault::Duplicate;
            Err(BadPartial { index, fault })
        } else {
            verdict
        };
        match verdict {
            Ok(checked) => {
                seen.insert(index);
                good.push(checked);
            }
            Err(bad) => refused.push(bad),
        }
    }
    (good, refused)
}
