//! HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM: sealing to a person.
//!
//! Base mode does not say who sealed: whatever must be attributable carries a signature inside.

use crate::bytes::byte_newtype;
use crate::crypto::Secret32;
use crate::crypto::dhkem::X25519HkdfSha256 as Kem;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::AesGcm256;

byte_newtype!(
    /// The public key that others seal to.
    SealingKey, 32
);

/// A message sealed to one [`SealingKey`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The encapsulated key.
    #[serde(with = "serde_bytes")]
    pub enc: Vec<u8>,
    /// Ciphertext and tag.
    #[serde(with = "serde_bytes")]
    pub ciphertext: Vec<u8>,
}

/// Why sealing or opening failed; deliberately without detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HpkeError {
    /// The recipient's public key is no usable X25519 key.
    #[error("the recipient's sealing key is unusable")]
    Recipient,
    /// Not sealed to this key for this purpose, or changed on the way.
    #[error("not sealed to this key for this purpose, or changed on the way")]
    Open,
}

impl SealingKey {
    /// Seals `plaintext` for the purpose that `info` spells out.
    ///
    /// # Errors
    /// [`HpkeError::Recipient`] when this is no usable key.
    pub fn seal(
        &self,
        info: &[u8],
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, HpkeError> {
        let key =
            <Kem as hpke::Kem>::PublicKey::from_bytes(&self.0).map_err(|_| HpkeError::Recipient)?;
        let (enc, ciphertext) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
            &OpModeS::Base,
            &key,
            info,
            plaintext,
            b"",
            rng,
        )
        .map_err(|_| HpkeError::Recipient)?;
        Ok(Sealed {
            enc: enc.to_bytes().to_vec(),
            ciphertext,
        })
    }
}

/// The private key that opens what was sealed to its [`SealingKey`].
#[derive(Clone, zeroize::ZeroizeOnDrop)]
pub struct OpeningKey {
    seed: Secret32,
    /// Derived from the seed; wiped by the library when dropped.
    #[zeroize(skip)]
    private: <Kem as hpke::Kem>::PrivateKey,
    #[zeroize(skip)]
    public: SealingKey,
}

impl OpeningKey {
    /// Draws a fresh key.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret32::random(rng))
    }

    /// The key that belongs to a stored seed.
    #[must_use]
    pub fn from_seed(seed: Secret32) -> Self {
        let (private, public) = Kem::derive_keypair(seed.expose());
        Self {
            seed,
            private,
            public: SealingKey(public.to_bytes().into()),
        }
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn seed(&self) -> &Secret32 {
        &self.seed
    }

    /// The public key.
    #[must_use]
    pub fn sealing_key(&self) -> SealingKey {
        self.public
    }

    /// Opens what was sealed to this key with the same `info`.
    ///
    /// # Errors
    /// [`HpkeError::Open`] when it was not, or when it was changed.
    pub fn open(&self, info: &[u8], sealed: &Sealed) -> Result<Vec<u8>, HpkeError> {
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&sealed.enc)
            .map_err(|_| HpkeError::Open)?;
        hpke::single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &self.private,
            &enc,
            info,
            &sealed.ciphertext,
            b"",
        )
        .map_err(|_| HpkeError::Open)
    }
}

impl core::fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "OpeningKey({}, <redacted>)", self.sealing_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng as _;

    /// Both hold the secret, and both wipe themselves.
    #[test]
    fn seed_and_private_key_are_wiped_when_dropped() {
        fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        wiped::<OpeningKey>();
        wiped::<Secret32>();
        // The library does not say so in a trait. Without its wiping there would be nothing to do.
        assert!(core::mem::needs_drop::<<Kem as hpke::Kem>::PrivateKey>());
    }

    #[test]
    fn only_the_recipient_opens_and_only_for_the_purpose() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([3; 32]);
        let (mine, other) = (OpeningKey::random(&mut rng), OpeningKey::random(&mut rng));
        let sealed = mine
            .sealing_key()
            .seal(b"purpose", b"text", &mut rng)
            .expect("usable key");
        assert_eq!(mine.open(b"purpose", &sealed).expect("mine"), b"text");
        assert_eq!(mine.open(b"another", &sealed), Err(HpkeError::Open));
        assert_eq!(other.open(b"purpose", &sealed), Err(HpkeError::Open));
        let mut changed = sealed;
        changed.enc.pop();
        assert_eq!(mine.open(b"purpose", &changed), Err(HpkeError::Open));
        let weak = SealingKey([0; 32]);
        assert_eq!(weak.seal(b"", b"", &mut rng), Err(HpkeError::Recipient));
    }
}
