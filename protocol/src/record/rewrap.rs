//! The keys of records encapsulated anew, to another tier key (opening.md section 6).
//!
//! A new device rebuilds the tier keys, deals others, and makes a capsule under the
//! new key for every record that was sealed before. Ciphertexts, shards and
//! manifests stay as they are. On chain stands one Merkle root over all batches of
//! the patient; every kin keeps the new capsules beside the old upload.
//!
//! Whether a new capsule holds the record's true key only its author knows: the
//! patient's own device, which would lock nobody out but the patient.

use super::{Capsule, CapsuleError, CheckedCapsule, Label, RecordEntry, SealContext};
use crate::crypto::merkle::{MerkleError, MerklePath, MerkleTree};
use crate::crypto::{Digest, HashWriter, Secret32};
use crate::sharing::{TierKey, TierPublicKey, capsule_key_direct};
use crate::units::{Epoch, Tier};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// Most batches of one patient whose capsules are made anew at once: as many as kin look through, in all tiers.
pub const REWRAP_BATCHES_MAX: usize = crate::sharing::OPENING_CAPSULES_MAX * Tier::ALL.len();

/// What stands on chain of capsules that were made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrap {
    /// Merkle root over the batches, by tier, then in the order in which they came on chain.
    pub root: Digest,
    /// How many batches.
    pub batches: u32,
}

/// Since when other capsules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrapped {
    /// Records of earlier epochs open with the capsules under the root, those of this one and later ones with their own.
    pub since: Epoch,
    /// The capsules.
    pub rewrap: Rewrap,
}

impl Rewrapped {
    /// Whether records of `epoch` open with capsules that were made anew.
    #[must_use]
    pub fn covers(&self, epoch: Epoch) -> bool {
        epoch < self.since
    }
}

/// The new capsules of one batch, and the path from them to the root on chain. Not checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrappedBatch {
    /// One capsule per record, in the manifest's order.
    pub capsules: Vec<Capsule>,
    /// Leads from [`rewrap_leaf`] to the root.
    pub path: MerklePath,
}

/// New capsules that do not belong where they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RewrapError {
    /// The path does not lead to the root on chain.
    #[error(transparent)]
    Path(#[from] MerkleError),
    /// Not one capsule per record.
    #[error("{capsules} new capsules for {records} records")]
    Count {
        /// Capsules given.
        capsules: usize,
        /// Records in the manifest.
        records: usize,
    },
    /// A capsule is bad: the device that made it is at fault.
    #[error("the new capsule of a record is bad: {0}")]
    Capsule(#[from] CapsuleError),
}

/// Capsules made anew for one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// One per record, in the order of the old ones.
    pub capsules: Vec<Capsule>,
    /// How many old ones held no key: these records could never be opened, and cannot now.
    pub empty: usize,
}

/// Unwraps each record's key with the old tier key and encapsulates it to the new one.
///
/// # Errors
/// [`CapsuleError::Proof`] for a capsule of another key than `old`; nothing else within the limits.
pub fn rewrap(
    old: &TierKey,
    new: &TierPublicKey,
    capsules: &[CheckedCapsule],
    rng: &mut impl CryptoRng,
) -> Result<Wrapped, CapsuleError> {
    let mut wrapped = Wrapped {
        capsules: Vec::with_capacity(capsules.len()),
        empty: 0,
    };
    for capsule in capsules {
        let key = capsule_key_direct(old, capsule).map_err(|_| CapsuleError::Proof)?;
        let dek = key.unwrap(capsule.capsule()).unwrap_or_else(|_| {
            // Whoever wrote it sealed nothing. The others must not wait for it.
            wrapped.empty = wrapped.empty.saturating_add(1);
            Secret32::random(rng)
        });
        let label: Label = capsule.capsule().label;
        let anew = Capsule::encapsulate(&dek, label, new, rng)?;
        wrapped.capsules.push(anew);
    }
    Ok(wrapped)
}

