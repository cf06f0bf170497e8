//! A proof that two pairs of points have the same logarithm (Chaum and Pedersen, CRYPTO 1992; opening.md section 3).

use crate::crypto::Digest;
use crate::crypto::group::{
    GroupError, Point, Scalar, ScalarBytes, encode_doubles, hash_to_scalar, hedged_nonce,
};
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const DOMAIN: &str = "kithkin/dleq/2";

/// Shows `log_G S = log_M Z` without showing the logarithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DleqProof {
    /// `c = H_l(domain, seed, tG, tM)`.
    pub challenge: ScalarBytes,
    /// `t + c s`.
    pub response: ScalarBytes,
}

/// What is proved: `S = sG` and `Z = sM`. All of it is public.
pub(super) struct Statement<'a> {
    /// Digest of everything that `S`, `M` and `Z` are made of: the proof is worth nothing if one of them can be chosen after it.
    pub(super) seed: &'a Digest,
    pub(super) share_key: Point,
    pub(super) m: Point,
    pub(super) z: Point,
}

impl DleqProof {
    /// Shows that `S = secret G` and `Z = secret M`; `seed` covers `S`, `M` and `Z`.
    pub(super) fn new(seed: &Digest, m: &Point, secret: &Scalar, rng: &mut impl CryptoRng) -> Self {
        let transcript = [DOMAIN.as_bytes(), seed.as_ref()];
        let nonce = Zeroizing::new(hedged_nonce(rng, secret, &transcript));
        let half = Zeroizing::new(nonce.div_by_2());
        let challenge = challenge(seed, [Point::mul_base(&half), m * *half]);
        let response = *nonce + challenge * secret;
        Self {
            challenge: ScalarBytes::from(&challenge),
            response: ScalarBytes::from(&response),
        }
    }
}

impl Statement<'_> {
    /// Whether the proof holds.
    ///
    /// # Errors
    /// [`GroupError`] for a scalar that is not canonical.
    pub(super) fn verify(&self, proof: &DleqProof) -> Result<bool, GroupError> {
        let (c, response) = (proof.challenge.decode()?, proof.response.decode()?);
        // Halves, because only the encodings of the doubles are needed.
        let (half_c, half) = ((-c).div_by_2(), response.div_by_2());
        let on_base = Point::vartime_double_scalar_mul_basepoint(&half_c, &self.share_key, &half);
        let on_m = Point::vartime_multiscalar_mul([half, half_c], [self.m, self.z]);
        Ok(challenge(self.seed, [on_base, on_m]) == c)
    }
}

/// `c` from `t/2 G` and `t/2 M`.
fn challenge(seed: &Digest, halves: [Point; 2]) -> Scalar {
    let nonces = encode_doubles(&halves);
    let mut fields: Vec<&[u8]> = vec![seed.as_ref()];
    fields.extend(nonces.iter().map(AsRef::as_ref));
    hash_to_scalar(DOMAIN, &fields)
}
