//! One small face over the cryptographic libraries; nothing else in the project calls them for these jobs.
//!
//! | job | library | here |
//! |---|---|---|
//! | SHA-256, SHA-512, HKDF, AES-256-GCM | `ring` | [`hash`], [`aead`] |
//! | Ed25519: signing; verification, single and batch, one rule (ZIP-215) | `ed25519-zebra` | [`SigningKey`], [`VerifyingKey`], [`verify_batch, verify_each`] |
//! | sealing to a person (RFC 9180) | `hpke`, its X25519 by `graviola` or `curve25519-dalek` | [`SealingKey`], [`OpeningKey`] |
//! | ristretto255 (RFC 9496) | `curve25519-dalek` | [`group`] |
//! | ECVRF (RFC 9381) | `vrf-rfc9381` | [`vrf`] |
//! | Merkle trees (RFC 6962) | `ct-merkle` | [`merkle`] |
//!
//! Randomness always comes from the caller as a `CryptoRng`. Secrets print as
//! `<redacted>` and are wiped when dropped.

pub mod aead;
mod dhkem;
pub mod group;
mod hashing;
mod hpke;
pub mod merkle;
#[cfg(any(test, feature = "testing"))]
mod remembered;
mod signing;
#[cfg(any(test, feature = "testing"))]
mod simulated;
pub mod vrf;
mod x25519;

pub use hashing::{Digest, HashWriter, hash, hash_wide};
pub use hpke::{HpkeError, OpeningKey, Sealed, SealingKey};
#[cfg(any(test, feature = "testing"))]
pub use remembered::Remembered;
pub use signing::{
    Signature, SignatureError, SigningKey, VerifyingKey, verify_batch, verify_each, verify_until,
};
#[cfg(any(test, feature = "testing"))]
pub use simulated::Simulated;

/// Thirty-two secret bytes: wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secret32([u8; 32]);

impl Secret32 {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws fresh bytes.
    #[must_use]
    pub fn random(rng: &mut impl rand_core::CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes, for the one computation that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("<redacted>")
    }
}
