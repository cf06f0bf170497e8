//! Partial openings: what an approving kin makes of its share (opening.md section 3).
//!
//! `D_j = s_i (U_j + E)` for every capsule in scope, with one proof for all of
//! them (the batching of RFC 9497, 2.2.1). `E` masks the result: only who knows
//! `eps` can use it, so a bad partial opening can be shown to anybody.

use super::dleq::{self, Statement};
use super::{Commitments, DleqProof, HeldShare, OpeningContext, SessionError, encoding};
use crate::crypto::group::{GroupError, Point, PointBytes, Scalar, encode_doubles, hash_to_scalar};
use crate::crypto::{Digest, HashWriter};
use crate::record::CheckedCapsule;
use crate::units::ShareIndex;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Most capsules that one opening covers: 512 KiB of points, 3.2 MiB of capsules.
pub const OPENING_CAPSULES_MAX: usize = 16_384;

/// What one kin contributes: the masked points, in the order of the capsules, and one proof for all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartialOpening {
    /// Whose share was used.
    pub index: ShareIndex,
    /// `D_1, ..., D_m`; at most [`OPENING_CAPSULES_MAX`].
    #[serde(
        serialize_with = "encoding::serialize",
        deserialize_with = "encoding::deserialize::<_, OPENING_CAPSULES_MAX>"
    )]
    pub points: Vec<PointBytes>,
    /// Shows that one share, the committed one, made all of them.
    pub proof: DleqProof,
}

/// Why nothing can be opened in this context, whoever helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// The requester's point is unusable: the request is at fault.
    #[error("the request is unusable: {0}")]
    Session(#[from] SessionError),
    /// No capsule, or more than [`OPENING_CAPSULES_MAX`].
    #[error("{found} capsules in scope; 1 to {OPENING_CAPSULES_MAX} are possible")]
    CapsuleCount {
        /// How many were given.
        found: usize,
    },
    /// The capsule belongs to another chain, patient or tier.
    #[error("capsule {position} belongs to another chain, patient or tier")]
    OtherOwner {
        /// Place in the scope, from 0.
        position: usize,
    },
    /// The capsule was made for another key.
    #[error("capsule {position} was made for another tier key")]
    OtherKey {
        /// Place in the scope, from 0.
        position: usize,
    },
    /// `U_j + E` is the identity: the request was made to fit this capsule.
    #[error("the request's session point cancels capsule {position}")]
    Cancelled {
        /// Place in the scope, from 0.
        position: usize,
    },
    /// The share does not fit the commitments of this epoch.
    #[error("share {index} does not fit the commitments of this epoch")]
    WrongShare {
        /// The share in question.
        index: ShareIndex,
    },
}

/// A partial opening that was refused, and who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("partial opening of share {index}: {fault}")]
pub struct BadPartial {
    /// The share it claims to come from.
    pub index: ShareIndex,
    /// What is wrong.
    pub fault: PartialFault,
}

/// What is wrong with a partial opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartialFault {
    /// Not one point for each capsule.
    #[error("{found} points for {expected} capsules")]
    PointCount {
        /// How many points it has.
        found: usize,
        /// How many capsules are in scope.
        expected: usize,
    },
    /// A point or scalar that is not canonical, or the identity.
    #[error("{0}")]
    Encoding(#[from] GroupError),
    /// The proof does not hold: wrong share, or made for another context or other capsules.
    #[error("the proof does not hold for this case, epoch and scope")]
    Proof,
    /// A second one for the same share. Anyone can send a message twice: this proves nobody's fault.
    #[error("a good one of the same share was given before")]
    Duplicate,
}

/// A partial opening whose proof was checked, its points decoded: what [`combine_checked`] takes without checking again.
///
/// [`combine_checked`]: super::combine_checked
#[derive(Clone, Debug)]
pub struct CheckedPartial {
    pub(super) index: ShareIndex,
    pub(super) points: Vec<Point>,
    /// The digest of what it was checked for.
    pub(super) opening: Digest,
}

impl CheckedPartial {
    /// Whose share was used.
    #[must_use]
    pub fn index(&self) -> ShareIndex {
        self.index
    }
}

/// A checked context: session proof good, capsules of the right owner, points `B_j = U_j + E` at hand.
#[derive(Debug)]
pub struct Opening {
    context: OpeningContext,
    commitments: Commitments,
    /// Covers context, commitments and capsules.
    digest: Digest,
    blinded: Vec<Point>,
}

