//! What every flow of a kin works with: its keys, its store, its access to the ledger, and small caches.
//!
//! A flow is a future over a shared desk, so that the actor's mailbox is served
//! meanwhile. What must survive is in [`Storage`]; everything else here can be
//! rebuilt from it.

use super::devices::Devices;
use super::invitations::Invitations;
use super::messages::{Conduct, Held, KinError};
use super::recent::{Recent, Seen};
use super::requests::ProvedRequest;
use super::room::{self, Room};
use super::storage::{Put as _, Storage, Ward};
use super::turns::Turns;
use crate::clients::{ClientError, LedgerClient};
use crate::identity::{Identity, Setting};
use crate::ports::names::ActorName;
use crate::ports::network::Port;
use crate::ports::store::{Batch, Space};
use crate::ports::vault::KeySpace;
use crate::scope::prove_at;
use crate::validator::messages::Concern;
use kithkin_protocol::consent::Grant;
use kithkin_protocol::emergency::Case;
use kithkin_protocol::ids::{AccountId, CaseId, GrantId, KinId, PatientId};
use kithkin_protocol::ledger::{self, State};
use kithkin_protocol::units::Height;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Most patients of one kin.
pub(super) const PATIENTS_MAX: usize = 64;
/// Checks that run beside the mailbox at a time; further ones wait.
const HEAVY_MAX: usize = 4;
/// Most proved requests that are remembered.
const REMEMBERED_MAX: usize = 256;
/// For how long a case that was proved to be open lets a hospital fetch: far below the 30 s that a head may be old.
const OPEN_FRESH: Duration = Duration::from_secs(3);
/// For how long one that is not open is not proved again: a hospital may ask before it is granted, and right after.
const SHUT_FRESH: Duration = Duration::from_millis(100);
/// How long one thing may take to be proved.
pub(super) const PROVE_WITHIN: Duration = Duration::from_secs(10);
/// How long a proof waits for a height that somebody named.
pub(super) const HINT_PATIENCE: Duration = Duration::from_millis(1_500);

/// Handles and caches. Cloned as an `Arc` into every flow.
pub(super) struct Desk {
    pub(super) me: KinId,
    pub(super) setting: Setting,
    pub(super) identity: Identity,
    pub(super) keys: KeySpace,
    pub(super) port: Port,
    pub(super) store: Storage,
    pub(super) client: LedgerClient,
    /// Offers are taken one at a time: each may replace the one before.
    pub(super) offers: tokio::sync::Mutex<()>,
    /// Each roster is seen to by one flow at a time. With the newest height at which something was proved of it.
    rosters: Mutex<BTreeMap<PatientId, Arc<tokio::sync::Mutex<Height>>>>,
    /// Decisions about one case are submitted one at a time, so that an older try cannot undo what the person said since.
    pub(super) deciding: Turns<CaseId>,
    /// Patients whose invitation the person has accepted.
    pub(super) joining: Mutex<BTreeSet<PatientId>>,
    /// How many uploads are kept.
    pub(super) uploads: AtomicUsize,
    /// What they take, by patient.
    pub(super) room: Mutex<Room>,
    /// Uploads are erased one at a time.
    pub(super) erasing: Mutex<()>,
    heavy: Arc<Semaphore>,
    conduct: Mutex<Conduct>,
    wards: Mutex<BTreeMap<PatientId, Arc<Ward>>>,
    /// Places in second circles that are not on the ledger yet.
    comings: Mutex<BTreeMap<PatientId, Arc<Ward>>>,
    devices: Devices,
    requests: Mutex<BTreeMap<CaseId, Arc<ProvedRequest>>>,
    cases: Recent<CaseId, Case>,
    pub(super) grants: Recent<GrantId, Grant>,
    pub(super) invitations: Invitations,
}

