//! What a refresh and a change of the roster have in common: a fixed set of dealings, and the sums over it.

use super::{
    BadDealing, BadSubShare, Commitments, Dealing, Share, SharingError, SubShare, SubShareFault,
};
use crate::crypto::group::Scalar;
use crate::units::ShareIndex;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Why a set of dealings gives no new shares.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError {
    /// Not as many dealings as there have to be.
    #[error("{found} dealings; {needed} are needed")]
    DealingCount {
        /// How many there are.
        found: usize,
        /// The threshold of the shares that end: the least for a refresh, the exact number for a change of the roster.
        needed: usize,
    },
    /// Two dealings of one kin.
    #[error("kin {dealer} dealt twice")]
    DuplicateDealer {
        /// The kin in question.
        dealer: ShareIndex,
    },
    /// An index outside the roster.
    #[error("the roster has no index {index}")]
    NoSuchKin {
        /// The index in question.
        index: ShareIndex,
    },
    /// Dealings whose public part is bad; all of them, ascending. Their dealers are at fault.
    #[error("{} of the dealings cannot be used", .faults.len())]
    Dealings {
        /// Who dealt badly, and how.
        faults: Vec<BadDealing>,
    },
    /// Sub-shares that are missing or do not fit; all of them, by ascending dealer. Reasons to complain.
    #[error("{} of the sub-shares cannot be used", .faults.len())]
    SubShares {
        /// Whose, and why.
        faults: Vec<BadSubShare>,
    },
    /// The sum is zero, which no share is. Happens by chance with probability `1/l`; otherwise kin `index` and a dealer
    /// arranged it between them.
    #[error("the new share of kin {index} would be zero")]
    ZeroShare {
        /// Whose share.
        index: ShareIndex,
    },
    /// The new commitments belong to another key; cannot happen once each dealing is checked.
    #[error("the new commitments belong to another key")]
    OtherKey,
    /// The old share is wrong, the commitments do not fit the threshold, or one of the sums of commitments vanishes
    /// (nobody's fault, and as unlikely as a zero share).
    #[error(transparent)]
    Sharing(#[from] SharingError),
}

/// The dealings by their dealers.
pub(super) fn by_dealer<D: Dealing>(
    dealings: Vec<D>,
) -> Result<BTreeMap<ShareIndex, D>, RenewalError> {
    let mut set = BTreeMap::new();
    for dealing in dealings {
        let dealer = dealing.dealer();
        match set.entry(dealer) {
            Entry::Occupied(_) => return Err(RenewalError::DuplicateDealer { dealer }),
            Entry::Vacant(place) => _ = place.insert(dealing),
        }
    }
    Ok(set)
}

/// Refuses the whole set when `check` finds a fault in some dealing.
pub(super) fn check_each<D>(
    dealings: &BTreeMap<ShareIndex, D>,
    check: impl Fn(&D) -> Result<(), BadDealing>,
) -> Result<(), RenewalError> {
    let faults: Vec<BadDealing> = dealings.values().filter_map(|d| check(d).err()).collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(RenewalError::Dealings { faults })
    }
}

/// For every dealing, in their order, a good sub-share for `recipient`. Others among `given` are passed over: a kin
/// may hold sub-shares of dealings that were left out, and a bad one beside the good one that was published later.
pub(super) fn good_ones<'a, D: Dealing>(
    dealings: &BTreeMap<ShareIndex, D>,
    recipient: ShareIndex,
    given: &'a [SubShare],
) -> Result<Vec<&'a SubShare>, RenewalError> {
    let (mut good, mut faults) = (Vec::with_capacity(dealings.len()), Vec::new());
    for dealing in dealings.values() {
        let mut verdict = Err(dealing.fault(recipient, SubShareFault::Missing));
        for sub_share in given {
            if (sub_share.dealer(), sub_share.recipient()) == (dealing.dealer(), recipient) {
                verdict = dealing.verify(sub_share).map(|()| sub_share);
                if verdict.is_ok() {
                    break;
                }
            }
        }
        match verdict {
            Ok(sub_share) => good.push(sub_share),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(good)
    } else {
        Err(RenewalError::SubShares { faults })
    }
}

/// The share with this value, checked against the new commitments.
pub(super) fn finish(
    index: ShareIndex,
    value: &Scalar,
    commitments: &Commitments,
) -> Result<Share, RenewalError> {
    if *value == Scalar::ZERO {
        return Err(RenewalError::ZeroShare { index });
    }
    let share = Share::new(index, *value);
    share.verify(commitments)?;
    Ok(share)
}
