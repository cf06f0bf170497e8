//! A proof that two pairs of points have the same logarithm (Chaum and Pedersen, CRYPTO 1992; opening.md section 3).

use crate::crypto::Digest;
use crate::crypto::group::{
    GroupError, Point, PointBytes, Scalar, ScalarBytes, hash_to_scalar, hedged_nonce,
};
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const DOMAIN: &str = "kithkin/dleq/1";

/// Shows `log_G S = log_M Z` without showing the logarithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DleqProof {
    /// `c = H_l(domain, seed, S, M, Z, tG, tM)`.
    pub challenge: ScalarBytes,
    /// `t + c s`.
    pub response: ScalarBytes,
}

/// What is proved: `S = sG` and `Z = sM`, in the transcript that `seed` stands for.
pub(super) struct Statement<'a> {
    pub(super) seed: &'a Digest,
    pub(super) share_key: Point,
    pub(super) m: Point,
    pub(super) z: Point,
}

impl Statement<'_> {
    pub(super) fn prove(&self, secret: &Scalar, rng: &mut impl CryptoRng) -> DleqProof {
        let transcript = [DOMAIN.as_bytes(), self.seed.as_ref()];
        let nonce = Zeroizing::new(hedged_nonce(rng, secret, &transcript));
        let challenge = self.challenge(&Point::mul_base(&nonce), &(self.m * *nonce));
        let response = *nonce + challenge * secret;
        DleqProof {
            challenge: ScalarBytes::from(&challenge),
            response: ScalarBytes::from(&response),
        }
    }

    /// Whether the proof holds.
    ///
    /// # Errors
    /// [`GroupError`] for a scalar that is not canonical.
    pub(super) fn verify(&self, proof: &DleqProof) -> Result<bool, GroupError> {
        let (c, response) = (proof.challenge.decode()?, proof.response.decode()?);
        let on_base = Point::vartime_double_scalar_mul_basepoint(&-c, &self.share_key, &response);
        let on_m = Point::vartime_multiscalar_mul([response, -c], [self.m, self.z]);
        Ok(self.challenge(&on_base, &on_m) == c)
    }

    fn challenge(&self, on_base: &Point, on_m: &Point) -> Scalar {
        let points = [&self.share_key, &self.m, &self.z, on_base, on_m].map(PointBytes::from);
        let mut fields: Vec<&[u8]> = vec![self.seed.as_ref()];
        fields.extend(points.iter().map(AsRef::as_ref));
        hash_to_scalar(DOMAIN, &fields)
    }
}
