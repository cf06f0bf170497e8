//! A key for each upload, so that one upload can be made unreadable for good (crypto-shredding).
//!
//! Manifest and capsules of an upload are sealed under a key of its own. These keys stand in the store, wrapped under one key
//! for each patient, which is in the vault. To shred an upload, the keys of all others are wrapped anew under a fresh key of
//! the patient, and the one before is destroyed. Whatever the store still has of the shredded one in old files or in its log
//! opens for nobody. So keeping an upload costs the vault nothing, and an erasure, which is rare, costs some hundred
//! bytes for each upload of that patient.
//!
//! Without its capsule a ciphertext cannot be opened by anybody, also not with the patient's own keys.

use crate::ports::random::SystemRng;
use crate::ports::store::{Batch, Space, StoreError};
use crate::ports::vault::{KeySpace, VaultError};
use kithkin_protocol::crypto::aead::{self, NONCE_BYTES};
use kithkin_protocol::crypto::{Digest, Secret32};
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::wire;
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What names of patients' keys in the vault start with.
const MASTER: &str = "records-";
/// Bytes of wrapped keys that are written at once.
const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// Why an upload cannot be kept, read or shredded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyBookError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What is kept cannot be read with the key that belongs to it.
    #[error("upload {root} or its key is damaged: {reason}")]
    Damaged {
        /// Manifest root.
        root: Digest,
        /// Why.
        reason: String,
    },
}

/// The keys of one actor's uploads. Cloning shares it.
#[derive(Clone)]
pub(crate) struct KeyBook {
    space: Space,
    keys: KeySpace,
    /// In front of every entry in the key space.
    letter: u8,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whoever keeps an upload reads; whoever shreds writes: an upload must not be wrapped under a key that is just going.
    turns: RwLock<()>,
    /// The newest generation of each patient's key.
    newest: Mutex<BTreeMap<PatientId, u32>>,
}

/// The key of an upload, wrapped.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    generation: u32,
    nonce: [u8; NONCE_BYTES],
    #[serde(with = "serde_bytes")]
    sealed: Vec<u8>,
}

/// What stands for an upload in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    patient: PatientId,
    #[serde(with = "serde_bytes")]
    sealed: Vec<u8>,
}

impl KeyBook {
    /// Opens the book whose entries in `space` start with `letter`, and destroys keys that a crash left without use.
    pub(crate) fn open(space: Space, keys: KeySpace, letter: u8) -> Result<Self, KeyBookError> {
        let book = Self {
            space,
            keys,
            letter,
            shared: Arc::default(),
        };
        book.sweep()?;
        Ok(book)
    }

    /// Seals `content` under a fresh key and writes it at `key`, with all that is in `batch`. Durable on return; for threads
    /// that may wait.
    pub(crate) fn keep(
        &self,
        patient: PatientId,
        root: Digest,
        (key, content): (Vec<u8>, &[u8]),
        mut batch: Batch,
    ) -> Result<(), KeyBookError> {
        let _turn = self
            .shared
            .turns
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let own = Secret32::random(&mut SystemRng);
        // The key is used for this and never again.
        let sealed = aead::seal(
            &own,
            [0; NONCE_BYTES],
            label(patient, root).as_ref(),
            content,
        );
        let sealed = sealed.map_err(|error| damaged(root, error))?;
        batch.put(key, wire::encode(&Kept { patient, sealed }));
        let generation = self.newest(patient);
        let master = self.keys.load_or_create(&name(patient, generation), || {
            Secret32::random(&mut SystemRng)
        })?;
        let wrapped = wrap(&master, generation, (patient, root), &own)?;
        batch.put(self.entry(patient, root), wire::encode(&wrapped));
        Ok(self.space.write_blocking(batch)?)
    }

    /// Whether something of an upload is kept at `key` with its key; it is not opened.
    pub(crate) fn has(
        &self,
        patient: PatientId,
        root: Digest,
        key: &[u8],
    ) -> Result<bool, KeyBookError> {
        let is_there = |key: &[u8]| Ok::<_, KeyBookError>(self.space.get(key)?.is_some());
        Ok(is_there(&self.entry(patient, root))? && is_there(key)?)
    }

