//! Re-encapsulation: the patient's device seals the records' keys to the hospital, and the hospital uses them.
//!
//! Each key is sealed by HPKE under an `info` that binds ledger, grant, record, tier and capsule, so it is worth nothing
//! under another grant or for another record. The bundle's digest stands on chain beside the terms.

use super::{ConsentError, Grant, GrantTerms};
use crate::crypto::{Digest, HashWriter, OpeningKey, Sealed, Secret32};
use crate::ids::{ChainId, GrantId, HospitalId, RecordId};
use crate::record::{CheckedCapsule, RecordError, open_with};
use crate::sharing::{TierKey, capsule_key_direct};
use crate::units::{Height, Millis, Tier};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most keys in one bundle: some 3 MiB as a frame.
pub const BUNDLE_KEYS_MAX: usize = 16_384;

/// Which record a sealed key is for. The capsule's digest tells apart what two authors wrote under one identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct KeyPlace {
    /// The tier.
    pub tier: Tier,
    /// The record.
    pub record: RecordId,
    /// Digest of its capsule, as in the manifest.
    pub capsule: Digest,
}

/// The sealed keys of one grant, as they go from the patient's device to the hospital. Not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bundle(BTreeMap<KeyPlace, Sealed>);

/// Why a key cannot be sealed anew, or a record not be opened with one that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RekeyError {
    /// The grant does not cover the record, or has ended.
    #[error(transparent)]
    Consent(#[from] ConsentError),
    /// The capsule belongs to another chain or patient than the grant.
    #[error("record {record} belongs to another chain or patient")]
    OtherOwner {
        /// The record.
        record: RecordId,
    },
    /// The capsule was made for another tier key than the one given.
    #[error("record {record} was sealed to another tier key")]
    OtherTierKey {
        /// The record.
        record: RecordId,
    },
    /// The capsule wraps nothing: its author is at fault.
    #[error("the capsule of record {record} does not open; {author} made it so")]
    Capsule {
        /// The record.
        record: RecordId,
        /// Who sealed it.
        author: HospitalId,
    },
    /// The key in the terms cannot be sealed to: the hospital is at fault.
    #[error("the grant's sealing key is unusable")]
    Recipient,
    /// More than [`BUNDLE_KEYS_MAX`].
    #[error("a bundle has at most {BUNDLE_KEYS_MAX} keys")]
    Full,
    /// Not the bundle that the grant names.
    #[error("the bundle is not the one that grant {grant} names")]
    Digest {
        /// The grant.
        grant: GrantId,
    },
    /// The keys belong to another grant.
    #[error("these are not the keys of grant {grant}")]
    OtherGrant {
        /// The grant that was shown.
        grant: GrantId,
    },
    /// The opening key does not belong to the grant's sealing key.
    #[error("the opening key does not belong to grant {grant}")]
    OtherKey {
        /// The grant.
        grant: GrantId,
    },
    /// The bundle has no key for the record.
    #[error("the bundle has no key for record {record}")]
    Missing {
        /// The record.
        record: RecordId,
    },
    /// What stands in the record's place was not sealed to this grant and record: the patient's device is at fault.
    #[error("the key of record {record} was not sealed for this grant and record")]
    Unseal {
        /// The record.
        record: RecordId,
    },
    /// The record does not open, whether by the fault of its author or of the patient's device.
    #[error("record {record} does not open with the key of the grant")]
    Record {
        /// The record.
        record: RecordId,
        /// Why.
        #[source]
        source: RecordError,
    },
}

/// The patient's device at work: seals key after key under one grant.
#[derive(Debug)]
pub struct Rekeying<'a> {
    chain: ChainId,
    grant: GrantId,
    terms: &'a GrantTerms,
    bundle: Bundle,
}

impl<'a> Rekeying<'a> {
    /// Starts a bundle for these terms.
    #[must_use]
    pub fn new(chain: ChainId, terms: &'a GrantTerms) -> Self {
        Self {
            chain,
            grant: terms.id(chain),
            terms,
            bundle: Bundle::default(),
        }
    }

    /// Adds the key of one record, of a batch that came on chain at `height`; `key` is the patient's of the record's tier.
    /// A capsule that is in already is passed over. An error concerns this record alone; the others can go on.
    ///
    /// # Errors
    /// [`RekeyError::Consent`], [`RekeyError::OtherOwner`], [`RekeyError::OtherTierKey`], [`RekeyError::Capsule`],
    /// [`RekeyError::Recipient`] and [`RekeyError::Full`].
    pub fn add(
        &mut self,
        key: &TierKey,
        height: Height,
        capsule: &CheckedCapsule,
        rng: &mut impl CryptoRng,
    ) -> Result<(), RekeyError> {
        let context = capsule.context();
        let (record, author) = (context.record, context.author);
        if context.chain != self.chain || context.patient != self.terms.patient {
            return Err(RekeyError::OtherOwner { record });
        }
        self.terms.covers(context.tier, height, record)?;
        let place = KeyPlace::of(capsule);
        if self.bundle.0.contains_key(&place) {
            return Ok(());
        }
        if self.bundle.0.len() >= BUNDLE_KEYS_MAX {
            return Err(RekeyError::Full);
        }
        let dek = capsule_key_direct(key, capsule)
            .map_err(|_| RekeyError::OtherTierKey { record })?
            .unwrap(capsule.capsule())
            .map_err(|_| RekeyError::Capsule { record, author })?;
        let info = place.info(self.chain, self.grant);
        let sealed = self
            .terms
            .key
            .seal(info.as_ref(), dek.expose(), rng)
            .map_err(|_| RekeyError::Recipient)?;
        self.bundle.0.insert(place, sealed);
        Ok(())
    }

