//! Ed25519 by `ed25519-zebra`: its private keys can be wiped, which those of `ring` cannot.
//!
//! All nodes must agree which signatures are valid, one at a time or in a
//! batch. ZIP-215 is the one rule for which both agree.

use crate::bytes::byte_newtype;
use crate::crypto::{Secret32, hash};
#[cfg(any(test, feature = "testing"))]
use crate::crypto::{remembered, simulated};
use rand_core::{CryptoRng, SeedableRng as _};
use zeroize::{Zeroize, ZeroizeOnDrop};

byte_newtype!(
    /// An Ed25519 public key; verified with, never assumed to be a valid point.
    VerifyingKey, 32
);
byte_newtype!(
    /// An Ed25519 signature.
    Signature, 64
);

/// A signature that does not fit key and message, or a key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit this key and message")]
pub struct SignatureError;

impl VerifyingKey {
    /// Checks one signature under ZIP-215.
    ///
    /// # Errors
    /// [`SignatureError`] when it does not hold.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        #[cfg(any(test, feature = "testing"))]
        if simulated::Simulated::is_on() {
            let holds = simulated::signature(&self.0, message) == signature.0;
            return holds.then_some(()).ok_or(SignatureError);
        }
        #[cfg(any(test, feature = "testing"))]
        if let Some(holds) = remembered::signature(self, message, signature) {
            return holds.then_some(()).ok_or(SignatureError);
        }
        let verdict = ed25519_zebra::VerificationKey::try_from(self.0)
            .and_then(|key| key.verify(&ed25519_zebra::Signature::from(signature.0), message))
            .map_err(|_| SignatureError);
        #[cfg(any(test, feature = "testing"))]
        remembered::keep_signature(self, message, signature, verdict.is_ok());
        verdict
    }
}

/// Checks many signatures at once under ZIP-215; about half the cost of one at a time.
///
/// The coefficients of the batch are drawn from a digest of everything in it,
/// so the verdict is the same on every node and nobody can prepare for it.
///
/// # Errors
/// [`SignatureError`] when at least one does not hold; it does not say which.
pub fn verify_batch(items: &[(VerifyingKey, &[u8], Signature)]) -> Result<(), SignatureError> {
    // The library would do most of the work for one signature.
    if items.is_empty() {
        return Ok(());
    }
    #[cfg(any(test, feature = "testing"))]
    if simulated::Simulated::is_on() {
        return items
            .iter()
            .try_for_each(|(key, message, signature)| key.verify(message, signature));
    }
    #[cfg(any(test, feature = "testing"))]
    if remembered::Remembered::is_on() {
        let mut unknown = Vec::with_capacity(items.len());
        for item in items {
            match remembered::signature(&item.0, item.1, &item.2) {
                Some(true) => {}
                Some(false) => return Err(SignatureError),
                None => unknown.push(*item),
            }
        }
        verify_unknown(&unknown)?;
        for (key, message, signature) in &unknown {
            remembered::keep_signature(key, message, signature, true);
        }
        return Ok(());
    }
    verify_unknown(items)
}

fn verify_unknown(items: &[(VerifyingKey, &[u8], Signature)]) -> Result<(), SignatureError> {
    let mut batch = ed25519_zebra::batch::Verifier::new();
    let mut transcript = crate::crypto::HashWriter::new("kithkin/batch-verify/1");
    for (key, message, signature) in items {
        transcript
            .field(key)
            .field(hash("kithkin/batch-item/1", &[message]))
            .field(signature);
        batch.queue((
            key.0.into(),
            ed25519_zebra::Signature::from(signature.0),
            *message,
        ));
    }
    let coefficients = rand_chacha::ChaCha20Rng::from_seed(transcript.finish().0);
    batch.verify(coefficients).map_err(|_| SignatureError)
}

/// Which of many signatures hold: in one batch when all do, else by halves, so that one bad signature among many costs
/// little more.
#[must_use]
pub fn verify_each(items: &[(VerifyingKey, &[u8], Signature)]) -> Vec<bool> {
    verify_until(items, usize::MAX)
}

