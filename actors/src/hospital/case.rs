//! A case in memory: what was fetched and checked for it, and who waits for it.
//!
//! Nothing here must survive: partial openings and forgeries are in [`super::books`],
//! session secrets in the vault, everything else is on the ledger and with the kin.

use crate::hospital::books::{CaseFile, Forgery};
use crate::hospital::capsules::TierScope;
use crate::hospital::desk::{Desk, PROVED_WITHIN, ledger, off_thread, vault};
use crate::hospital::messages::HospitalError;
use crate::hospital::partials::Pile;
use crate::hospital::puzzle::Gathered;
use crate::scope::prove_at;
use kithkin_protocol::crypto::OpeningKey;
use kithkin_protocol::crypto::group::PointBytes;
use kithkin_protocol::emergency::{Case, Request};
use kithkin_protocol::ids::{CaseId, KinId};
use kithkin_protocol::ledger::{Member, State};
use kithkin_protocol::sharing::SessionSecret;
use kithkin_protocol::units::{Height, ShareIndex, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Most cases whose capsules and ciphertexts are kept in memory.
const CASES_IN_MEMORY_MAX: usize = 64;

/// Cases in memory.
#[derive(Default)]
pub(super) struct Cases(Mutex<BTreeMap<CaseId, Arc<CaseWork>>>);

/// What is made once for each tier.
pub(super) struct PerTier<T>([tokio::sync::Mutex<Option<Arc<T>>>; Tier::ALL.len()]);

impl<T> Default for PerTier<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::Mutex::default()))
    }
}

impl<T> PerTier<T> {
    /// Locked while it is made: who comes second waits for the first. None at the deadline.
    pub(super) async fn of(
        &self,
        tier: Tier,
        deadline: Instant,
    ) -> Option<tokio::sync::MutexGuard<'_, Option<Arc<T>>>> {
        let place = Tier::ALL.iter().position(|one| *one == tier)?;
        let lock = self.0.get(place)?.lock();
        tokio::time::timeout_at(deadline.into(), lock).await.ok()
    }
}

/// Work on one case.
pub(super) struct CaseWork {
    pub(super) file: CaseFile,
    /// Ticks when something arrived: a partial opening, a notice.
    pub(super) wake: watch::Sender<()>,
    /// Capsules in scope, checked, by tier; filled once.
    pub(super) scopes: PerTier<TierScope>,
    /// Ciphertexts, by tier; filled once.
    pub(super) gathered: PerTier<Gathered>,
    /// Fetching ahead is under way.
    pub(super) fetching: AtomicBool,
    /// Everything of all tiers was fetched.
    pub(super) fetched: AtomicBool,
    pile: Mutex<Pile>,
    forgers: Mutex<BTreeSet<KinId>>,
}

impl CaseWork {
    /// Every kin of the circle that is asked, with its share index.
    pub(super) fn kin(&self) -> impl Iterator<Item = (ShareIndex, &Member)> {
        let roster = self.file.enrolment.roster_of(self.file.circle()).iter();
        (0..).map_while(ShareIndex::from_position).zip(roster)
    }

    /// One kin by its share index.
    pub(super) fn member(&self, index: ShareIndex) -> Option<&Member> {
        let roster = self.file.enrolment.roster_of(self.file.circle());
        roster.get(index.position())
    }

    /// Partial openings. Locked for moments, never across a wait.
    pub(super) fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.wake.send_replace(());
    }

    /// Kin that forged something, by share index.
    pub(super) fn forged(&self) -> Vec<KinId> {
        let forgers = self.forgers();
        let kin = self.kin().map(|(_, member)| member.id());
        kin.filter(|kin| forgers.contains(kin)).collect()
    }

    fn forgers(&self) -> MutexGuard<'_, BTreeSet<KinId>> {
        self.forgers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cases {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<CaseId, Arc<CaseWork>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A case that is in memory.
    pub(super) fn peek(&self, case: CaseId) -> Option<Arc<CaseWork>> {
        self.lock().get(&case).cloned()
    }

    pub(super) fn forget(&self, case: CaseId) {
        self.lock().remove(&case);
    }

    /// Puts a case in, unless another flow was faster; makes room by dropping one that nobody uses.
    fn put(&self, work: CaseWork) -> Arc<CaseWork> {
        let mut cases = self.lock();
        if cases.len() >= CASES_IN_MEMORY_MAX {
            let idle = cases
                .iter()
                .find(|(_, work)| Arc::strong_count(work) == 1)
                .map(|(case, _)| *case);
            if let Some(idle) = idle {
                cases.remove(&idle);
            }
        }
        let case = work.file.case;
        Arc::clone(cases.entry(case).or_insert_with(|| Arc::new(work)))
    }
}

