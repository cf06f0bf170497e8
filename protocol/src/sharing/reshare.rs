//! Handing the key on to another roster (opening.md section 5; Desmedt and Jajodia, 1997).
//!
//! Threshold-many present holders each share their own share among the new
//! roster, for its threshold: holder `i` deals `h_i` with `h_i(0) = s_i`. The new
//! share of `j` is `sum lambda_i h_i(j)`: a share of the same key, which nobody
//! forms. Whether a dealing hands on the dealer's true share anybody can tell, as
//! its first commitment has to be the share's public key.
//!
//! The old shares remain shares. Threshold-many of them open for ever what was
//! sealed to the key, unless they are erased; whoever is removed from the roster
//! can refuse that. Who may change a roster, that a dealer belongs to the old one,
//! and when the new one takes over, is for the ledger to say.

use super::dealing::values;
use super::polynomial::Polynomial;
use super::renewal::{by_dealer, check_each, finish, good_ones};
use super::{
    BadDealing, Commitments, Dealing, DealingFault, RenewalError, Share, SharingError, SubShare,
    Threshold, lagrange_at_zero,
};
use crate::crypto::group::{Point, PointBytes, Scalar};
use crate::units::ShareIndex;
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The public part of one old holder's dealing: commitments of the new threshold, the first of them `S_i`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResharingDealing {
    dealer: ShareIndex,
    commitments: Commitments,
}

impl ResharingDealing {
    /// Deals `share` to the new roster: one sub-share for every index of `threshold`, ascending.
    ///
    /// A dealer that wants to answer complaints after a restart too draws from a generator whose seed it stored.
    ///
    /// # Errors
    /// [`SharingError::Commitment`] should the random source draw a zero coefficient: deal again.
    pub fn deal(
        share: &Share,
        threshold: Threshold,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<SubShare>), SharingError> {
        let dealer = share.index();
        let polynomial = Polynomial::random(*share.scalar(), threshold.needed(), rng);
        let commitments = Commitments::from_points(polynomial.commitments().collect())?;
        let dealing = Self::new(dealer, commitments);
        Ok((dealing, values(dealer, &polynomial, threshold)))
    }

    /// The dealing of `dealer` with these commitments; not checked yet.
    #[must_use]
    pub fn new(dealer: ShareIndex, commitments: Commitments) -> Self {
        Self {
            dealer,
            commitments,
        }
    }

    /// The commitments; the first is the public key of the dealer's share.
    #[must_use]
    pub fn commitments(&self) -> &Commitments {
        &self.commitments
    }

    /// Checks the public part against the `old` commitments and the new roster's threshold.
    ///
    /// # Errors
    /// [`DealingFault::Threshold`] or [`DealingFault::OtherShare`].
    pub fn check(&self, old: &Commitments, threshold: Threshold) -> Result<(), BadDealing> {
        let (found, expected) = (self.commitments.threshold(), threshold.needed());
        let fault = if found != expected {
            DealingFault::Threshold { found, expected }
        } else if *self.commitments.public_key().point() != old.share_key(self.dealer) {
            DealingFault::OtherShare
        } else {
            return Ok(());
        };
        let dealer = self.dealer;
        Err(BadDealing { dealer, fault })
    }
}

impl Dealing for ResharingDealing {
    const DOMAIN: &'static str = "kithkin/sub-share/1";

    fn dealer(&self) -> ShareIndex {
        self.dealer
    }

    fn value_key(&self, recipient: ShareIndex) -> Point {
        self.commitments.share_key(recipient)
    }

    /// `k' - 1`, with `k'` the new threshold. `k'` values would give the dealer's share away: a dealing that draws more
    /// complaints must be left out before they are answered.
    fn publishable(&self) -> usize {
        self.commitments.threshold() - 1
    }
}

/// A fixed set of dealings, of as many old holders as their threshold says, and the commitments that come of it.
#[derive(Clone, Debug)]
pub struct Resharing {
    /// By dealer, as `lambdas`.
    dealings: BTreeMap<ShareIndex, ResharingDealing>,
    lambdas: Vec<Scalar>,
    threshold: Threshold,
    new: Commitments,
}

impl Resharing {
    /// Combines `dealings` of holders under the `old` commitments, for a roster with `threshold`; their order makes no
    /// difference.
    ///
    /// # Errors
    /// [`RenewalError::DealingCount`] unless they are exactly as many as the old threshold says,
    /// [`RenewalError::DuplicateDealer`], [`RenewalError::Dealings`], and [`RenewalError::Sharing`] when a sum vanishes.
    pub fn new(
        old: &Commitments,
        threshold: Threshold,
        dealings: Vec<ResharingDealing>,
    ) -> Result<Self, RenewalError> {
        let (found, needed) = (dealings.len(), old.threshold());
        if found != needed {
            return Err(RenewalError::DealingCount { found, needed });
        }
        let dealings = by_dealer(dealings)?;
        check_each(&dealings, |dealing| dealing.check(old, threshold))?;
        let dealers: Vec<ShareIndex> = dealings.keys().copied().collect();
        let lambdas = lagrange_at_zero(&dealers)?;
        let mut columns: Vec<_> = dealings
            .values()
            .map(|dealing| dealing.commitments.points().iter())
            .collect();
        let sums = (0..threshold.needed())
            .map(|_| {
                let column: Vec<&Point> = columns.iter_mut().filter_map(Iterator::next).collect();
                PointBytes::from(&Point::vartime_multiscalar_mul(&lambdas, column))
            })
            .collect();
        let new = Commitments::from_points(sums)?;
        if new.public_key() != old.public_key() {
            return Err(RenewalError::OtherKey);
        }
        Ok(Self {
            dealings,
            lambdas,
            threshold,
            new,
        })
    }

    /// The commitments of the new roster's shares; the public key is the old one.
    #[must_use]
    pub fn commitments(&self) -> &Commitments {
        &self.new
    }

    /// The dealings of the set by ascending dealer.
    pub fn dealings(&self) -> impl Iterator<Item = &ResharingDealing> {
        self.dealings.values()
    }

    /// The share of the new roster's member `recipient`: `sum lambda_i h_i(j)`. Sub-shares of other dealings or for
    /// others are passed over.
    ///
    /// # Errors
    /// [`RenewalError::NoSuchKin`] for an index outside the new roster, [`RenewalError::SubShares`],
    /// [`RenewalError::ZeroShare`].
    pub fn share(
        &self,
        recipient: ShareIndex,
        sub_shares: &[SubShare],
    ) -> Result<Share, RenewalError> {
        if !self.threshold.contains(recipient) {
            return Err(RenewalError::NoSuchKin { index: recipient });
        }
        let good = good_ones(&self.dealings, recipient, sub_shares)?;
        let mut sum = Zeroizing::new(Scalar::ZERO);
        for (lambda, sub_share) in self.lambdas.iter().zip(good) {
            *sum += lambda * sub_share.scalar();
        }
        finish(recipient, &sum, &self.new)
    }
}