    /// Reads what was kept at `key`. None when nothing is there, or when it was shredded.
    pub(crate) fn read(&self, root: Digest, key: &[u8]) -> Result<Option<Vec<u8>>, KeyBookError> {
        let Some(value) = self.space.get(key)? else {
            return Ok(None);
        };
        let kept: Kept = decode(root, &value)?;
        let patient = kept.patient;
        // A shredding may come in between; then the entry is read again, and is either there under the new key or gone.
        let _turn = self
            .shared
            .turns
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = self.space.get(&self.entry(patient, root))? else {
            return Ok(None);
        };
        let own = self.unwrap((patient, root), &entry)?;
        let label = label(patient, root);
        let content = aead::open(&own, [0; NONCE_BYTES], label.as_ref(), &kept.sealed);
        Ok(Some(content.map_err(|error| damaged(root, error))?))
    }

    /// Has a batch remove what was kept at `key`, and its key. For what nobody ordered to be erased: its key stays readable in old
    /// files of the store.
    pub(crate) fn forget(
        &self,
        root: Digest,
        key: Vec<u8>,
        batch: &mut Batch,
    ) -> Result<(), KeyBookError> {
        if let Some(value) = self.space.get(&key)? {
            let kept: Kept = decode(root, &value)?;
            batch.delete(self.entry(kept.patient, root));
        }
        batch.delete(key);
        Ok(())
    }

    /// Makes these uploads of a patient unreadable. On return the key that wrapped theirs is destroyed. Doing it again is
    /// fine, and finishes what a crash cut short.
    pub(crate) fn shred(&self, patient: PatientId, roots: &[Digest]) -> Result<(), KeyBookError> {
        let _turn = self
            .shared
            .turns
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let next = self.newest(patient).saturating_add(1);
        let fresh = || Secret32::random(&mut SystemRng);
        let master = self.keys.load_or_create(&name(patient, next), fresh)?;
        let mut batch = Batch::default();
        for (key, value) in self.space.scan(&self.entries(patient))? {
            let root = key
                .get(33..)
                .and_then(|root| <[u8; 32]>::try_from(root).ok());
            let Some(root) = root.map(Digest) else {
                continue;
            };
            if roots.contains(&root) {
                batch.delete(key);
            } else {
                let own = self.unwrap((patient, root), &value)?;
                let wrapped = wrap(&master, next, (patient, root), &own)?;
                batch.put(key, wire::encode(&wrapped));
            }
            if batch.len_bytes() >= WRITE_BYTES {
                self.space.write_blocking(std::mem::take(&mut batch))?;
            }
        }
        self.space.write_blocking(batch)?;
        self.newest_of().insert(patient, next);
        for (of, generation, name) in self.masters()? {
            if of == patient && generation < next {
                self.keys.destroy(&name)?;
            }
        }
        Ok(())
    }

    /// Destroys every key of every patient, and forgets the entries. For a kin that loses everything.
    pub(crate) fn burn(&self) -> Result<(), KeyBookError> {
        let _turn = self
            .shared
            .turns
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut batch = Batch::default();
        batch.delete_prefix([self.letter]);
        self.space.write_blocking(batch)?;
        for (_, _, name) in self.masters()? {
            self.keys.destroy(&name)?;
        }
        self.newest_of().clear();
        Ok(())
    }

