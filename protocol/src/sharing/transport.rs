//! Shares on their way to a person (HPKE) and to the disk (AES-256-GCM): opening.md sections 1 and 6.
//!
//! What a share is for is bound into each seal, so one made for another patient,
//! tier, epoch, index or purpose does not open.

use super::{Commitments, HeldShare, Rho, Share, SharingError};
use crate::crypto::{Digest, HashWriter, OpeningKey, Sealed, SealingKey, Secret32, aead};
use crate::ids::PatientId;
use crate::units::{Epoch, ShareIndex, Tier};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

const DEAL: &str = "kithkin/share-deal/1";
const STORE: &str = "kithkin/share-store/2";
const RELEASE: &str = "kithkin/share-release/1";

/// What a share is a share of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareContext {
    /// Whose key.
    pub patient: PatientId,
    /// Which of the patient's keys.
    pub tier: Tier,
    /// Which generation of shares.
    pub epoch: Epoch,
}

impl ShareContext {
    /// Starts a digest with `domain` and every field.
    pub(super) fn writer(&self, domain: &str) -> HashWriter {
        let mut writer = HashWriter::new(domain);
        writer
            .field(self.patient)
            .field(self.tier.as_str())
            .number(u64::from(self.epoch.0));
        writer
    }

    fn bind(&self, domain: &str, index: ShareIndex, rho: Option<&Rho>) -> Digest {
        let mut writer = self.writer(domain);
        writer.number(u64::from(index.get()));
        if let Some(rho) = rho {
            writer.field(rho);
        }
        writer.finish()
    }

    fn stored(&self, index: ShareIndex, commitments: &Digest) -> Digest {
        let mut writer = self.writer(STORE);
        writer.number(u64::from(index.get())).field(commitments);
        writer.finish()
    }
}

/// Seals a freshly dealt share to the kin's key.
///
/// # Errors
/// [`SharingError::Recipient`] when that key is unusable.
pub fn seal_share(
    share: &Share,
    context: &ShareContext,
    recipient: &SealingKey,
    rng: &mut impl CryptoRng,
) -> Result<Sealed, SharingError> {
    seal(
        share,
        &context.bind(DEAL, share.index(), None),
        recipient,
        rng,
    )
}

/// Opens a dealt share and checks it against the commitments on chain.
///
/// # Errors
/// [`SharingError::Unsealable`] when it was not sealed to this key as share `index` of `context`. All others mean
/// that the patient's device dealt wrongly: [`SharingError::ShareEncoding`], [`SharingError::OtherIndex`],
/// [`SharingError::WrongShare`].
pub fn open_share(
    sealed: &Sealed,
    key: &OpeningKey,
    index: ShareIndex,
    context: &ShareContext,
    commitments: &Commitments,
) -> Result<Share, SharingError> {
    unseal(
        sealed,
        key,
        index,
        &context.bind(DEAL, index, None),
        commitments,
    )
}

/// Seals the share itself to who rebuilds the key (section 6), for the one case that `rho` names.
///
/// # Errors
/// [`SharingError::Recipient`] when the recipient's key is unusable.
pub fn release_share(
    share: &Share,
    context: &ShareContext,
    rho: &Rho,
    recipient: &SealingKey,
    rng: &mut impl CryptoRng,
) -> Result<Sealed, SharingError> {
    let info = context.bind(RELEASE, share.index(), Some(rho));
    seal(share, &info, recipient, rng)
}

/// Opens a share released for rebuilding the key, and checks it against the commitments.
///
/// # Errors
/// As [`open_share`]; here it is the kin `index` that is at fault.
pub fn open_released_share(
    sealed: &Sealed,
    key: &OpeningKey,
    index: ShareIndex,
    context: &ShareContext,
    rho: &Rho,
    commitments: &Commitments,
) -> Result<Share, SharingError> {
    let info = context.bind(RELEASE, index, Some(rho));
    unseal(sealed, key, index, &info, commitments)
}

/// Seals a share for the kin's disk under a `key` of its own. Destroying that key erases the share. The commitments that it fits
/// are bound into the seal, so what opens again needs no check against them.
///
/// # Errors
/// [`SharingError::ShareEncoding`] if AES-GCM refuses 33 bytes; does not happen.
pub fn store_share(
    held: &HeldShare,
    key: &Secret32,
    context: &ShareContext,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SharingError> {
    let share = held.share();
    let mut nonce = [0; aead::NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let aad = context.stored(share.index(), held.commitments());
    let ciphertext = aead::seal(key, nonce, aad.as_ref(), share.to_bytes().as_ref())
        .map_err(|_| SharingError::ShareEncoding)?;
    Ok([nonce.as_slice(), &ciphertext].concat())
}

/// Reads what [`store_share`] wrote for the same `index`, `context` and `commitments`.
///
/// # Errors
/// [`SharingError::Unsealable`], [`SharingError::ShareEncoding`] or [`SharingError::OtherIndex`].
pub fn load_share(
    stored: &[u8],
    key: &Secret32,
    index: ShareIndex,
    context: &ShareContext,
    commitments: &Commitments,
) -> Result<HeldShare, SharingError> {
    let unsealable = SharingError::Unsealable { index };
    let (nonce, ciphertext) = stored.split_first_chunk().ok_or(unsealable)?;
    let commitments = commitments.digest();
    let aad = context.stored(index, &commitments);
    let bytes = aead::open(key, *nonce, aad.as_ref(), ciphertext).map_err(|_| unsealable)?;
    let share = read(&Zeroizing::new(bytes), index)?;
    Ok(HeldShare::new(share, commitments))
}

fn seal(
    share: &Share,
    info: &Digest,
    recipient: &SealingKey,
    rng: &mut impl CryptoRng,
) -> Result<Sealed, SharingError> {
    recipient
        .seal(info.as_ref(), share.to_bytes().as_ref(), rng)
        .map_err(|_| SharingError::Recipient)
}

fn unseal(
    sealed: &Sealed,
    key: &OpeningKey,
    index: ShareIndex,
    info: &Digest,
    commitments: &Commitments,
) -> Result<Share, SharingError> {
    let bytes = key
        .open(info.as_ref(), sealed)
        .map_err(|_| SharingError::Unsealable { index })?;
    let share = read(&Zeroizing::new(bytes), index)?;
    share.verify(commitments)?;
    Ok(share)
}

fn read(bytes: &[u8], expected: ShareIndex) -> Result<Share, SharingError> {
    let share = Share::from_bytes(bytes)?;
    match share.index() {
        found if found == expected => Ok(share),
        found => Err(SharingError::OtherIndex { expected, found }),
    }
}
