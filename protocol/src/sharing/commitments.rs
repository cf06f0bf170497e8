//! Feldman's commitments to the sharing polynomial (P. Feldman, FOCS 1987; opening.md section 1).

use super::{KIN_MAX, KIN_MIN, SharingError, Threshold, TierPublicKey, encoding, majority};
use crate::crypto::group::{Point, PointBytes};
use crate::crypto::{Digest, HashWriter};
use crate::units::ShareIndex;
use serde::{Deserialize, Serialize};

/// `A_0 = P, A_1, ..., A_{k-1}`: public, on chain in the enrolment. Anyone computes each share's public key from it.
///
/// No commitment is the identity: above all not the last one, which would lower the threshold unseen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub struct Commitments {
    public: TierPublicKey,
    encoded: Vec<PointBytes>,
    points: Vec<Point>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Encoded(
    #[serde(
        serialize_with = "encoding::serialize",
        deserialize_with = "encoding::deserialize::<_, KIN_MAX>"
    )]
    Vec<PointBytes>,
);

impl Commitments {
    /// Decodes commitments, `A_0` first.
    ///
    /// # Errors
    /// [`SharingError::CommitmentCount`] for fewer than a majority of [`KIN_MIN`] or more than [`KIN_MAX`],
    /// [`SharingError::Commitment`] for one that is no group element or the identity.
    pub fn from_points(encoded: Vec<PointBytes>) -> Result<Self, SharingError> {
        let found = encoded.len();
        if !(majority(KIN_MIN)..=KIN_MAX).contains(&found) {
            return Err(SharingError::CommitmentCount { found });
        }
        let points = decode(&encoded, 0)?;
        let public = encoded
            .first()
            .and_then(|first| TierPublicKey::try_from(*first).ok())
            .ok_or(SharingError::CommitmentCount { found })?;
        Ok(Self {
            public,
            encoded,
            points,
        })
    }

    /// `P`, the tier's public key.
    #[must_use]
    pub fn public_key(&self) -> &TierPublicKey {
        &self.public
    }

    /// `k`: how many shares open.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.encoded.len()
    }

    /// The encoded commitments, `A_0` first.
    #[must_use]
    pub fn as_points(&self) -> &[PointBytes] {
        &self.encoded
    }

    /// Checks that there are exactly as many commitments as the threshold says.
    ///
    /// # Errors
    /// [`SharingError::CommitmentCount`] otherwise.
    pub fn check(&self, threshold: Threshold) -> Result<(), SharingError> {
        match self.threshold() {
            found if found == threshold.needed() => Ok(()),
            found => Err(SharingError::CommitmentCount { found }),
        }
    }

    /// `S_i = sum_j i^j A_j`, the public key of share `i`.
    #[must_use]
    pub fn share_key(&self, index: ShareIndex) -> Point {
        evaluate(&self.points, index)
    }

    /// Tells apart what differs in any of them.
    pub(super) fn digest(&self) -> Digest {
        let mut writer = HashWriter::new("kithkin/commitments/1");
        self.write_to(&mut writer);
        writer.finish()
    }

    /// Adds all of them, and so every share's public key, to a transcript.
    pub(super) fn write_to(&self, writer: &mut HashWriter) {
        writer.number(self.encoded.len() as u64);
        for commitment in &self.encoded {
            writer.field(commitment);
        }
    }

    /// The decoded commitments, `A_0` first.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }
}

/// Decodes commitments of which the first stands at place `first` of its polynomial.
pub(super) fn decode(encoded: &[PointBytes], first: usize) -> Result<Vec<Point>, SharingError> {
    (first..)
        .zip(encoded)
        .map(|(position, point)| {
            point
                .decode()
                .map_err(|fault| SharingError::Commitment { position, fault })
        })
        .collect()
}

/// `C_0 + i C_1 + i^2 C_2 + ...`: the committed polynomial's value at `index`, times `G`. By Horner's rule, because `i` is
/// small; nothing here is secret.
pub(super) fn evaluate(points: &[Point], index: ShareIndex) -> Point {
    points
        .iter()
        .rev()
        .fold(Point::default(), |sum, point| times(&sum, index) + point)
}

/// `i P` by doubling and adding: eight doublings instead of 253.
pub(super) fn times(point: &Point, index: ShareIndex) -> Point {
    let factor = index.get();
    (0..u8::BITS)
        .rev()
        .skip_while(|bit| factor >> bit == 0)
        .fold(Point::default(), |sum, bit| {
            let doubled = sum + sum;
            if (factor >> bit) & 1 == 1 {
                doubled + point
            } else {
                doubled
            }
        })
}

impl TryFrom<Encoded> for Commitments {
    type Error = SharingError;
    fn try_from(encoded: Encoded) -> Result<Self, SharingError> {
        Self::from_points(encoded.0)
    }
}

impl From<Commitments> for Encoded {
    fn from(commitments: Commitments) -> Self {
        Self(commitments.encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::group::{Scalar, random_scalar};
    use rand_core::SeedableRng as _;

    /// Against the sum of powers, for every index and for few and many commitments.
    #[test]
    fn share_keys_are_the_polynomial_in_the_exponent() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([4; 32]);
        for count in [2, 3, 11, KIN_MAX] {
            let points: Vec<Point> = (0..count)
                .map(|_| Point::mul_base(&random_scalar(&mut rng)))
                .collect();
            let encoded = points.iter().map(PointBytes::from).collect();
            let commitments = Commitments::from_points(encoded).expect("commitments");
            for i in [1, 2, 3, 5, 64, 127, 128, 200, 254, 255] {
                let i = ShareIndex::new(i).expect("not zero");
                let mut power = Scalar::ONE;
                let mut sum = Point::default();
                for point in &points {
                    sum += point * power;
                    power *= Scalar::from(i.get());
                }
                assert_eq!(
                    commitments.share_key(i),
                    sum,
                    "{count} commitments, index {i}"
                );
            }
        }
    }
}
