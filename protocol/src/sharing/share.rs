//! One kin's share `s_i = f(i)` of a tier key (A. Shamir, CACM 1979; opening.md section 1).

use super::{Commitments, SharingError};
use crate::crypto::Digest;
use crate::crypto::group::{Point, Scalar, ScalarBytes};
use crate::units::ShareIndex;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A share: its index and its secret scalar, never zero. Wiped when dropped, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Share {
    #[zeroize(skip)]
    index: ShareIndex,
    scalar: Scalar,
}

impl Share {
    /// Length of an encoded share in bytes.
    pub const LEN: usize = 33;

    pub(super) fn new(index: ShareIndex, scalar: Scalar) -> Self {
        Self { index, scalar }
    }

    /// Whose share it is.
    #[must_use]
    pub fn index(&self) -> ShareIndex {
        self.index
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.scalar
    }

    /// Checks that the share lies on the committed polynomial: `s_i G == sum_j i^j A_j`.
    ///
    /// # Errors
    /// [`SharingError::WrongShare`] when it does not; whoever sent the share is at fault.
    pub fn verify(&self, commitments: &Commitments) -> Result<(), SharingError> {
        if Point::mul_base(&self.scalar) == commitments.share_key(self.index) {
            Ok(())
        } else {
            Err(SharingError::WrongShare { index: self.index })
        }
    }

    /// [`Share::verify`], remembered: what is asked of the share later needs no multiplication to know that it fits.
    ///
    /// # Errors
    /// [`SharingError::WrongShare`] when it does not lie on the committed polynomial.
    pub fn held(self, commitments: &Commitments) -> Result<HeldShare, SharingError> {
        self.verify(commitments)?;
        Ok(HeldShare::new(self, commitments.digest()))
    }

    /// Index and scalar, for sealing; wiped when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        let [first, rest @ ..] = &mut *bytes;
        *first = self.index.get();
        rest.copy_from_slice(self.scalar.as_bytes());
        bytes
    }

    /// Reads what [`Share::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`SharingError::ShareEncoding`] for a wrong length, index 0, or a scalar that is zero or not canonical.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SharingError> {
        let bad = SharingError::ShareEncoding;
        let (&index, scalar) = bytes.split_first().ok_or(bad)?;
        let scalar = Zeroizing::new(<[u8; 32]>::try_from(scalar).map_err(|_| bad)?);
        let share = Self {
            index: ShareIndex::new(index).map_err(|_| bad)?,
            scalar: ScalarBytes(*scalar).decode().map_err(|_| bad)?,
        };
        if share.scalar == Scalar::ZERO {
            return Err(bad);
        }
        Ok(share)
    }
}

/// A share that lies on the polynomial of the commitments that it was held against; those may be of an epoch that is over.
/// Wiped when dropped, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct HeldShare {
    share: Share,
    /// Of the commitments.
    #[zeroize(skip)]
    commitments: Digest,
}

impl HeldShare {
    /// For a share that is known to fit the commitments of this digest.
    pub(super) fn new(share: Share, commitments: Digest) -> Self {
        Self { share, commitments }
    }

    /// The share.
    #[must_use]
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// Digest of the commitments that it fits.
    pub(super) fn commitments(&self) -> &Digest {
        &self.commitments
    }

    /// Whether it was held against these commitments.
    pub(super) fn fits(&self, commitments: &Commitments) -> bool {
        self.commitments == commitments.digest()
    }
}

impl core::fmt::Debug for HeldShare {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HeldShare({:?}, of {})", self.share, self.commitments)
    }
}

impl core::fmt::Debug for Share {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Share({}, <redacted>)", self.index)
    }
}
