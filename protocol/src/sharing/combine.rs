//! Combining partial openings into the capsules' keys (opening.md section 3).

use super::{
    BadPartial, KIN_MAX, Opening, PartialFault, PartialOpening, SessionSecret, SharingError,
    lagrange_at_zero,
};
use crate::crypto::group::{Point, Scalar};
use crate::record::CapsuleKey;
use crate::units::ShareIndex;
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
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
    if partials.len() > KIN_MAX {
        let found = partials.len();
        return Err(CombineError::TooMany { found });
    }
    if secret.point() != opening.context().session.point {
        return Err(CombineError::Session);
    }
    let (mut good, refused) = sort_out(opening, partials);
    let needed = opening.commitments().threshold();
    if good.len() < needed {
        return Err(CombineError::TooFew {
            good: good.len(),
            needed,
            refused,
        });
    }
    good.truncate(needed);
    let indices: Vec<ShareIndex> = good.iter().map(|(index, _)| *index).collect();
    let lambdas = lagrange_at_zero(&indices)?;
    let public_key = opening.commitments().public_key().point();
    let mask = Zeroizing::new(public_key * secret.scalar());
    let mut columns: Vec<_> = good.iter().map(|(_, points)| points.iter()).collect();
    let keys = (0..opening.capsules())
        .map(|_| CapsuleKey::new(interpolate(&lambdas, &mut columns) - *mask))
        .collect();
    Ok(Combined { keys, refused })
}

type Checked = Vec<(ShareIndex, Vec<Point>)>;

fn sort_out(opening: &Opening, partials: &[PartialOpening]) -> (Checked, Vec<BadPartial>) {
    let (mut good, mut refused) = (Checked::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for partial in partials {
        let index = partial.index;
        let verdict = if seen.contains(&index) {
            Err(PartialFault::Duplicate)
        } else {
            opening.check(partial)
        };
        match verdict {
            Ok(points) => {
                seen.insert(index);
                good.push((index, points));
            }
            Err(fault) => refused.push(BadPartial { index, fault }),
        }
    }
    (good, refused)
}

/// `sum lambda_i D_ij` for the next `j`. The coefficients are public, so variable time gives nothing away.
fn interpolate<'a>(lambdas: &[Scalar], columns: &mut [impl Iterator<Item = &'a Point>]) -> Point {
    let next: Vec<&Point> = columns.iter_mut().filter_map(Iterator::next).collect();
    Point::vartime_multiscalar_mul(lambdas, next)
}