    /// The bundle, and what the deed names it by.
    #[must_use]
    pub fn finish(self) -> (Bundle, Digest) {
        let digest = self.bundle.digest(self.grant);
        (self.bundle, digest)
    }
}

impl KeyPlace {
    /// The place of the record that `capsule` is for.
    #[must_use]
    pub fn of(capsule: &CheckedCapsule) -> Self {
        Self {
            tier: capsule.context().tier,
            record: capsule.context().record,
            capsule: capsule.entry().capsule,
        }
    }

    fn info(&self, chain: ChainId, grant: GrantId) -> Digest {
        let mut writer = HashWriter::new("kithkin/grant-key/1");
        writer
            .field(chain)
            .field(grant)
            .field(self.record)
            .field(self.tier.as_str())
            .field(self.capsule);
        writer.finish()
    }
}

impl Bundle {
    /// What the ledger names the bundle by; covers the grant and every field of every key.
    #[must_use]
    pub fn digest(&self, grant: GrantId) -> Digest {
        let mut writer = HashWriter::new("kithkin/grant-bundle/1");
        writer.field(grant).number(self.0.len() as u64);
        for (place, sealed) in &self.0 {
            writer
                .field(place.tier.as_str())
                .field(place.record)
                .field(place.capsule)
                .field(&sealed.enc)
                .field(&sealed.ciphertext);
        }
        writer.finish()
    }

    /// The records that it has keys for, in order.
    pub fn places(&self) -> impl ExactSizeIterator<Item = &KeyPlace> {
        self.0.keys()
    }

    /// Takes the bundle over as the hospital, once the grant stands on chain.
    ///
    /// # Errors
    /// [`RekeyError::OtherKey`], [`RekeyError::Full`], [`RekeyError::Digest`].
    pub fn accept(
        self,
        chain: ChainId,
        grant: &Grant,
        key: OpeningKey,
    ) -> Result<GrantKeys, RekeyError> {
        let id = grant.id;
        if key.sealing_key() != grant.terms.key {
            return Err(RekeyError::OtherKey { grant: id });
        }
        if self.0.len() > BUNDLE_KEYS_MAX {
            return Err(RekeyError::Full);
        }
        if self.digest(id) != grant.encapsulation {
            return Err(RekeyError::Digest { grant: id });
        }
        Ok(GrantKeys {
            chain,
            grant: id,
            bundle: self,
            key,
        })
    }
}

/// What a hospital holds under one grant: the keys, still sealed, and what opens them. To be dropped, and destroyed where
/// it is stored, when the grant has ended.
#[derive(Debug)]
pub struct GrantKeys {
    chain: ChainId,
    grant: GrantId,
    bundle: Bundle,
    key: OpeningKey,
}

impl GrantKeys {
    /// Opens one record of a batch that came on chain at `height`, when `grant`, as it stands now, allows that at local time
    /// `now`. The record's key exists while this runs, and no longer.
    ///
    /// # Errors
    /// [`RekeyError::OtherGrant`], [`RekeyError::Consent`], [`RekeyError::OtherOwner`], [`RekeyError::Missing`],
    /// [`RekeyError::Unseal`], [`RekeyError::Record`].
    pub fn open(
        &self,
        grant: &Grant,
        now: Millis,
        height: Height,
        capsule: &CheckedCapsule,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, RekeyError> {
        let context = capsule.context();
        let record = context.record;
        if grant.id != self.grant {
            return Err(RekeyError::OtherGrant { grant: grant.id });
        }
        if context.chain != self.chain || context.patient != grant.terms.patient {
            return Err(RekeyError::OtherOwner { record });
        }
        grant.allows(now, grant.terms.hospital, context.tier, height, record)?;
        let dek = self.unseal(&KeyPlace::of(capsule))?;
        open_with(&dek, capsule, ciphertext).map_err(|source| RekeyError::Record { record, source })
    }

    fn unseal(&self, place: &KeyPlace) -> Result<Secret32, RekeyError> {
        let record = place.record;
        let sealed = self.bundle.0.get(place);
        let sealed = sealed.ok_or(RekeyError::Missing { record })?;
        let info = place.info(self.chain, self.grant);
        let opened = self.key.open(info.as_ref(), sealed).map(Zeroizing::new);
        let opened = opened.map_err(|_| RekeyError::Unseal { record })?;
        let dek = Zeroizing::new(
            <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| RekeyError::Unseal { record })?,
        );
        Ok(Secret32::new(*dek))
    }
}
