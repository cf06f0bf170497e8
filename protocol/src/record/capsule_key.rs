//! The key of one capsule, `K = rP = xU`, and what it wraps (opening.md section 2).

use super::{Capsule, CapsuleError, Label, WrappedKey};
use crate::crypto::group::{Point, PointBytes};
use crate::crypto::{Secret32, aead};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const WRAP: &[u8] = b"kithkin/capsule-wrap/1";

/// `K = rP = xU`: opens one capsule and nothing else. Wiped when dropped, never printed.
#[derive(PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct CapsuleKey(Point);

impl CapsuleKey {
    pub(crate) fn new(point: Point) -> Self {
        Self(point)
    }

    pub(super) fn wrap(
        &self,
        dek: &Secret32,
        label: &Label,
        u: &PointBytes,
    ) -> Result<WrappedKey, CapsuleError> {
        // Nonce 0 is sound: `r` is fresh, so this key seals once.
        let nonce = [0; aead::NONCE_BYTES];
        let wrapped = aead::seal(
            &self.wrapping_key(label, u),
            nonce,
            label.as_ref(),
            dek.expose(),
        );
        wrapped
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(WrappedKey)
            .ok_or(CapsuleError::Unwrap)
    }

    /// `DEK`, the key of the record itself.
    pub(crate) fn unwrap(&self, capsule: &Capsule) -> Result<Secret32, CapsuleError> {
        let dek = aead::open(
            &self.wrapping_key(&capsule.label, &capsule.u),
            [0; aead::NONCE_BYTES],
            capsule.label.as_ref(),
            capsule.wrapped.as_ref(),
        );
        let dek = Zeroizing::new(dek.map_err(|_| CapsuleError::Unwrap)?);
        let dek = <[u8; 32]>::try_from(dek.as_slice()).map_err(|_| CapsuleError::Unwrap)?;
        Ok(Secret32::new(dek))
    }

    /// The key of the record itself, for tests that look whether it lies anywhere.
    ///
    /// # Errors
    /// [`CapsuleError::Unwrap`] when the capsule is another's.
    #[cfg(any(test, feature = "testing"))]
    pub fn record_key(&self, capsule: &Capsule) -> Result<Secret32, CapsuleError> {
        self.unwrap(capsule)
    }

    fn wrapping_key(&self, label: &Label, u: &PointBytes) -> Secret32 {
        let encoded = Zeroizing::new(self.0.compress().to_bytes());
        aead::derive_key(encoded.as_ref(), &[WRAP, label.as_ref(), u.as_ref()])
    }
}

impl core::fmt::Debug for CapsuleKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CapsuleKey(<redacted>)")
    }
}
