//! ECVRF-EDWARDS25519-SHA512-ELL2 (RFC 9381): the beacon that draws masters.
//!
//! A key has exactly one output per input, so an author can withhold its
//! randomness but not choose it. The VRF key is never the vote key.

use crate::bytes::byte_newtype;
use crate::crypto::{Digest, Secret32, SigningKey, hash};
#[cfg(any(test, feature = "testing"))]
use crate::crypto::{remembered, simulated};
use vrf_rfc9381::ec::edwards25519::EdVrfProof;
use vrf_rfc9381::ec::edwards25519::elligator2::{
    EdVrfEdwards25519Ell2PublicKey, EdVrfEdwards25519Ell2SecretKey,
};
use vrf_rfc9381::{Ciphersuite, Proof as _, Prover as _, Verifier as _};

byte_newtype!(
    /// The public key of a VRF.
    VrfPublicKey, 32
);
byte_newtype!(
    /// A proof (pi_string of RFC 9381).
    VrfProof, 80
);

/// A proof that does not hold, or a key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the VRF proof does not hold for this key and input")]
pub struct VrfError;

/// The private key of a VRF.
#[derive(zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct VrfSecretKey {
    seed: Secret32,
    /// Computed once: it takes a scalar multiplication.
    #[zeroize(skip)]
    public: VrfPublicKey,
}

impl VrfSecretKey {
    /// Draws a fresh key.
    #[must_use]
    pub fn random(rng: &mut impl rand_core::CryptoRng) -> Self {
        Self::from_seed(Secret32::random(rng))
    }

    /// The key that belongs to a stored seed.
    #[must_use]
    pub fn from_seed(seed: Secret32) -> Self {
        // `vrf-rfc9381` keeps the encoding of its public key to itself. RFC 8032 defines the same one, so the
        // Ed25519 face gives it (a test below holds the two together).
        let public = VrfPublicKey(SigningKey::from_seed(seed.clone()).verifying_key().0);
        Self { seed, public }
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn seed(&self) -> &Secret32 {
        &self.seed
    }
}

impl core::fmt::Debug for VrfSecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VrfSecretKey(<redacted>)")
    }
}

impl VrfSecretKey {
    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> VrfPublicKey {
        self.public
    }

    /// Proves the one output that this key has for `input`.
    ///
    /// # Errors
    /// [`VrfError`] when the library cannot map the input to the curve; does not happen with ELL2.
    pub fn prove(&self, input: &[u8]) -> Result<(Digest, VrfProof), VrfError> {
        #[cfg(any(test, feature = "testing"))]
        if simulated::Simulated::is_on() {
            let key = &self.public.0;
            return Ok((
                simulated::output(key, input),
                VrfProof(simulated::proof(key, input)),
            ));
        }
        let key =
            EdVrfEdwards25519Ell2SecretKey::from_slice(self.seed.expose()).map_err(|_| VrfError)?;
        let proof = key.prove(input).map_err(|_| VrfError)?;
        let beta = proof
            .proof_to_hash(Ciphersuite::ECVRF_EDWARDS25519_SHA512_ELL2)
            .map_err(|_| VrfError)?;
        let proof = proof.encode_to_pi().try_into().map_err(|_| VrfError)?;
        Ok((output(&beta), VrfProof(proof)))
    }
}

impl VrfPublicKey {
    /// Checks `proof` and returns the output it proves.
    ///
    /// # Errors
    /// [`VrfError`] for a wrong proof, a proof in a second encoding, or a key of small order.
    pub fn verify(&self, input: &[u8], proof: &VrfProof) -> Result<Digest, VrfError> {
        #[cfg(any(test, feature = "testing"))]
        if simulated::Simulated::is_on() {
            let holds = simulated::proof(&self.0, input) == proof.0;
            return holds
                .then(|| simulated::output(&self.0, input))
                .ok_or(VrfError);
        }
        #[cfg(any(test, feature = "testing"))]
        return remembered::proof(self, input, proof, || {
            self.verify_unknown(input, proof).ok()
        })
        .ok_or(VrfError);
        #[cfg(not(any(test, feature = "testing")))]
        self.verify_unknown(input, proof)
    }

    fn verify_unknown(&self, input: &[u8], proof: &VrfProof) -> Result<Digest, VrfError> {
        let key = EdVrfEdwards25519Ell2PublicKey::from_slice(&self.0).map_err(|_| VrfError)?;
        let decoded = EdVrfProof::decode_pi(&proof.0).map_err(|_| VrfError)?;
        // RFC 9381 section 5.4.4: the response must be reduced. The library reduces it instead of refusing.
        if decoded.encode_to_pi() != proof.0 {
            return Err(VrfError);
        }
        let beta = key.verify(input, decoded).map_err(|_| VrfError)?;
        Ok(output(&beta))
    }
}

fn output(beta: &[u8]) -> Digest {
    hash("kithkin/vrf-output/1", &[beta])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> VrfSecretKey {
        VrfSecretKey::from_seed(Secret32::new([n; 32]))
    }

    /// RFC 9381, appendix B.4, example 19.
    #[test]
    fn agrees_with_the_rfc() {
        let seed =
            crate::bytes::unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = VrfSecretKey::from_seed(Secret32::new(seed.expect("hex")));
        assert_eq!(
            key.public_key().to_hex(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let (_, proof) = key.prove(b"").expect("provable");
        assert_eq!(
            proof.to_hex(),
            "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f\
             14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2\
             fb37831e00f0acaa6d73bc9997b06501"
        );
    }

    #[test]
    fn output_is_bound_to_key_and_input() {
        let (output, proof) = key(1).prove(b"input").expect("provable");
        let public = key(1).public_key();
        assert_eq!(public.verify(b"input", &proof), Ok(output));
        assert_eq!(public.verify(b"other", &proof), Err(VrfError));
        assert_eq!(key(2).public_key().verify(b"input", &proof), Err(VrfError));
        for i in 0..VrfProof::LEN {
            let mut changed = proof;
            changed.0[i] ^= 1;
            assert_eq!(public.verify(b"input", &changed), Err(VrfError), "byte {i}");
        }
        assert_eq!(
            VrfPublicKey([0; 32]).verify(b"input", &proof),
            Err(VrfError)
        );
    }
}