    /// Keys that wrap nothing and are not the newest are left over from a shredding that was cut short.
    fn sweep(&self) -> Result<(), KeyBookError> {
        let mut used: BTreeSet<(PatientId, u32)> = BTreeSet::new();
        for (key, value) in self.space.scan(&[self.letter])? {
            let patient = key.get(1..33).and_then(|id| <[u8; 32]>::try_from(id).ok());
            let root = key
                .get(33..)
                .and_then(|root| <[u8; 32]>::try_from(root).ok());
            if let (Some(patient), Some(root)) = (patient, root) {
                let wrapped: Wrapped = decode(Digest(root), &value)?;
                used.insert((PatientId(patient), wrapped.generation));
            }
        }
        let masters = self.masters()?;
        for (patient, generation, _) in &masters {
            let mut newest = self.newest_of();
            let newest = newest.entry(*patient).or_default();
            *newest = (*generation).max(*newest);
        }
        for (patient, generation, name) in masters {
            let stays = used.contains(&(patient, generation)) || self.newest(patient) == generation;
            if !stays {
                self.keys.destroy(&name)?;
            }
        }
        Ok(())
    }

    fn unwrap(&self, of: (PatientId, Digest), value: &[u8]) -> Result<Secret32, KeyBookError> {
        let wrapped: Wrapped = decode(of.1, value)?;
        let master = self.keys.load(&name(of.0, wrapped.generation))?;
        let master =
            master.ok_or_else(|| damaged(of.1, "the patient's key is not in the vault"))?;
        let label = label(of.0, of.1);
        let own = aead::open(&master, wrapped.nonce, label.as_ref(), &wrapped.sealed);
        let own = zeroize::Zeroizing::new(own.map_err(|error| damaged(of.1, error))?);
        let own = <[u8; 32]>::try_from(own.as_slice());
        Ok(Secret32::new(own.map_err(|_| damaged(of.1, "no key"))?))
    }

    /// The patients' keys in the vault.
    fn masters(&self) -> Result<Vec<(PatientId, u32, String)>, KeyBookError> {
        let names = self.keys.names()?.into_iter();
        let masters = names.filter_map(|name| {
            let (patient, generation) = name.strip_prefix(MASTER)?.split_once('-')?;
            let patient = PatientId::from_hex(patient).ok()?;
            Some((patient, generation.parse().ok()?, name))
        });
        Ok(masters.collect())
    }

    fn newest(&self, patient: PatientId) -> u32 {
        self.newest_of().get(&patient).copied().unwrap_or_default()
    }

    fn newest_of(&self) -> std::sync::MutexGuard<'_, BTreeMap<PatientId, u32>> {
        self.shared
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self, patient: PatientId) -> Vec<u8> {
        [&[self.letter], patient.as_ref()].concat()
    }

    fn entry(&self, patient: PatientId, root: Digest) -> Vec<u8> {
        [&[self.letter], patient.as_ref(), root.as_ref()].concat()
    }
}

fn wrap(
    master: &Secret32,
    generation: u32,
    of: (PatientId, Digest),
    own: &Secret32,
) -> Result<Wrapped, KeyBookError> {
    let mut nonce = [0; NONCE_BYTES];
    SystemRng.fill_bytes(&mut nonce);
    let sealed = aead::seal(master, nonce, label(of.0, of.1).as_ref(), own.expose());
    Ok(Wrapped {
        generation,
        nonce,
        sealed: sealed.map_err(|error| damaged(of.1, error))?,
    })
}

fn label(patient: PatientId, root: Digest) -> Digest {
    kithkin_protocol::crypto::hash("kithkin/upload-key/1", &[patient.as_ref(), root.as_ref()])
}

fn name(patient: PatientId, generation: u32) -> String {
    format!("{MASTER}{}-{generation}", patient.to_hex())
}

fn decode<T: serde::de::DeserializeOwned>(root: Digest, value: &[u8]) -> Result<T, KeyBookError> {
    wire::decode_bounded(value, usize::MAX).map_err(|error| damaged(root, error))
}

