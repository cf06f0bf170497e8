//! The envelope: compress, encrypt, commit; and the way back (opening.md section 2).
//!
//! Ciphertext: nonce (12 bytes), then AES-256-GCM of the inner format: length of
//! the plaintext (four bytes, big endian), then a zstd frame. The announced length
//! is authenticated and has a maximum, so a small ciphertext cannot unpack to
//! more than [`RECORD_BYTES_MAX`] bytes.

use super::{Capsule, CapsuleError, CapsuleKey, CheckedCapsule, RecordEntry, SealContext};
use crate::crypto::{Digest, Secret32, aead, hash};
use crate::ids::RecordId;
use crate::sharing::TierPublicKey;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Largest plaintext of one record: 15 MiB. A shard of it then fits into a wire frame even with three kin.
pub const RECORD_BYTES_MAX: usize = 15 * 1024 * 1024;

/// Largest ciphertext of one record: incompressible plaintext grows by less than 1/128 and 1 KiB.
pub const CIPHERTEXT_BYTES_MAX: usize = RECORD_BYTES_MAX + RECORD_BYTES_MAX / 128 + 1024;

const LENGTH_BYTES: usize = 4;
/// zstd's own default: our records are small, and a higher level costs more than it saves.
const ZSTD_LEVEL: i32 = 3;

/// A sealed record, as the author hands it to kin and object store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedRecord {
    /// Which record.
    pub record: RecordId,
    /// Nonce and AES-256-GCM ciphertext.
    pub ciphertext: Vec<u8>,
    /// [`ciphertext_digest`] of it.
    pub digest: Digest,
    /// The key, encapsulated.
    pub capsule: Capsule,
    /// Binds the plaintext; AES-GCM alone would let one ciphertext open to two plaintexts under two keys.
    pub commitment: Digest,
}

/// Why a record cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// More than [`RECORD_BYTES_MAX`].
    #[error("the record has {bytes} bytes; at most {RECORD_BYTES_MAX} are possible")]
    TooLong {
        /// Length of the plaintext, as given or as announced inside.
        bytes: usize,
    },
    /// zstd or AES-GCM refused the plaintext; does not happen within the limits.
    #[error("the record cannot be compressed or encrypted")]
    Seal,
    /// The capsule is unusable, or the key does not open it.
    #[error(transparent)]
    Capsule(#[from] CapsuleError),
    /// Not the ciphertext that the manifest names.
    #[error("the ciphertext is not the one that the manifest names")]
    Ciphertext,
    /// The ciphertext does not open under the key in its capsule: its author is at fault.
    #[error("the ciphertext does not open under the key in its capsule")]
    Decrypt,
    /// The content is no zstd frame of the announced length: its author is at fault.
    #[error("the content does not unpack to the announced length")]
    Unpack,
    /// The plaintext is not the committed one: its author is at fault.
    #[error("the plaintext is not the one that the author committed to")]
    Commitment,
}

impl SealedRecord {
    /// The record's line in the manifest.
    #[must_use]
    pub fn entry(&self, shard_root: Digest) -> RecordEntry {
        RecordEntry {
            record: self.record,
            commitment: self.commitment,
            ciphertext: self.digest,
            capsule: self.capsule.digest(),
            shard_root,
            bytes: u32::try_from(self.ciphertext.len()).unwrap_or(u32::MAX),
        }
    }
}

/// What capsule and manifest name a ciphertext by.
#[must_use]
pub fn ciphertext_digest(ciphertext: &[u8]) -> Digest {
    hash("kithkin/ciphertext/1", &[ciphertext])
}

/// Seals `plaintext` to `tier_key` under a fresh key.
///
/// # Errors
/// [`RecordError::TooLong`]; [`RecordError::Seal`] does not happen within the limits.
pub fn seal(
    plaintext: &[u8],
    context: &SealContext,
    tier_key: &TierPublicKey,
    rng: &mut impl CryptoRng,
) -> Result<SealedRecord, RecordError> {
    let dek = Secret32::random(rng);
    let ciphertext = encrypt(&pack(plaintext)?, &dek, context, rng)?;
    let digest = ciphertext_digest(&ciphertext);
    let capsule = Capsule::encapsulate(&dek, context.label(&digest), tier_key, rng)?;
    Ok(SealedRecord {
        record: context.record,
        ciphertext,
        digest,
        capsule,
        commitment: commitment(&dek, plaintext),
    })
}