impl Desk {
    /// A case of this hospital: from memory, from the books, or from the ledger when a crash came between the
    /// request and the books.
    pub(super) async fn case(&self, case: CaseId) -> Result<Arc<CaseWork>, HospitalError> {
        if let Some(work) = self.cases.peek(case) {
            return Ok(work);
        }
        let file = match self.books.case(case)? {
            Some(file) => file,
            None => self.adopt(case, Height(0)).await?,
        };
        let books = self.books.clone();
        let (pile, forgers) =
            off_thread(move || Ok((Pile::load(books.deliveries(case)?), books.forgers(case)?)))
                .await??;
        Ok(self.cases.put(CaseWork {
            file,
            wake: watch::channel(()).0,
            scopes: PerTier::default(),
            gathered: PerTier::default(),
            fetching: AtomicBool::new(false),
            fetched: AtomicBool::new(false),
            pile: Mutex::new(pile),
            forgers: Mutex::new(forgers.into_iter().collect()),
        }))
    }

    /// Opens the books for a case of this hospital that stands on chain, at this height as far as is known.
    pub(super) async fn adopt(
        &self,
        id: CaseId,
        height: Height,
    ) -> Result<CaseFile, HospitalError> {
        let unknown = HospitalError::UnknownCase { case: id };
        let deadline = Instant::now() + PROVED_WITHIN;
        let case: Option<Case> = self
            .proved_at(State::case_key(id), height, deadline)
            .await?;
        let Some(case) = case.filter(|case| case.hospital == self.me) else {
            return Err(unknown);
        };
        let (enrolled, _) = self.prove_patient(case.patient(), deadline).await?;
        // The rosters of the case, whatever the patient has now.
        let rosters = State::roster_key(case.patient(), case.epochs());
        let enrolment = self.proved_at(rosters, height, deadline).await?;
        let file = CaseFile {
            case: id,
            request: case.request,
            enrolment: enrolment.ok_or(unknown)?,
            eras: enrolled.eras,
            rewrapped: enrolled.rewrapped,
        };
        self.books.put_case(&file).await?;
        Ok(file)
    }

    /// An entry as of a height, if validators get there in time.
    async fn proved_at<T: serde::de::DeserializeOwned>(
        &self,
        key: Vec<u8>,
        height: Height,
        deadline: Instant,
    ) -> Result<Option<T>, HospitalError> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let proved = prove_at(&self.client, key, height, patience, deadline).await;
        let (value, _) = proved.map_err(ledger)?;
        let value = value.map(|value| State::decode_value(&value)).transpose();
        value.map_err(|error| HospitalError::Ledger {
            reason: format!("a proved entry cannot be read: {error}"),
        })
    }

    /// Writes a forgery down and says so. The first one of a kin in a case is kept as evidence.
    pub(super) async fn accuse(
        &self,
        work: &CaseWork,
        forgery: Forgery,
    ) -> Result<(), HospitalError> {
        if !work.forgers().insert(forgery.kin) {
            return Ok(());
        }
        let case = work.file.case;
        tracing::warn!(%case, kin = %forgery.kin, fault = forgery.fault, "a kin sent a forgery");
        self.books.put_forgery(case, &forgery).await
    }
}

/// The keys of one request: `eps` and the HPKE key. In the vault until the case is over (opening.md section 3).
pub(super) struct SessionKeys {
    pub(super) eps: SessionSecret,
    pub(super) opening: OpeningKey,
}

/// What names of session keys in the vault start with.
pub(super) const SESSION: &str = "session-";

/// Names of a session's keys in the vault.
pub(super) fn session_names(session: PointBytes) -> [String; 2] {
    let hex = session.to_hex();
    let short = hex.get(..16).unwrap_or(&hex);
    [
        format!("{SESSION}{short}-eps"),
        format!("{SESSION}{short}-hpke"),
    ]
}

impl Desk {
    /// The keys of a request; none once they are destroyed.
    pub(super) async fn session_keys(
        &self,
        request: &Request,
    ) -> Result<Option<SessionKeys>, HospitalError> {
        let (keys, names) = (self.keys.clone(), session_names(request.session.point));
        let [eps, opening] = off_thread(move || {
            let [eps, opening] = &names;
            Ok::<_, HospitalError>([
                keys.load(eps).map_err(vault)?,
                keys.load(opening).map_err(vault)?,
            ])
        })
        .await??;
        let (Some(eps), Some(opening)) = (eps, opening) else {
            return Ok(None);
        };
        let eps = SessionSecret::from_secret(&eps).map_err(|error| HospitalError::Store {
            reason: error.to_string(),
        })?;
        Ok(Some(SessionKeys {
            eps,
            opening: OpeningKey::from_seed(opening),
        }))
    }

    /// Destroys the keys of a request: what was sealed to it is lost for everybody.
    pub(super) async fn destroy_session(&self, session: PointBytes) -> Result<(), HospitalError> {
        let (keys, names) = (self.keys.clone(), session_names(session));
        off_thread(move || {
            names
                .iter()
                .try_for_each(|name| keys.destroy(name).map_err(vault))
        })
        .await?
    }

    /// Where a case stands now, proved.
    pub(super) async fn prove_case(
        &self,
        id: CaseId,
        deadline: Instant,
    ) -> Result<Case, HospitalError> {
        let case = self.client.prove_case(id, deadline).await.map_err(ledger)?;
        case.ok_or(HospitalError::UnknownCase { case: id })
    }
}