fn damaged(root: Digest, reason: impl core::fmt::Display) -> KeyBookError {
    KeyBookError::Damaged {
        root,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::store::{Store, StoreOptions};
    use crate::ports::vault::Vault;
    use std::path::Path;

    const LETTER: u8 = b'k';
    const ADA: PatientId = PatientId([1; 32]);
    const BEN: PatientId = PatientId([2; 32]);

    fn root(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn key(n: u8) -> Vec<u8> {
        vec![b'u', n]
    }

    fn open(dir: &Path) -> (Store, KeyBook) {
        let store = Store::open(dir, StoreOptions::default()).expect("a database");
        let keys = Vault::open(&dir.join("keys"))
            .expect("a vault")
            .keys_of("kin");
        let space = store.space("kin").expect("a space");
        (store, KeyBook::open(space, keys, LETTER).expect("a book"))
    }

    fn keep(book: &KeyBook, patient: PatientId, n: u8) {
        let content = [n; 50];
        book.keep(patient, root(n), (key(n), &content), Batch::default())
            .expect("kept");
    }

    fn read(book: &KeyBook, n: u8) -> Option<Vec<u8>> {
        book.read(root(n), &key(n)).expect("readable")
    }

    /// The whole folder as it is: nothing of a shredded upload's content or key may be of use with it.
    #[test]
    fn what_is_shredded_stays_so_and_everything_else_stays_readable() {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, book) = open(dir.path());
        for n in 1..=5 {
            keep(&book, ADA, n);
        }
        keep(&book, BEN, 6);
        let before = book
            .space
            .get(&book.entry(ADA, root(2)))
            .expect("there")
            .expect("there");
        book.shred(ADA, &[root(2), root(3)]).expect("shredded");
        // The value is still there, as in an old file of the store; its key is not.
        for n in [2, 3] {
            assert!(book.space.get(&key(n)).expect("readable").is_some());
            assert_eq!(read(&book, n), None);
            assert!(!book.has(ADA, root(n), &key(n)).expect("readable"));
        }
        for n in [1, 4, 5, 6] {
            assert_eq!(read(&book, n), Some(vec![n; 50]), "{n}");
            let patient = if n == 6 { BEN } else { ADA };
            assert!(book.has(patient, root(n), &key(n)).expect("readable"));
        }
        // Even the wrapped key of before opens nothing: what wrapped it is gone.
        let old = book.unwrap((ADA, root(2)), &before);
        assert!(
            matches!(old, Err(KeyBookError::Damaged { .. })),
            "{:?}",
            old.is_ok()
        );
        keep(&book, ADA, 7);
        book.shred(ADA, &[root(2)]).expect("again");
        book.space.get(&key(7)).expect("readable");
        drop(book);
        store.close().expect("closed");
        let (_store, book) = open(dir.path());
        for n in [1, 4, 5, 6, 7] {
            assert_eq!(read(&book, n), Some(vec![n; 50]), "{n}");
        }
        assert_eq!(read(&book, 2), None);
        assert_eq!(
            book.masters().expect("listed").len(),
            2,
            "one for each patient"
        );
    }

    /// A crash after the new wrapping and before the old key is destroyed: the next start destroys it.
    #[test]
    fn a_shredding_that_was_cut_short_is_finished_at_the_next_start() {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, book) = open(dir.path());
        keep(&book, ADA, 1);
        keep(&book, ADA, 2);
        let old = book.keys.load(&name(ADA, 0)).expect("read").expect("there");
        book.shred(ADA, &[root(1)]).expect("shredded");
        book.keys
            .create(&name(ADA, 0), &old)
            .expect("as if it were there still");
        drop(book);
        store.close().expect("closed");
        let (_store, book) = open(dir.path());
        assert!(book.keys.load(&name(ADA, 0)).expect("read").is_none());
        assert_eq!(read(&book, 2), Some(vec![2; 50]));
        book.burn().expect("burnt");
        assert_eq!(read(&book, 2), None);
        assert!(book.masters().expect("listed").is_empty());
    }

    #[test]
    fn a_value_that_was_moved_or_changed_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (_store, book) = open(dir.path());
        keep(&book, ADA, 1);
        keep(&book, ADA, 2);
        let other = book.read(root(2), &key(1));
        assert!(matches!(other, Err(KeyBookError::Damaged { root: of, .. }) if of == root(2)));
        assert_eq!(book.read(root(1), &key(9)).expect("nothing"), None);
    }
}
