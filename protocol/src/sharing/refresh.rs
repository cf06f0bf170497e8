//! New shares of the same key (opening.md section 4; after Herzberg, Jarecki, Krawczyk and Yung, CRYPTO 1995).
//!
//! Kin deal random polynomials whose value at 0 is 0. Added to shares and
//! commitments they change every share and leave the key as it is; old shares do
//! not combine with new ones. At least threshold-many different kin deal: then
//! one of them is honest, and its polynomial unknown to all others together.
//!
//! The old share is erased only when all kin hold their new one; until then the
//! sealed zero-shares stay retrievable. That order is the caller's.

use super::commitments::{decode, evaluate, times};
use super::dealing::values;
use super::polynomial::Polynomial;
use super::renewal::{by_dealer, check_each, finish, good_ones};
use super::{
    BadDealing, Commitments, Dealing, DealingFault, KIN_MAX, KIN_MIN, RenewalError, Share,
    SharingError, SubShare, Threshold, encoding, majority,
};
use crate::crypto::group::{Point, PointBytes, Scalar};
use crate::units::ShareIndex;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most commitments of one dealing.
const POINTS_MAX: usize = KIN_MAX - 1;

/// The public part of one kin's dealing: `A_1, ..., A_{k-1}`, none of them the identity. There is no `A_0`, so nothing
/// but 0 can be dealt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub struct ZeroDealing {
    dealer: ShareIndex,
    encoded: Vec<PointBytes>,
    points: Vec<Point>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    dealer: ShareIndex,
    #[serde(
        serialize_with = "encoding::serialize",
        deserialize_with = "encoding::deserialize::<_, POINTS_MAX>"
    )]
    points: Vec<PointBytes>,
}

impl ZeroDealing {
    /// Deals zero in the name of `dealer`: one zero-share for every index of `threshold`, ascending, the dealer's own
    /// included.
    ///
    /// A dealer that wants to answer complaints after a restart too draws from a generator whose seed it stored.
    ///
    /// # Errors
    /// [`SharingError::Commitment`] should the random source draw a zero coefficient: deal again.
    pub fn deal(
        dealer: ShareIndex,
        threshold: Threshold,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<SubShare>), SharingError> {
        let polynomial = Polynomial::random(Scalar::ZERO, threshold.needed(), rng);
        let dealing = Self::from_points(dealer, polynomial.commitments().skip(1).collect())?;
        Ok((dealing, values(dealer, &polynomial, threshold)))
    }

    /// Decodes a dealing, `A_1` first.
    ///
    /// # Errors
    /// [`SharingError::CommitmentCount`] for a number that fits no threshold, [`SharingError::Commitment`] for one that is
    /// no group element or the identity.
    pub fn from_points(dealer: ShareIndex, encoded: Vec<PointBytes>) -> Result<Self, SharingError> {
        let found = encoded.len();
        if !(majority(KIN_MIN) - 1..=POINTS_MAX).contains(&found) {
            return Err(SharingError::CommitmentCount { found });
        }
        let points = decode(&encoded, 1)?;
        Ok(Self {
            dealer,
            encoded,
            points,
        })
    }

    /// The encoded commitments, `A_1` first.
    #[must_use]
    pub fn as_points(&self) -> &[PointBytes] {
        &self.encoded
    }

    /// The threshold it was made for: one more than it has commitments.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.encoded.len() + 1
    }

    /// Checks the public part: everything that can be told before a sub-share is seen.
    ///
    /// # Errors
    /// [`DealingFault::Threshold`] when it was made for another threshold.
    pub fn check(&self, threshold: Threshold) -> Result<(), BadDealing> {
        let (found, expected) = (self.threshold(), threshold.needed());
        if found == expected {
            return Ok(());
        }
        Err(BadDealing {
            dealer: self.dealer,
            fault: DealingFault::Threshold { found, expected },
        })
    }
}

impl Dealing for ZeroDealing {
    const DOMAIN: &'static str = "kithkin/zero-share/1";

    fn dealer(&self) -> ShareIndex {
        self.dealer
    }

    fn value_key(&self, recipient: ShareIndex) -> Point {
        times(&evaluate(&self.points, recipient), recipient)
    }

    /// `k - 2`: the value at 0 is known to all, and `k` values give the polynomial. A zero dealing that all know harms
    /// nobody, but renews nothing either: it no longer counts towards the threshold-many.
    fn publishable(&self) -> usize {
        self.threshold() - 2
    }
}

/// A fixed set of zero dealings, and the commitments that come of it.
#[derive(Clone, Debug)]
pub struct Refresh {
    dealings: BTreeMap<ShareIndex, ZeroDealing>,
    old: Commitments,
    new: Commitments,
}

impl Refresh {
    /// Adds `dealings` to the `old` commitments of `threshold`; their order makes no difference.
    ///
    /// # Errors
    /// [`RenewalError::DealingCount`] for fewer than threshold-many, [`RenewalError::DuplicateDealer`],
    /// [`RenewalError::NoSuchKin`], [`RenewalError::Dealings`], and [`RenewalError::Sharing`] for commitments that do not fit
    /// the threshold or whose sum vanishes.
    pub fn new(
        old: &Commitments,
        threshold: Threshold,
        dealings: Vec<ZeroDealing>,
    ) -> Result<Self, RenewalError> {
        old.check(threshold)?;
        let (found, needed) = (dealings.len(), threshold.needed());
        if found < needed {
            return Err(RenewalError::DealingCount { found, needed });
        }
        let dealings = by_dealer(dealings)?;
        let mut strangers = dealings
            .keys()
            .filter(|dealer| !threshold.contains(**dealer));
        if let Some(&index) = strangers.next() {
            return Err(RenewalError::NoSuchKin { index });
        }
        check_each(&dealings, |dealing| dealing.check(threshold))?;
        let mut points = old.points().to_vec();
        for dealing in dealings.values() {
            for (sum, point) in points.iter_mut().skip(1).zip(&dealing.points) {
                *sum += point;
            }
        }
        let new = Commitments::from_points(points.iter().map(PointBytes::from).collect())?;
        Ok(Self {
            dealings,
            old: old.clone(),
            new,
        })
    }

    /// The commitments of the new shares; the public key is the old one.
    #[must_use]
    pub fn commitments(&self) -> &Commitments {
        &self.new
    }

    /// The dealings of the set by ascending dealer.
    pub fn dealings(&self) -> impl Iterator<Item = &ZeroDealing> {
        self.dealings.values()
    }

    /// The new share of whoever holds `share`: the sum of it and one zero-share of each dealing. Sub-shares of other
    /// dealings or for others are passed over.
    ///
    /// # Errors
    /// [`RenewalError::Sharing`] when the old share is wrong, [`RenewalError::SubShares`], [`RenewalError::ZeroShare`].
    pub fn renew(&self, share: &Share, sub_shares: &[SubShare]) -> Result<Share, RenewalError> {
        share.verify(&self.old)?;
        let mut sum = Zeroizing::new(*share.scalar());
        for sub_share in good_ones(&self.dealings, share.index(), sub_shares)? {
            *sum += sub_share.scalar();
        }
        finish(share.index(), &sum, &self.new)
    }
}

impl TryFrom<Encoded> for ZeroDealing {
    type Error = SharingError;
    fn try_from(encoded: Encoded) -> Result<Self, SharingError> {
        Self::from_points(encoded.dealer, encoded.points)
    }
}

impl From<ZeroDealing> for Encoded {
    fn from(dealing: ZeroDealing) -> Self {
        Self {
            dealer: dealing.dealer,
            points: dealing.encoded,
        }
    }
}