/// What the Merkle root covers of one batch.
#[must_use]
pub fn rewrap_leaf(manifest_root: &Digest, capsules: &[Capsule]) -> Digest {
    let mut writer = HashWriter::new("kithkin/rewrap-leaf/1");
    writer.field(manifest_root).number(capsules.len() as u64);
    for capsule in capsules {
        writer.field(capsule.digest());
    }
    writer.finish()
}

/// The tree over the leaves of all batches, in order.
pub struct RewrapTree(MerkleTree, u32);

impl RewrapTree {
    /// Builds it. None for more than [`REWRAP_BATCHES_MAX`] batches.
    #[must_use]
    pub fn new(leaves: &[Digest]) -> Option<Self> {
        let batches = u32::try_from(leaves.len()).ok()?;
        let fits = leaves.len() <= REWRAP_BATCHES_MAX;
        fits.then(|| Self(MerkleTree::new(leaves), batches))
    }

    /// What goes on chain.
    #[must_use]
    pub fn rewrap(&self) -> Rewrap {
        Rewrap {
            root: self.0.root(),
            batches: self.1,
        }
    }

    /// The path of the batch at a place; none past the end.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<MerklePath> {
        self.0.path(index)
    }
}

impl RewrappedBatch {
    /// Checks that these are the capsules that the chain names for the batch with this manifest.
    ///
    /// # Errors
    /// [`RewrapError::Path`].
    pub fn verify(&self, rewrap: &Rewrap, manifest_root: &Digest) -> Result<(), RewrapError> {
        let leaf = rewrap_leaf(manifest_root, &self.capsules);
        Ok(self.path.verify(leaf.as_ref(), &rewrap.root)?)
    }

