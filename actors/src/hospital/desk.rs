//! What every flow of a hospital shares: keys, ledger, port, stores, cases in memory.

use crate::clients::{ClientError, LedgerClient};
use crate::hospital::archive::Archive;
use crate::hospital::books::Books;
use crate::hospital::case::{Cases, SESSION, session_names};
use crate::hospital::consent::Consents;
use crate::hospital::disk::Disk;
use crate::hospital::messages::HospitalError;
use crate::identity::{Identity, Setting};
use crate::keybook::KeyBook;
use crate::ports::network::Port;
use crate::ports::objects::Shelf;
use crate::ports::random::SystemRng;
use crate::ports::store::Space;
use crate::ports::vault::{KeySpace, VaultError};
use kithkin_protocol::crypto::{Digest, Secret32, SigningKey};
use kithkin_protocol::ids::{HospitalId, PatientId};
use kithkin_protocol::ledger::{Confirmed, Patient as Enrolled, State};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// First letter of the keys of uploads in the store.
const BOOK: u8 = b'y';
/// How much is written at a time, in MiB of bundles; other writes wait. Each takes a few times its size in memory.
const WRITES_MIB: u32 = 256;
/// How long a transaction may take to become final before the caller hears that it has not.
pub(super) const FINAL_WITHIN: Duration = Duration::from_secs(30);
/// How long a proof of an entry may take.
pub(super) const PROVED_WITHIN: Duration = Duration::from_secs(10);
/// How long a patient's absence is doubted: enough validators may lag behind the one that said "final".
const DOUBT: Duration = Duration::from_secs(1);
/// Pause before they are asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// One hospital's means.
pub(super) struct Desk {
    pub(super) me: HospitalId,
    pub(super) setting: Setting,
    pub(super) identity: Identity,
    /// The clinician on duty.
    pub(super) clinician: SigningKey,
    /// Makes digests of encounter numbers useless for guessing.
    pub(super) encounter_salt: Secret32,
    pub(super) keys: KeySpace,
    pub(super) port: Port,
    pub(super) client: LedgerClient,
    pub(super) disk: Disk,
    pub(super) archive: Archive,
    pub(super) books: Books,
    pub(super) cases: Cases,
    pub(super) consents: Consents,
    /// Offers are made one at a time.
    pub(super) offering: tokio::sync::Mutex<()>,
    writes: Semaphore,
    /// Uploads that a flow of this incarnation is at work on: repairs leave them alone.
    active: Mutex<BTreeSet<Digest>>,
    /// Copies are erased one upload at a time.
    pub(super) erasing: tokio::sync::Mutex<()>,
    /// A round of repairs is under way.
    pub(super) repairing: AtomicBool,
    /// A look at all open cases is under way.
    pub(super) tending: AtomicBool,
    /// A look at all grants is under way.
    pub(super) tending_grants: AtomicBool,
}

impl Desk {
    pub(super) fn open(
        setting: Setting,
        identity: Identity,
        keys: KeySpace,
        port: Port,
        space: Space,
        shelf: Shelf,
    ) -> Result<Self, HospitalError> {
        let fresh = || Secret32::random(&mut SystemRng);
        let clinician = keys.load_or_create("clinician", fresh).map_err(vault)?;
        let salt = keys
            .load_or_create("encounter-salt", fresh)
            .map_err(vault)?;
        let client = LedgerClient::new(
            &setting.genesis,
            port.clone(),
            Arc::clone(&identity.signing),
            Arc::clone(&setting.clock),
        );
        let book = KeyBook::open(space.clone(), keys.clone(), BOOK);
        let disk = Disk::new(space);
        let book = disk.judge_book(book)?;
        let books = Books::new(disk.clone());
        sweep(&keys, &books)?;
        Ok(Self {
            me: identity.account().into(),
            clinician: SigningKey::from_seed(clinician),
            encounter_salt: salt,
            archive: Archive::new(disk.clone(), book, shelf),
            books,
            cases: Cases::default(),
            consents: Consents::new(disk.clone(), keys.clone()),
            offering: tokio::sync::Mutex::default(),
            writes: Semaphore::new(WRITES_MIB as usize),
            active: Mutex::default(),
            erasing: tokio::sync::Mutex::default(),
            repairing: AtomicBool::new(false),
            tending: AtomicBool::new(false),
            tending_grants: AtomicBool::new(false),
            setting,
            identity,
            keys,
            port,
            client,
            disk,
        })
    }