impl Opening {
    /// Checks everything that does not depend on a share. `commitments` are those of the context's circle and epoch.
    ///
    /// # Errors
    /// Every [`OpeningError`] but [`OpeningError::WrongShare`].
    pub fn new(
        context: &OpeningContext,
        commitments: &Commitments,
        capsules: &[CheckedCapsule],
    ) -> Result<Self, OpeningError> {
        if !(1..=OPENING_CAPSULES_MAX).contains(&capsules.len()) {
            let found = capsules.len();
            return Err(OpeningError::CapsuleCount { found });
        }
        let session = context.session.verify(&context.request)?;
        let mut writer = transcript(context, commitments);
        writer.number(capsules.len() as u64);
        let mut blinded = Vec::with_capacity(capsules.len());
        for (position, checked) in capsules.iter().enumerate() {
            let owner = checked.context();
            if (owner.chain, owner.patient, owner.tier)
                != (context.chain, context.patient, context.tier)
            {
                return Err(OpeningError::OtherOwner { position });
            }
            if checked.tier_key() != commitments.public_key() {
                return Err(OpeningError::OtherKey { position });
            }
            let point = checked.point() + session;
            if point.is_identity() {
                return Err(OpeningError::Cancelled { position });
            }
            let capsule = checked.capsule();
            writer.field(capsule.label).field(capsule.u);
            blinded.push(point);
        }
        Ok(Self {
            context: *context,
            commitments: commitments.clone(),
            digest: writer.finish(),
            blinded,
        })
    }

    /// What the opening is bound to.
    #[must_use]
    pub fn context(&self) -> &OpeningContext {
        &self.context
    }

    /// The commitments of the epoch that opens.
    #[must_use]
    pub fn commitments(&self) -> &Commitments {
        &self.commitments
    }

    /// How many capsules are in scope.
    #[must_use]
    pub fn capsules(&self) -> usize {
        self.blinded.len()
    }

    /// Tells apart what differs in context, commitments or capsules.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Covers the share's public key and every `B_j`.
    fn scope(&self, index: ShareIndex) -> Digest {
        let mut writer = HashWriter::new("kithkin/opening-share/1");
        writer.field(self.digest).number(u64::from(index.get()));
        writer.finish()
    }

    /// `seed = H(domain, opening, i, all D)`: covers the share's public key, every `B_j` and every `D_j`.
    fn seed(&self, index: ShareIndex, points: &[PointBytes]) -> Digest {
        let mut writer = HashWriter::new("kithkin/opening-seed/2");
        writer.field(self.digest).number(u64::from(index.get()));
        for point in points {
            writer.field(point);
        }
        writer.finish()
    }

    /// `d_j = H_l(domain, seed, j)` for `j` from 2; `d_1 = 1`, and has no place here.
    fn coefficients(&self, seed: &Digest) -> Vec<Scalar> {
        (2..=self.blinded.len() as u64)
            .map(|j| {
                hash_to_scalar(
                    "kithkin/opening-coefficient/1",
                    &[seed.as_ref(), &j.to_be_bytes()],
                )
            })
            .collect()
    }

    /// Everything about a partial opening but whether its proof holds.
    fn claim<'a>(&self, partial: &'a PartialOpening) -> Result<Claim<'a>, PartialFault> {
        let (found, expected) = (partial.points.len(), self.blinded.len());
        if found != expected {
            return Err(PartialFault::PointCount { found, expected });
        }
        let points = partial
            .points
            .iter()
            .map(PointBytes::decode)
            .collect::<Result<Vec<_>, _>>()?;
        let seed = self.seed(partial.index, &partial.points);
        let coefficients = self.coefficients(&seed);
        let m = weighted(&coefficients, &self.blinded);
        // With M the identity the proof would say nothing. No honest seed leads there.
        if m.is_identity() {
            return Err(PartialFault::Proof);
        }
        Ok(Claim {
            partial,
            share_key: self.commitments.share_key(partial.index),
            m,
            z: weighted(&coefficients, &points),
            seed,
            points,
        })
    }
}

/// What a partial opening says, decoded.
struct Claim<'a> {
    partial: &'a PartialOpening,
    seed: Digest,
    share_key: Point,
    m: Point,
    z: Point,
    points: Vec<Point>,
}

impl Claim<'_> {
    fn statement(&self) -> Statement<'_> {
        Statement {
            seed: &self.seed,
            share_key: self.share_key,
            m: self.m,
            z: self.z,
        }
    }

    fn verify(&self) -> Result<(), PartialFault> {
        if self.statement().verify(&self.partial.proof)? {
            Ok(())
        } else {
            Err(PartialFault::Proof)
        }
    }

    fn checked(self, opening: &Opening) -> CheckedPartial {
        CheckedPartial {
            index: self.partial.index,
            points: self.points,
            opening: opening.digest,
        }
    }
}

