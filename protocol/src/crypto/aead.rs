//! AES-256-GCM and HKDF-SHA256 (RFC 5869), both by `ring`.

use crate::crypto::Secret32;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;

/// Bytes that a ciphertext is longer than its plaintext: the tag.
pub const TAG_BYTES: usize = 16;
/// Length of a nonce in bytes.
pub const NONCE_BYTES: usize = 12;

/// Why sealing or opening failed; deliberately without detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AeadError {
    /// Wrong key, or ciphertext, nonce or associated data were changed.
    #[error("wrong key, or the ciphertext or its label was changed")]
    Open,
    /// The plaintext is longer than AES-GCM allows (about 64 GiB).
    #[error("the plaintext is too long for AES-GCM")]
    Seal,
}

/// Seals `plaintext`; the result is ciphertext and tag. A pair of key and nonce must never be used twice.
///
/// # Errors
/// [`AeadError::Seal`] for a plaintext over the limit of AES-GCM.
pub fn seal(
    key: &Secret32,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, AeadError> {
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    buffer.extend_from_slice(plaintext);
    unbound(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut buffer,
        )
        .map_err(|_| AeadError::Seal)?;
    Ok(buffer)
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`AeadError::Open`] when key, nonce, `aad` or ciphertext is not the sealed one.
pub fn open(
    key: &Secret32,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, AeadError> {
    let mut buffer = ciphertext.to_vec();
    let length = unbound(key)?
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut buffer,
        )
        .map_err(|_| AeadError::Open)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn unbound(key: &Secret32) -> Result<LessSafeKey, AeadError> {
    UnboundKey::new(&AES_256_GCM, key.expose())
        .map(LessSafeKey::new)
        .map_err(|_| AeadError::Seal)
}

/// Derives a key from `secret` for the purpose that `info` spells out.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "32 bytes are within HKDF's limit of 255 * 32"
)]
pub fn derive_key(secret: &[u8], info: &[&[u8]]) -> Secret32 {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"kithkin/hkdf/1").extract(secret);
    let mut key = [0; 32];
    prk.expand(info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes can be expanded");
    Secret32::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_same_key_nonce_and_label() {
        let key = Secret32::new([1; 32]);
        let sealed = seal(&key, [0; 12], b"label", b"text").expect("short");
        assert_eq!(
            open(&key, [0; 12], b"label", &sealed).expect("same"),
            b"text"
        );
        assert!(open(&key, [1; 12], b"label", &sealed).is_err());
        assert!(open(&key, [0; 12], b"other", &sealed).is_err());
        assert!(open(&Secret32::new([2; 32]), [0; 12], b"label", &sealed).is_err());
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert_eq!(
                open(&key, [0; 12], b"label", &changed),
                Err(AeadError::Open)
            );
        }
        assert!(open(&key, [0; 12], b"label", b"short").is_err());
    }
}