    /// The patient's roster and keys as they stand now, proved, and the head that proves it.
    pub(super) async fn prove_patient(
        &self,
        patient: PatientId,
        deadline: Instant,
    ) -> Result<(Enrolled, Confirmed), HospitalError> {
        let key = State::patient_key(patient);
        let doubt_until = deadline.min(Instant::now() + DOUBT);
        let (value, head) = loop {
            let (value, head) = self
                .client
                .prove(key.clone(), deadline)
                .await
                .map_err(ledger)?;
            match value {
                Some(value) => break (value, head),
                None if Instant::now() < doubt_until => tokio::time::sleep(PAUSE).await,
                None => return Err(HospitalError::UnknownPatient { patient }),
            }
        };
        let enrolled = State::decode_value(&value).map_err(|error| HospitalError::Ledger {
            reason: format!("the entry of patient {patient} cannot be read: {error}"),
        })?;
        Ok((enrolled, head))
    }

    /// That this hospital is accredited, proved. Who is not would wait in vain for its requests to stand on the ledger.
    pub(super) async fn prove_accreditation(&self, deadline: Instant) -> Result<(), HospitalError> {
        let hospital = self.me;
        let key = State::hospital_key(hospital);
        let (entry, _) = self.client.prove(key, deadline).await.map_err(ledger)?;
        let not = HospitalError::NotAccredited { hospital };
        entry.map(|_| ()).ok_or(not)
    }

    /// Waits until there is room for writing a bundle of so many bytes. None only if the semaphore were closed, which it
    /// never is.
    pub(super) async fn room_for(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let mib = u32::try_from(bytes >> 20).unwrap_or(WRITES_MIB);
        let share = mib.saturating_add(1).min(WRITES_MIB);
        self.writes.acquire_many(share).await.ok()
    }

    /// Marks an upload as being worked on until the mark is dropped.
    pub(super) fn work_on(self: &Arc<Self>, root: Digest) -> Active {
        self.active().insert(root);
        Active {
            desk: Arc::clone(self),
            root,
        }
    }

    pub(super) fn is_active(&self, root: Digest) -> bool {
        self.active().contains(&root)
    }

    fn active(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Destroys session keys of requests that never left: a crash came between vault and books.
fn sweep(keys: &KeySpace, books: &Books) -> Result<(), HospitalError> {
    let mut needed: BTreeSet<String> = BTreeSet::new();
    for request in books.requests()? {
        needed.extend(session_names(request.session.point));
    }
    for case in books.open_cases()? {
        if let Some(file) = books.case(case)? {
            needed.extend(session_names(file.request.session.point));
        }
    }
    for name in keys.names().map_err(vault)? {
        if name.starts_with(SESSION) && !needed.contains(&name) {
            keys.destroy(&name).map_err(vault)?;
        }
    }
    Ok(())
}

/// An upload that is being worked on.
pub(super) struct Active {
    desk: Arc<Desk>,
    root: Digest,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.desk.active().remove(&self.root);
    }
}

/// A flag that is set by one flow at a time.
pub(super) struct Alone<'a>(&'a AtomicBool);

impl<'a> Alone<'a> {
    /// None when another flow has it.
    pub(super) fn take(flag: &'a AtomicBool) -> Option<Self> {
        use std::sync::atomic::Ordering;
        (!flag.swap(true, Ordering::AcqRel)).then_some(Self(flag))
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.store(false, std::sync::atomic::Ordering::Release);
    }
}

/// Runs what takes the processor or the disk for long on the blocking pool: the mailbox stays served.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HospitalError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| HospitalError::Store {
            reason: format!("a worker ended before its work was done: {error}"),
        })
}

pub(super) fn ledger(error: ClientError) -> HospitalError {
    HospitalError::Ledger {
        reason: error.to_string(),
    }
}

pub(super) fn vault(error: VaultError) -> HospitalError {
    HospitalError::Store {
        reason: error.to_string(),
    }
}

pub(super) fn forbidden(reason: impl Into<String>) -> HospitalError {
    HospitalError::Forbidden {
        reason: reason.into(),
    }
}