    /// Checks each capsule for its record, as [`Capsule::check`] does for the one that the manifest names.
    ///
    /// # Errors
    /// [`RewrapError::Count`], [`RewrapError::Capsule`].
    pub fn check(
        &self,
        entries: &[RecordEntry],
        context: impl Fn(&RecordEntry) -> SealContext,
        tier_key: &TierPublicKey,
    ) -> Result<Vec<CheckedCapsule>, RewrapError> {
        let (capsules, records) = (self.capsules.len(), entries.len());
        if capsules != records {
            return Err(RewrapError::Count { capsules, records });
        }
        let pairs = entries.iter().zip(&self.capsules);
        pairs
            .map(|(entry, capsule)| {
                // The manifest names the capsule that was; the root on chain, which was checked, names this one.
                let named = RecordEntry {
                    capsule: capsule.digest(),
                    ..entry.clone()
                };
                Ok(capsule.check(&context(entry), &named, tier_key)?)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::group::random_scalar;
    use crate::ids::{ChainId, HospitalId, PatientId, RecordId};
    use crate::record::{WrappedKey, open, seal};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    fn context(record: u8) -> SealContext {
        SealContext {
            chain: ChainId([1; 32]),
            patient: PatientId([2; 32]),
            record: RecordId([record; 32]),
            tier: Tier::Chart,
            author: HospitalId([3; 32]),
        }
    }

    /// Three records, sealed to `key`: entries, checked capsules, ciphertexts.
    fn sealed(
        key: &TierKey,
        rng: &mut ChaCha20Rng,
    ) -> (Vec<RecordEntry>, Vec<CheckedCapsule>, Vec<Vec<u8>>) {
        let (mut entries, mut capsules, mut ciphertexts) = (vec![], vec![], vec![]);
        for n in 0..3 {
            let sealed = seal(&[n; 50], &context(n), &key.public(), rng).expect("sealed");
            let entry = sealed.entry(Digest([n; 32]));
            let checked = sealed.capsule.check(&context(n), &entry, &key.public());
            capsules.push(checked.expect("good"));
            entries.push(entry);
            ciphertexts.push(sealed.ciphertext);
        }
        (entries, capsules, ciphertexts)
    }

    fn of(entry: &RecordEntry) -> SealContext {
        SealContext {
            record: entry.record,
            ..context(0)
        }
    }

    #[test]
    fn the_new_key_opens_what_was_sealed_to_the_old_one() {
        let rng = &mut ChaCha20Rng::from_seed([7; 32]);
        let (old, new) = (TierKey::random(rng), TierKey::random(rng));
        let (entries, capsules, ciphertexts) = sealed(&old, rng);
        let wrapped = rewrap(&old, &new.public(), &capsules, rng).expect("made anew");
        assert_eq!(wrapped.empty, 0);
        let root = Digest([9; 32]);
        let other = Digest([8; 32]);
        let leaves = [
            rewrap_leaf(&other, &[]),
            rewrap_leaf(&root, &wrapped.capsules),
        ];
        let tree = RewrapTree::new(&leaves).expect("few");
        let batch = RewrappedBatch {
            capsules: wrapped.capsules,
            path: tree.path(1).expect("there"),
        };
        assert_eq!(tree.rewrap().batches, 2);
        batch.verify(&tree.rewrap(), &root).expect("under the root");
        assert!(batch.verify(&tree.rewrap(), &other).is_err());
        let checked = batch.check(&entries, of, &new.public()).expect("good");
        for (n, (capsule, ciphertext)) in checked.iter().zip(&ciphertexts).enumerate() {
            let key = capsule_key_direct(&new, capsule).expect("its key");
            let plain = open(&key, capsule, ciphertext).expect("opens");
            assert_eq!(plain, vec![u8::try_from(n).expect("few"); 50]);
            assert!(capsule_key_direct(&old, capsule).is_err());
        }
        assert!(matches!(
            batch.check(&entries, of, &old.public()),
            Err(RewrapError::Capsule(CapsuleError::Proof))
        ));
    }

    #[test]
    fn capsules_in_anothers_place_left_out_or_changed_are_refused() {
        let rng = &mut ChaCha20Rng::from_seed([8; 32]);
        let (old, new) = (TierKey::random(rng), TierKey::random(rng));
        let (entries, capsules, _) = sealed(&old, rng);
        let made = rewrap(&old, &new.public(), &capsules, rng)
            .expect("made")
            .capsules;
        let root = Digest([9; 32]);
        let tree = RewrapTree::new(&[rewrap_leaf(&root, &made)]).expect("one");
        let path = tree.path(0).expect("there");
        let shown = |capsules: Vec<Capsule>| RewrappedBatch {
            capsules,
            path: path.clone(),
        };
        let (mut swapped, mut short) = (made.clone(), made.clone());
        swapped.swap(0, 1);
        short.pop();
        for wrong in [swapped.clone(), short.clone(), Vec::new()] {
            assert!(shown(wrong).verify(&tree.rewrap(), &root).is_err());
        }
        let key = new.public();
        assert_eq!(
            shown(swapped).check(&entries, of, &key).err(),
            Some(RewrapError::Capsule(CapsuleError::Label))
        );
        assert!(matches!(
            shown(short).check(&entries, of, &key),
            Err(RewrapError::Count { .. })
        ));
        assert!(rewrap(&new, &key, &capsules, rng).is_err());
    }

    #[test]
    fn a_capsule_that_holds_nothing_does_not_stand_in_the_way() {
        let rng = &mut ChaCha20Rng::from_seed([9; 32]);
        let (old, new) = (TierKey::random(rng), TierKey::random(rng));
        let (entries, mut capsules, _) = sealed(&old, rng);
        // Whoever knows `r` can put anything into W and prove it all the same.
        let label = capsules[1].capsule().label;
        let nothing = WrappedKey([0; WrappedKey::LEN]);
        let hollow = Capsule::proved(&random_scalar(rng), label, nothing, &old.public(), rng);
        let entry = RecordEntry {
            capsule: hollow.digest(),
            ..entries[1].clone()
        };
        capsules[1] = hollow
            .check(&context(1), &entry, &old.public())
            .expect("its proof holds");
        let wrapped = rewrap(&old, &new.public(), &capsules, rng).expect("made");
        assert_eq!((wrapped.capsules.len(), wrapped.empty), (3, 1));
    }
}