/// Opens a record with the key of its capsule.
///
/// # Errors
/// [`RecordError::Ciphertext`] and [`CapsuleError::Unwrap`] when ciphertext or key is not that of the capsule; every
/// other error means that the author sealed wrongly.
pub fn open(
    key: &CapsuleKey,
    capsule: &CheckedCapsule,
    ciphertext: &[u8],
) -> Result<Vec<u8>, RecordError> {
    check_ciphertext(capsule, ciphertext)?;
    decrypt(&key.unwrap(capsule.capsule())?, capsule, ciphertext)
}

/// Opens a record with its own key, however the caller came by it.
///
/// # Errors
/// [`RecordError::Ciphertext`] when the ciphertext is not that of the capsule, [`RecordError::Decrypt`] also when the key
/// is not.
pub(crate) fn open_with(
    dek: &Secret32,
    capsule: &CheckedCapsule,
    ciphertext: &[u8],
) -> Result<Vec<u8>, RecordError> {
    check_ciphertext(capsule, ciphertext)?;
    decrypt(dek, capsule, ciphertext)
}

fn check_ciphertext(capsule: &CheckedCapsule, ciphertext: &[u8]) -> Result<(), RecordError> {
    let fits = ciphertext_digest(ciphertext) == capsule.entry().ciphertext;
    fits.then_some(()).ok_or(RecordError::Ciphertext)
}

fn decrypt(
    dek: &Secret32,
    capsule: &CheckedCapsule,
    ciphertext: &[u8],
) -> Result<Vec<u8>, RecordError> {
    let (nonce, sealed) = ciphertext.split_first_chunk().ok_or(RecordError::Decrypt)?;
    let aad = capsule.context().associated_data();
    let packed = aead::open(dek, *nonce, aad.as_ref(), sealed).map_err(|_| RecordError::Decrypt)?;
    let plaintext = unpack(&Zeroizing::new(packed))?;
    if commitment(dek, &plaintext) != capsule.entry().commitment {
        return Err(RecordError::Commitment);
    }
    Ok(plaintext)
}

pub(super) fn encrypt(
    packed: &[u8],
    dek: &Secret32,
    context: &SealContext,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, RecordError> {
    let mut nonce = [0; aead::NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let aad = context.associated_data();
    let sealed = aead::seal(dek, nonce, aad.as_ref(), packed).map_err(|_| RecordError::Seal)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn pack(plaintext: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecordError> {
    let bytes = plaintext.len();
    if bytes > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong { bytes });
    }
    let length = u32::try_from(bytes).map_err(|_| RecordError::TooLong { bytes })?;
    let frame = zstd::bulk::compress(plaintext, ZSTD_LEVEL).map_err(|_| RecordError::Seal)?;
    let frame = Zeroizing::new(frame);
    Ok(Zeroizing::new(
        [length.to_be_bytes().as_slice(), &frame].concat(),
    ))
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, RecordError> {
    let (length, frame) = packed
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or(RecordError::Unpack)?;
    let bytes = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| RecordError::Unpack)?;
    if bytes > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong { bytes });
    }
    // `decompress` allocates no more than the second argument and fails when the frame holds more.
    let plaintext = zstd::bulk::decompress(frame, bytes).map_err(|_| RecordError::Unpack)?;
    if plaintext.len() == bytes {
        Ok(plaintext)
    } else {
        Err(RecordError::Unpack)
    }
}

/// `SHA-256(salt, plaintext)` with a salt that only the key gives, so that the commitment tells nothing.
pub(super) fn commitment(dek: &Secret32, plaintext: &[u8]) -> Digest {
    let salt = aead::derive_key(dek.expose(), &[b"kithkin/commitment-salt/1"]);
    hash("kithkin/commitment/1", &[salt.expose(), plaintext])
}
