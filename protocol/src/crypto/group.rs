//! ristretto255 (RFC 9496): the prime-order group of shares, capsules and proofs.
//!
//! [`Point`] and [`Scalar`] are `curve25519-dalek`'s; what this module adds is
//! strict decoding (canonical encodings only, no identity where none belongs)
//! and hashing into the group and its scalar field.

use crate::crypto::hash_wide;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::traits::IsIdentity as _;

pub use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT as BASE;
pub use curve25519_dalek::ristretto::RistrettoPoint as Point;
pub use curve25519_dalek::scalar::Scalar;

crate::bytes::byte_newtype!(
    /// A canonical encoding of a group element, not yet decoded.
    PointBytes, 32
);
crate::bytes::byte_newtype!(
    /// A canonical encoding of a public scalar (a proof's response), not yet decoded.
    ScalarBytes, 32
);

/// Bytes that are no element of the group or of the scalar field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Not the canonical encoding of a group element.
    #[error("not a canonical ristretto255 element")]
    Point,
    /// The identity, which no honest party sends.
    #[error("the identity element is not allowed here")]
    Identity,
    /// A number not below the group order.
    #[error("not a canonical scalar")]
    Scalar,
}

impl PointBytes {
    /// Decodes a group element that is not the identity.
    ///
    /// # Errors
    /// [`GroupError::Point`] or [`GroupError::Identity`].
    pub fn decode(&self) -> Result<Point, GroupError> {
        let point = CompressedRistretto(self.0)
            .decompress()
            .ok_or(GroupError::Point)?;
        if point.is_identity() {
            return Err(GroupError::Identity);
        }
        Ok(point)
    }
}

impl From<&Point> for PointBytes {
    fn from(point: &Point) -> Self {
        Self(point.compress().to_bytes())
    }
}

/// Encodes `2P` for every `P`, about a third cheaper than one at a time: one inversion serves all. Whoever computes a multiple
/// that is encoded only, computes it with [`Scalar::div_by_2`].
#[must_use]
pub fn encode_doubles(points: &[Point]) -> Vec<PointBytes> {
    Point::double_and_compress_batch(points)
        .iter()
        .map(|encoded| PointBytes(encoded.to_bytes()))
        .collect()
}

impl ScalarBytes {
    /// Decodes a scalar below the group order.
    ///
    /// # Errors
    /// [`GroupError::Scalar`] for anything else.
    pub fn decode(&self) -> Result<Scalar, GroupError> {
        Option::from(Scalar::from_canonical_bytes(self.0)).ok_or(GroupError::Scalar)
    }
}

impl From<&Scalar> for ScalarBytes {
    fn from(scalar: &Scalar) -> Self {
        Self(scalar.to_bytes())
    }
}

/// `H_l` of the design: SHA-512 reduced modulo the group order.
#[must_use]
pub fn hash_to_scalar(domain: &str, fields: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&hash_wide(domain, fields))
}

/// A group element whose logarithm nobody knows: SHA-512, then the map of RFC 9496 section 4.3.4.
#[must_use]
pub fn hash_to_group(domain: &str, fields: &[&[u8]]) -> Point {
    Point::from_uniform_bytes(&hash_wide(domain, fields))
}

/// Draws a scalar uniformly; zero with negligible probability only.
#[must_use]
pub fn random_scalar(rng: &mut impl rand_core::CryptoRng) -> Scalar {
    let mut wide = zeroize::Zeroizing::new([0u8; 64]);
    rng.fill_bytes(wide.as_mut());
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// Draws the nonce of a proof: from fresh randomness, the secret and the transcript together, so that a
/// broken random source alone does not give the secret away.
#[must_use]
pub fn hedged_nonce(
    rng: &mut impl rand_core::CryptoRng,
    secret: &Scalar,
    transcript: &[&[u8]],
) -> Scalar {
    let mut fresh = zeroize::Zeroizing::new([0u8; 32]);
    rng.fill_bytes(fresh.as_mut());
    let secret = zeroize::Zeroizing::new(secret.to_bytes());
    let mut fields: Vec<&[u8]> = vec![fresh.as_ref(), secret.as_ref()];
    fields.extend_from_slice(transcript);
    hash_to_scalar("kithkin/nonce/1", &fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_decoding() {
        assert_eq!(PointBytes([0; 32]).decode(), Err(GroupError::Identity));
        assert_eq!(PointBytes([0xff; 32]).decode(), Err(GroupError::Point));
        assert_eq!(ScalarBytes([0xff; 32]).decode(), Err(GroupError::Scalar));
        assert_eq!(PointBytes::from(&BASE).decode(), Ok(BASE));
    }

    #[test]
    fn halves_are_encoded_as_what_they_are_halves_of() {
        let scalars = [0, 1, 2, 7, u64::MAX].map(Scalar::from);
        let whole = scalars.map(|s| PointBytes::from(&Point::mul_base(&s)));
        let halves = scalars.map(|s| Point::mul_base(&s.div_by_2()));
        assert_eq!(encode_doubles(&halves), whole);
        assert_eq!(encode_doubles(&[]), []);
    }
}
