//! The tier key pair: `x` and `P = xG` (opening.md section 1).

use super::{OpeningError, SharingError};
use crate::crypto::Secret32;
use crate::crypto::group::{GroupError, Point, PointBytes, Scalar, ScalarBytes, random_scalar};
use crate::record::{CapsuleKey, CheckedCapsule};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The secret `x` of one tier. Exists on the patient's own device and nowhere else; wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TierKey(Scalar);

/// `P = xG`: records of the tier are sealed to it. Never the identity. Stays the same through refresh and roster changes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PointBytes", into = "PointBytes")]
pub struct TierPublicKey {
    encoded: PointBytes,
    point: Point,
}

impl TierKey {
    /// Draws a fresh key.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random_scalar(rng))
    }

    pub(super) fn from_scalar(x: Scalar) -> Self {
        Self(x)
    }

    /// The key that belongs to a stored secret.
    ///
    /// # Errors
    /// [`SharingError::Key`] for zero or a number that is not below the group order.
    pub fn from_secret(secret: &Secret32) -> Result<Self, SharingError> {
        let x = ScalarBytes(*secret.expose())
            .decode()
            .map_err(|_| SharingError::Key)?;
        if x == Scalar::ZERO {
            return Err(SharingError::Key);
        }
        Ok(Self(x))
    }

    /// The secret, for storing the key.
    #[must_use]
    pub fn to_secret(&self) -> Secret32 {
        Secret32::new(self.0.to_bytes())
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> TierPublicKey {
        TierPublicKey::from_point(Point::mul_base(&self.0))
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

/// Opens one capsule with the patient's own key, without anybody's help: `K = xU`.
///
/// # Errors
/// [`OpeningError::OtherKey`] when the capsule was made for another key.
pub fn capsule_key_direct(
    key: &TierKey,
    capsule: &CheckedCapsule,
) -> Result<CapsuleKey, OpeningError> {
    if key.public() != *capsule.tier_key() {
        return Err(OpeningError::OtherKey { position: 0 });
    }
    Ok(CapsuleKey::new(capsule.point() * key.0))
}

impl core::fmt::Debug for TierKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TierKey(<redacted>)")
    }
}

impl TierPublicKey {
    fn from_point(point: Point) -> Self {
        Self {
            encoded: PointBytes::from(&point),
            point,
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &PointBytes {
        &self.encoded
    }

    /// The group element.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.point
    }
}

impl TryFrom<PointBytes> for TierPublicKey {
    type Error = GroupError;
    fn try_from(encoded: PointBytes) -> Result<Self, GroupError> {
        let point = encoded.decode()?;
        Ok(Self { encoded, point })
    }
}

impl From<TierPublicKey> for PointBytes {
    fn from(key: TierPublicKey) -> Self {
        key.encoded
    }
}

impl core::fmt::Debug for TierPublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TierPublicKey({})", self.encoded)
    }
}
