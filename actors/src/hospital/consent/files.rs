//! What a hospital keeps of offers and grants. Keys on disk: see `hospital::disk`.
//!
//! An offer is written down before its key is made, and a key destroyed before its
//! file goes: no key is ever left over.

use crate::hospital::desk::{off_thread, vault};
use crate::hospital::disk::{Disk, decode, key};
use crate::hospital::messages::HospitalError;
use crate::ports::store::Batch;
use crate::ports::vault::KeySpace;
use kithkin_protocol::consent::{Bundle, GrantPurpose, GrantTerms};
use kithkin_protocol::crypto::OpeningKey;
use kithkin_protocol::ids::{GrantId, PatientId};
use kithkin_protocol::units::Millis;
use kithkin_protocol::wire;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Most offers and grants that are kept: each has a key in the vault.
const FILES_MAX: usize = 8_192;
/// Most of one patient: more than can be live at once, so that one who gives up an offer or two may ask again.
const FILES_OF_PATIENT_MAX: usize = 96;

/// An offer, or the grant that became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GrantFile {
    pub(super) id: GrantId,
    pub(super) terms: GrantTerms,
    /// When it was offered.
    pub(super) offered_ms: Millis,
}

/// Offers, grants and their keys.
#[derive(Clone)]
pub(in crate::hospital) struct Consents {
    disk: Disk,
    keys: KeySpace,
    /// How many files there are of each patient; none until somebody asks.
    counts: Arc<Mutex<Option<Counts>>>,
}

type Counts = BTreeMap<PatientId, usize>;

impl Consents {
    pub(in crate::hospital) fn new(disk: Disk, keys: KeySpace) -> Self {
        Self {
            disk,
            keys,
            counts: Arc::default(),
        }
    }

    /// Purposes for which grants are signed.
    pub(super) fn taken(&self) -> Result<BTreeSet<GrantPurpose>, HospitalError> {
        let taken = self.disk.read(b"t")?;
        Ok(taken.unwrap_or_else(|| GrantPurpose::ALL.into()))
    }

    /// Only these from now on.
    pub(super) async fn take(&self, taken: &BTreeSet<GrantPurpose>) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch.put(b"t", wire::encode(taken));
        self.disk.write(batch).await
    }

    /// Whether one more of this patient can be kept.
    pub(super) fn has_room(&self, patient: PatientId) -> Result<bool, HospitalError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.is_none() {
            let mut counted = Counts::new();
            for file in self.files()? {
                *counted.entry(file.terms.patient).or_default() += 1;
            }
            *counts = Some(counted);
        }
        let counts = counts.get_or_insert_default();
        let own = counts.get(&patient).copied().unwrap_or_default();
        Ok(counts.values().sum::<usize>() < FILES_MAX && own < FILES_OF_PATIENT_MAX)
    }

    /// Another file of this patient, or one less.
    fn count(&self, patient: PatientId, change: fn(usize) -> usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = counts.as_mut() {
            let count = counts.entry(patient).or_default();
            *count = change(*count);
            if *count == 0 {
                counts.remove(&patient);
            }
        }
    }

    /// Every offer and grant.
    pub(super) fn files(&self) -> Result<Vec<GrantFile>, HospitalError> {
        let pairs = self.disk.scan(b"g", b"g", FILES_MAX)?;
        let files = pairs.iter().map(|(key, value)| decode(key, value));
        files.collect()
    }

    pub(super) fn file(&self, grant: GrantId) -> Result<GrantFile, HospitalError> {
        let file = self.disk.read(&key(b'g', &[grant.as_ref()]))?;
        file.ok_or(HospitalError::UnknownGrant { grant })
    }

    /// Keeps an offer and its key. Durable on return.
    pub(super) async fn keep(
        &self,
        file: &GrantFile,
        opening: &OpeningKey,
    ) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch.put(key(b'g', &[file.id.as_ref()]), wire::encode(file));
        self.disk.write(batch).await?;
        self.count(file.terms.patient, |count| count.saturating_add(1));
        let (keys, name, seed) = (self.keys.clone(), name_of(file.id), opening.seed().clone());
        off_thread(move || keys.create(&name, &seed).map_err(vault)).await?
    }

    /// Keeps the sealed keys of a grant. Durable on return.
    pub(super) async fn keep_bundle(
        &self,
        grant: GrantId,
        bundle: Bundle,
    ) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        batch.put(key(b'b', &[grant.as_ref()]), wire::encode(&bundle));
        self.disk.write(batch).await
    }

    /// What opens the sealed keys of a grant; none once it is destroyed.
    pub(super) async fn opening(
        &self,
        grant: GrantId,
    ) -> Result<Option<OpeningKey>, HospitalError> {
        let (keys, name) = (self.keys.clone(), name_of(grant));
        let seed = off_thread(move || keys.load(&name).map_err(vault)).await??;
        Ok(seed.map(OpeningKey::from_seed))
    }

    /// The sealed keys of a grant; none before they have come.
    pub(super) async fn bundle(&self, grant: GrantId) -> Result<Option<Bundle>, HospitalError> {
        let disk = self.disk.clone();
        off_thread(move || disk.read(&key(b'b', &[grant.as_ref()]))).await?
    }

    /// Destroys the key, then all the rest. Nothing of the grant can be opened any more.
    pub(super) async fn forget(&self, grant: GrantId) -> Result<(), HospitalError> {
        let (keys, name) = (self.keys.clone(), name_of(grant));
        off_thread(move || keys.destroy(&name).map_err(vault)).await??;
        let file: Option<GrantFile> = self.disk.read(&key(b'g', &[grant.as_ref()]))?;
        let mut batch = Batch::default();
        batch
            .delete(key(b'g', &[grant.as_ref()]))
            .delete(key(b'b', &[grant.as_ref()]));
        self.disk.write(batch).await?;
        if let Some(file) = file {
            self.count(file.terms.patient, |count| count.saturating_sub(1));
        }
        Ok(())
    }
}