impl Desk {
    /// Reads the stored state, and destroys keys of shares that no stored share uses: left over from an offer that a
    /// crash cut short.
    pub(super) fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
    ) -> Result<Self, KinError> {
        let store = Storage::open(space, keys.clone())?;
        let kept = store.all_kept()?;
        let wards = store.wards()?;
        let comings = store.comings()?;
        let passages = store.passages()?;
        let coming = passages.iter().filter_map(|passage| passage.next.as_ref());
        let used: BTreeSet<&str> = wards
            .iter()
            .chain(coming.map(|(_, ward)| ward))
            .chain(&comings)
            .flat_map(|ward| ward.shares.iter().map(|share| share.key.as_str()))
            .collect();
        for name in keys.names()? {
            if name.starts_with(super::offers::KEY_PREFIX)
                && !used.contains(name.as_str())
                && let Err(error) = keys.destroy(&name)
            {
                // No reason not to serve: the next start tries again.
                tracing::warn!(name, %error, "the key of an older share is not destroyed yet");
            }
        }
        let client = LedgerClient::new(
            &setting.genesis,
            port.clone(),
            identity.signing.clone(),
            setting.clock.clone(),
        );
        Ok(Self {
            me: identity.account().into(),
            uploads: AtomicUsize::new(kept.len()),
            room: Mutex::new(room::count(&kept)),
            erasing: Mutex::default(),
            invitations: Invitations::open(&store, setting.invitations)?,
            joining: Mutex::new(store.joining()?),
            conduct: Mutex::new(store.conduct()?),
            wards: Mutex::new(by_patient(wards)),
            comings: Mutex::new(by_patient(comings)),
            setting,
            identity,
            keys,
            port,
            store,
            client,
            offers: tokio::sync::Mutex::new(()),
            rosters: Mutex::default(),
            deciding: Turns::default(),
            heavy: Arc::new(Semaphore::new(HEAVY_MAX)),
            devices: Devices::default(),
            requests: Mutex::default(),
            cases: Recent::default(),
            grants: Recent::default(),
        })
    }

    /// Runs work that takes a thread for longer than a few milliseconds, or that waits for the disk.
    pub(super) async fn heavy<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, KinError> + Send + 'static,
    ) -> Result<T, KinError> {
        let ended = |error: &dyn core::fmt::Display| KinError::Store {
            reason: format!("a check did not come to its end: {error}"),
        };
        let turn = self.heavy.clone().acquire_owned();
        let turn = turn.await.map_err(|error| ended(&error))?;
        let desk = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&desk);
            drop(turn);
            done
        });
        done.await.unwrap_or_else(|error| Err(ended(&error)))
    }

    pub(super) fn ward(&self, patient: PatientId) -> Option<Arc<Ward>> {
        lock(&self.wards).get(&patient).cloned()
    }

    pub(super) fn wards(&self) -> Vec<Arc<Ward>> {
        lock(&self.wards).values().cloned().collect()
    }

    /// Takes over what is durable now.
    pub(super) fn put_ward(&self, ward: Arc<Ward>) {
        lock(&self.wards).insert(ward.patient, ward);
    }

    /// A place in the patient's second circle that this kin has accepted, and that is not on the ledger yet.
    pub(super) fn coming(&self, patient: PatientId) -> Option<Arc<Ward>> {
        lock(&self.comings).get(&patient).cloned()
    }

    /// Takes over what is durable now.
    pub(super) fn put_coming(&self, ward: Arc<Ward>) {
        lock(&self.comings).insert(ward.patient, ward);
    }

    /// Forgets what has come, or never will; that is durable.
    pub(super) fn drop_coming(&self, patient: PatientId) {
        lock(&self.comings).remove(&patient);
    }

    /// How many patients this kin has shares of.
    pub(super) fn patient_count(&self) -> usize {
        let mut patients: BTreeSet<PatientId> = lock(&self.wards).keys().copied().collect();
        patients.extend(lock(&self.comings).keys());
        patients.len()
    }

    /// Takes over which device was proved to speak for a patient just now.
    pub(super) fn put_device(&self, patient: PatientId, device: AccountId) {
        self.devices.put(patient, device, Instant::now());
    }

    /// Whether `device` speaks for one of this kin's patients: as was proved a moment ago, else as is proved now.
    pub(super) async fn speaks_for(
        &self,
        device: AccountId,
        patient: PatientId,
    ) -> Result<bool, KinError> {
        if self.devices.know(patient, device, Instant::now()) {
            return Ok(true);
        }
        let Some(entry) = self.enrolled(patient, Duration::ZERO).await? else {
            return Ok(false);
        };
        if self.ward(patient).is_some() {
            self.put_device(patient, entry.device);
        }
        Ok(entry.device == device)
    }

    /// Whose turn it is to see to a patient's roster.
    pub(super) fn roster(&self, patient: PatientId) -> Arc<tokio::sync::Mutex<Height>> {
        lock(&self.rosters).entry(patient).or_default().clone()
    }

    /// Forgets a patient whose roster this kin is no longer on; that is durable.
    pub(super) fn drop_ward(&self, patient: PatientId) {
        lock(&self.wards).remove(&patient);
    }

    /// Patients whose rosters concern this kin: those on which it is, those that it is joining, and those whose records it still
    /// keeps.
    pub(super) fn circles(&self) -> BTreeSet<PatientId> {
        let mut patients = lock(&self.joining).clone();
        patients.extend(lock(&self.wards).keys());
        patients.extend(lock(&self.comings).keys());
        patients.extend(lock(&self.room).keys());
        patients
    }

    /// The ward, once its enrolment is proved to stand on chain; asked once, then remembered for good.
    pub(super) async fn active_ward(&self, patient: PatientId) -> Result<Arc<Ward>, KinError> {
        let ward = self
            .ward(patient)
            .ok_or(KinError::NotMyPatient { patient })?;
        if ward.active {
            return Ok(ward);
        }
        let enrolled = self.enrolled(patient, HINT_PATIENCE).await?;
        let stands = enrolled
            .filter(|enrolled| {
                enrolled.was_enrolled_as(ward.digest) && enrolled.epoch == ward.epoch
            })
            .is_some();
        if !stands {
            return Err(KinError::NotMyPatient { patient });
        }
        // An offer may have come in between, and then this is not the ward that stands.
        let _turn = self.offers.lock().await;
        let ward = self.ward(patient).filter(|now| now.digest == ward.digest);
        let ward = ward.ok_or(KinError::NotMyPatient { patient })?;
        let mut active = Ward::clone(&ward);
        active.active = true;
        let mut batch = Batch::default();
        batch.ward(&active);
        self.store.write(batch).await?;
        let active = Arc::new(active);
        self.put_ward(active.clone());
        Ok(active)
    }

    /// The patient as it stands on chain, proved. Waits a while for one that is just coming to stand there.
    pub(super) async fn enrolled(
        &self,
        patient: PatientId,
        patience: Duration,
    ) -> Result<Option<ledger::Patient>, KinError> {
        let found = self.enrolled_at(patient, patience).await?;
        Ok(found.map(|(entry, _)| entry))
    }

    /// As [`Self::enrolled`], with the height of the proof.
    pub(super) async fn enrolled_at(
        &self,
        patient: PatientId,
        patience: Duration,
    ) -> Result<Option<(ledger::Patient, Height)>, KinError> {
        let until = Instant::now() + patience;
        let deadline = Instant::now() + PROVE_WITHIN;
        loop {
            let key = State::patient_key(patient);
            let (value, head) = self.client.prove(key, deadline).await?;
            if let Some(value) = value {
                return Ok(Some((decode(&value)?, head.height)));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A case as it stands now, at a head of at least `height` if validators get there; with the head's height.
    pub(super) async fn case_at(
        &self,
        case: CaseId,
        height: Height,
    ) -> Result<(Case, Height), KinError> {
        let deadline = Instant::now() + PROVE_WITHIN;
        let key = State::case_key(case);
        let (value, head) = prove_at(&self.client, key, height, HINT_PATIENCE, deadline).await?;
        let value = value.ok_or_else(|| KinError::Case {
            case,
            reason: "it does not stand on the ledger".to_owned(),
        })?;
        Ok((decode(&value)?, head.height))
    }

    /// A case that was proved a moment ago, or is proved now: for who fetches many things in a row.
    pub(super) async fn recent_case(
        &self,
        asker: ActorName,
        id: CaseId,
    ) -> Result<Arc<Case>, KinError> {
        let for_how_long = |case: &Case| {
            let open = case.opens_at(self.client.now());
            if open { OPEN_FRESH } else { SHUT_FRESH }
        };
        let prove = async { Ok(self.case_at(id, Height(0)).await?.0) };
        let is_good = |seen: &Seen<Case>| seen.is_fresh(for_how_long);
        self.cases.get(asker, id, is_good, prove).await
    }

    pub(super) fn request(&self, case: CaseId) -> Option<Arc<ProvedRequest>> {
        lock(&self.requests).get(&case).cloned()
    }

    pub(super) fn put_request(&self, request: Arc<ProvedRequest>) {
        remember(&mut lock(&self.requests), request.case, request);
    }

    pub(super) fn conduct(&self) -> Conduct {
        *lock(&self.conduct)
    }

    /// Behaves so from now on, also after a restart.
    pub(super) async fn set_conduct(&self, conduct: Conduct) -> Result<(), KinError> {
        let mut batch = Batch::default();
        batch.conduct(conduct);
        self.store.write(batch).await?;
        *lock(&self.conduct) = conduct;
        Ok(())
    }

    /// Asks validators to tell what happens to this kin's patients.
    pub(super) fn follow(&self) {
        let patients = self.circles().into_iter();
        let concerns: Vec<_> = patients.map(Concern::Patient).collect();
        if !concerns.is_empty() {
            self.client.follow(&concerns);
        }
    }

    /// What this kin keeps and what it has let go. Reads the whole index of uploads.
    pub(super) fn held(&self) -> Result<Held, KinError> {
        let wards = self.wards();
        let kept = self.store.all_kept()?;
        let records = kept
            .iter()
            .map(|(_, kept)| usize::try_from(kept.records).unwrap_or(0));
        Ok(Held {
            patients: wards.len(),
            shares: wards.iter().map(|ward| ward.shares.len()).sum(),
            uploads: kept.len(),
            erased: self.store.erased_count()?,
            shards: records.sum(),
            epoch: wards.iter().map(|ward| ward.epoch.0).max().unwrap_or(0),
            released: self.store.released()?,
        })
    }

    /// Loses everything but the own identity, as a broken or replaced device does. For demonstrations.
    pub(super) async fn wipe(self: &Arc<Self>) -> Result<(), KinError> {
        let mut batch = Batch::default();
        batch.nothing();
        self.store.write(batch).await?;
        lock(&self.wards).clear();
        lock(&self.comings).clear();
        lock(&self.joining).clear();
        self.invitations.forget();
        self.uploads.store(0, Ordering::Relaxed);
        lock(&self.room).clear();
        self.heavy(|desk| {
            desk.store.burn_keys()?;
            for name in desk.keys.names()? {
                if name.starts_with(super::offers::KEY_PREFIX) {
                    desk.keys.destroy(&name)?;
                }
            }
            Ok(())
        })
        .await
    }

    pub(super) fn upload_count(&self) -> usize {
        self.uploads.load(Ordering::Relaxed)
    }
}

fn by_patient(wards: Vec<Ward>) -> BTreeMap<PatientId, Arc<Ward>> {
    let wards = wards.into_iter();
    wards.map(|ward| (ward.patient, Arc::new(ward))).collect()
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, KinError> {
    State::decode_value(value).map_err(|error| KinError::Ledger {
        reason: format!("a proved entry cannot be read: {error}"),
    })
}

/// Remembers a bounded number of things; which one goes first does not matter, all can be had again.
fn remember<K: Ord, V>(memory: &mut BTreeMap<K, V>, key: K, value: V) {
    if memory.len() >= REMEMBERED_MAX && !memory.contains_key(&key) {
        memory.pop_first();
    }
    memory.insert(key, value);
}

/// None of these locks guards a state that a panic could leave half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<ClientError> for KinError {
    fn from(error: ClientError) -> Self {
        Self::Ledger {
            reason: error.to_string(),
        }
    }
}