/// Opens the capsules in scope with one share, as far as one share can.
///
/// Whether the case is granted, and not vetoed, is for the caller to know.
///
/// # Errors
/// [`OpeningError::WrongShare`] when the share was held against other commitments than those of this epoch.
pub fn partial_open(
    held: &HeldShare,
    opening: &Opening,
    rng: &mut impl CryptoRng,
) -> Result<PartialOpening, OpeningError> {
    let share = held.share();
    let index = share.index();
    if !held.fits(&opening.commitments) {
        return Err(OpeningError::WrongShare { index });
    }
    if let [only] = opening.blinded.as_slice() {
        // With the coefficient 1, M and Z are the capsule's own points.
        let scope = opening.scope(index);
        let seed = |point: &PointBytes| opening.seed(index, core::slice::from_ref(point));
        let (point, proof) = DleqProof::with_product(&scope, only, share.scalar(), seed, rng);
        return Ok(PartialOpening {
            index,
            points: vec![point],
            proof,
        });
    }
    let points = multiples(&opening.blinded, share.scalar());
    let seed = opening.seed(index, &points);
    let m = weighted(&opening.coefficients(&seed), &opening.blinded);
    let proof = DleqProof::new(&seed, &m, share.scalar(), rng);
    Ok(PartialOpening {
        index,
        points,
        proof,
    })
}

/// `s B_j` for every `j`, encoded.
fn multiples(points: &[Point], s: &Scalar) -> Vec<PointBytes> {
    let half = Zeroizing::new(s.div_by_2());
    let halves: Vec<Point> = points.iter().map(|point| point * *half).collect();
    encode_doubles(&halves)
}

/// `P_1 + d_2 P_2 + ... + d_m P_m`. The first coefficient may be fixed: with any other point wrong the sum is still wrong,
/// but for one value in `l`, and with only the first one wrong always. Everything here is public.
fn weighted(coefficients: &[Scalar], points: &[Point]) -> Point {
    match points.split_first() {
        Some((first, [])) => *first,
        Some((first, others)) => first + Point::vartime_multiscalar_mul(coefficients, others),
        None => Point::default(),
    }
}

/// Everything that an opening is bound to but the capsules. The commitments stand for the shares' public keys.
fn transcript(context: &OpeningContext, commitments: &Commitments) -> HashWriter {
    let mut writer = HashWriter::new("kithkin/opening-scope/1");
    writer
        .field(context.rho)
        .field(context.patient)
        .field(context.tier.as_str())
        .field(context.circle.as_str())
        .number(u64::from(context.epoch.0))
        .field(context.session.point);
    commitments.write_to(&mut writer);
    writer
}

/// Checks one partial opening, and keeps what the check has decoded.
///
/// # Errors
/// [`BadPartial`], which names the share's index.
pub fn check_partial(
    opening: &Opening,
    partial: &PartialOpening,
) -> Result<CheckedPartial, BadPartial> {
    let index = partial.index;
    let claim = opening.claim(partial);
    claim
        .and_then(|claim| claim.verify().map(|()| claim.checked(opening)))
        .map_err(|fault| BadPartial { index, fault })
}

/// [`check_partial`] for several at once, in their order: all proofs in one sum, which takes two thirds of the time. If that does not
/// hold, each by itself, so that the bad ones are known.
#[must_use]
pub fn check_partials(
    opening: &Opening,
    partials: &[&PartialOpening],
) -> Vec<Result<CheckedPartial, BadPartial>> {
    let claims: Vec<_> = partials
        .iter()
        .map(|partial| opening.claim(partial))
        .collect();
    let proved: Vec<_> = claims
        .iter()
        .flatten()
        .map(|claim| (claim.statement(), &claim.partial.proof))
        .collect();
    let all_hold = proved.len() > 1 && dleq::all_hold(&proved);
    claims
        .into_iter()
        .zip(partials)
        .map(|(claim, partial)| {
            let index = partial.index;
            let good = claim.and_then(|claim| {
                if !all_hold {
                    claim.verify()?;
                }
                Ok(claim.checked(opening))
            });
            good.map_err(|fault| BadPartial { index, fault })
        })
        .collect()
}

/// Checks one partial opening.
///
/// # Errors
/// [`BadPartial`], which names the share's index.
pub fn verify_partial(opening: &Opening, partial: &PartialOpening) -> Result<(), BadPartial> {
    check_partial(opening, partial).map(drop)
}