/// Name of a grant's key in the vault.
fn name_of(grant: GrantId) -> String {
    let hex = grant.to_hex();
    format!("grant-{}", hex.get(..32).unwrap_or(&hex))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::store::{Store, StoreOptions};
    use crate::ports::vault::Vault;
    use kithkin_protocol::crypto::SealingKey;
    use kithkin_protocol::ids::HospitalId;

    const ADA: PatientId = PatientId([1; 32]);
    const BEN: PatientId = PatientId([2; 32]);

    fn file(n: u8, patient: PatientId) -> GrantFile {
        let terms = GrantTerms {
            patient,
            hospital: HospitalId([3; 32]),
            scopes: Vec::new(),
            purpose: GrantPurpose::ALL[0],
            from_ms: Millis(0),
            until_ms: Millis(1),
            key: SealingKey([n; 32]),
        };
        GrantFile {
            id: GrantId([n; 32]),
            terms,
            offered_ms: Millis(0),
        }
    }

    #[actix::test]
    async fn one_patient_cannot_take_all_the_room() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), StoreOptions::default()).expect("a database");
        let space = store.space("hospital").expect("a space");
        let open = || {
            let vault = Vault::open(&dir.path().join("keys")).expect("a vault");
            Consents::new(Disk::new(space.clone()), vault.keys_of("hospital"))
        };
        let opening = OpeningKey::from_seed(kithkin_protocol::crypto::Secret32::new([4; 32]));
        let consents = open();
        assert!(consents.has_room(ADA).expect("readable"));
        let most = u8::try_from(FILES_OF_PATIENT_MAX).expect("few");
        for n in 0..most {
            let kept = consents.keep(&file(n, ADA), &opening).await;
            kept.expect("kept");
        }
        // Counted as they come, and anew after a start.
        for consents in [&consents, &open()] {
            assert!(!consents.has_room(ADA).expect("readable"));
            assert!(consents.has_room(BEN).expect("readable"));
        }
        for _ in 0..2 {
            consents.forget(GrantId([7; 32])).await.expect("forgotten");
        }
        consents.keep(&file(7, ADA), &opening).await.expect("kept");
        assert!(!consents.has_room(ADA).expect("readable"), "one, not two");
    }
}
