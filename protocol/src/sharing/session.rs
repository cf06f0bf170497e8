//! The requester's one-time point `E = eps G`, with a proof that it knows `eps` (opening.md section 3).
//!
//! Without the proof a requester could send `E = U2 - U` and have the kin open
//! the capsule of `U2` in the name of `U`.

use crate::crypto::group::{
    Point, PointBytes, Scalar, ScalarBytes, hash_to_scalar, hedged_nonce, random_scalar,
};
use crate::crypto::{Digest, Secret32};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const DOMAIN: &str = "kithkin/session/1";

/// `eps`: takes the mask off the combined openings of one request. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SessionSecret {
    eps: Scalar,
    /// `E`, which is public.
    #[zeroize(skip)]
    point: PointBytes,
}

/// `E` and the proof, as they stand in the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionPublic {
    /// `E = eps G`.
    pub point: PointBytes,
    /// Shows that the requester knows `eps`; bound to the request.
    pub proof: SchnorrProof,
}

/// A proof of knowledge of a logarithm (Schnorr, made non-interactive after Fiat and Shamir).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SchnorrProof {
    /// `c = H_l(domain, request, E, tG)`.
    pub challenge: ScalarBytes,
    /// `t + c eps`.
    pub response: ScalarBytes,
}

/// What can be wrong with a requester's point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// `E` or the proof is not canonically encoded, or `E` is the identity.
    #[error("the request's session point or its proof is malformed")]
    Encoding,
    /// The proof does not hold for this point and request.
    #[error("the requester has not proved that it knows the session secret")]
    Proof,
    /// Stored bytes that are no session secret.
    #[error("not the encoding of a session secret")]
    Secret,
}

impl SessionSecret {
    /// Draws a fresh secret; each serves one request.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::new(random_scalar(rng))
    }

    fn new(eps: Scalar) -> Self {
        let point = PointBytes::from(&Point::mul_base(&eps));
        Self { eps, point }
    }

    /// The secret that was stored.
    ///
    /// # Errors
    /// [`SessionError::Secret`] for zero or a number that is not below the group order.
    pub fn from_secret(secret: &Secret32) -> Result<Self, SessionError> {
        let eps = ScalarBytes(*secret.expose())
            .decode()
            .map_err(|_| SessionError::Secret)?;
        if eps == Scalar::ZERO {
            return Err(SessionError::Secret);
        }
        Ok(Self::new(eps))
    }

    /// For storing the secret while the request is under way.
    #[must_use]
    pub fn to_secret(&self) -> Secret32 {
        Secret32::new(self.eps.to_bytes())
    }

    /// `E`, which the request must contain before [`SessionSecret::prove`] can bind to it.
    #[must_use]
    pub fn point(&self) -> PointBytes {
        self.point
    }

    /// `E` with the proof, bound to `request`: a digest of every field of the request but the proof.
    #[must_use]
    pub fn prove(&self, request: &Digest, rng: &mut impl CryptoRng) -> SessionPublic {
        let point = self.point();
        let nonce = Zeroizing::new(hedged_nonce(
            rng,
            &self.eps,
            &[DOMAIN.as_bytes(), request.as_ref(), point.as_ref()],
        ));
        let challenge = challenge(request, &point, &Point::mul_base(&nonce));
        let response = *nonce + challenge * self.eps;
        SessionPublic {
            point,
            proof: SchnorrProof {
                challenge: ScalarBytes::from(&challenge),
                response: ScalarBytes::from(&response),
            },
        }
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.eps
    }
}

impl SessionPublic {
    /// Checks the proof and returns `E`.
    ///
    /// # Errors
    /// [`SessionError::Encoding`] or [`SessionError::Proof`].
    pub fn verify(&self, request: &Digest) -> Result<Point, SessionError> {
        let point = self.point.decode().map_err(|_| SessionError::Encoding)?;
        let c = self.proof.challenge.decode();
        let c = c.map_err(|_| SessionError::Encoding)?;
        let response = self.proof.response.decode();
        let response = response.map_err(|_| SessionError::Encoding)?;
        let nonce_point = Point::vartime_double_scalar_mul_basepoint(&-c, &point, &response);
        if challenge(request, &self.point, &nonce_point) == c {
            Ok(point)
        } else {
            Err(SessionError::Proof)
        }
    }
}

fn challenge(request: &Digest, point: &PointBytes, nonce_point: &Point) -> Scalar {
    let nonce_point = PointBytes::from(nonce_point);
    hash_to_scalar(
        DOMAIN,
        &[request.as_ref(), point.as_ref(), nonce_point.as_ref()],
    )
}

impl core::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SessionSecret(<redacted>)")
    }
}