/// [`verify_each`] from the front, until `bad_max` do not hold: what stands behind is not looked at, and has no verdict.
#[must_use]
pub fn verify_until(items: &[(VerifyingKey, &[u8], Signature)], bad_max: usize) -> Vec<bool> {
    let mut verdicts = Vec::with_capacity(items.len());
    let mut left = bad_max;
    halve(items, &mut left, &mut verdicts);
    verdicts
}

fn halve(items: &[(VerifyingKey, &[u8], Signature)], left: &mut usize, verdicts: &mut Vec<bool>) {
    if *left == 0 || items.is_empty() {
        return;
    }
    // One signature costs less by itself than as a batch; the rule is the same.
    let holds = match items {
        [(key, message, signature)] => key.verify(message, signature).is_ok(),
        batch => verify_batch(batch).is_ok(),
    };
    if holds {
        verdicts.extend(items.iter().map(|_| true));
    } else if items.len() <= 1 {
        verdicts.push(false);
        *left = left.saturating_sub(1);
    } else {
        let (front, back) = items.split_at(items.len() / 2);
        halve(front, left, verdicts);
        halve(back, left, verdicts);
    }
}

/// An Ed25519 private key. Wiped when dropped, with what is computed of it; never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SigningKey {
    pair: ed25519_zebra::SigningKey,
    seed: Secret32,
}

impl SigningKey {
    /// Draws a fresh key.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret32::random(rng))
    }

    /// The key that belongs to a stored seed.
    #[must_use]
    pub fn from_seed(seed: Secret32) -> Self {
        let pair = ed25519_zebra::SigningKey::from(*seed.expose());
        Self { pair, seed }
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn seed(&self) -> &Secret32 {
        &self.seed
    }

    /// The public key.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(ed25519_zebra::VerificationKeyBytes::from(&self.pair).into())
    }

    /// Signs `message`; deterministic (RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        #[cfg(any(test, feature = "testing"))]
        if simulated::Simulated::is_on() {
            return Signature(simulated::signature(&self.verifying_key().0, message));
        }
        Signature(self.pair.sign(message).to_bytes())
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SigningKey({}, <redacted>)", self.verifying_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(Secret32::new([n; 32]))
    }

    #[test]
    fn single_and_batch_agree() {
        let (a, b) = (key(1), key(2));
        let (sa, sb) = (a.sign(b"one"), b.sign(b"two"));
        assert!(a.verifying_key().verify(b"one", &sa).is_ok());
        assert!(a.verifying_key().verify(b"two", &sa).is_err());
        let good = [
            (a.verifying_key(), b"one".as_slice(), sa),
            (b.verifying_key(), b"two".as_slice(), sb),
        ];
        assert!(verify_batch(&good).is_ok());
        let bad = [good[0], (b.verifying_key(), b"one".as_slice(), sb)];
        assert!(verify_batch(&bad).is_err());
        assert_eq!(verify_each(&good), [true, true]);
        assert_eq!(verify_each(&bad), [true, false]);
        assert_eq!(verify_each(&bad[1..]), [false]);
        assert!(verify_each(&[]).is_empty());
        assert!(verify_batch(&[]).is_ok());
    }

    /// Against another library: RFC 8032 leaves no choice.
    #[test]
    fn signatures_are_those_of_the_oracle() {
        use ring::signature::{Ed25519KeyPair, KeyPair as _};
        for n in 0..=255 {
            let seed: [u8; 32] = hash("seed", &[&[n]]).0;
            let mine = SigningKey::from_seed(Secret32::new(seed));
            let other = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
            assert_eq!(mine.verifying_key().0, other.public_key().as_ref());
            let message = vec![n; usize::from(n) * 3];
            assert_eq!(mine.sign(&message).0, other.sign(&message).as_ref());
        }
    }

    /// Not the seed alone: what the library has computed of it too.
    #[test]
    fn a_wiped_key_signs_like_no_key() {
        let mut wiped = key(7);
        let before = wiped.sign(b"it");
        wiped.zeroize();
        assert_eq!(wiped.pair.as_ref(), [0; 32]);
        assert_eq!(wiped.seed.expose(), &[0; 32]);
        let after = wiped.sign(b"it");
        assert!(after != before);
        // With a private scalar of zero, S is the nonce alone, and the nonce that of an empty prefix.
        let mut another = key(8);
        another.zeroize();
        assert_eq!(another.sign(b"it"), after);
    }
}
