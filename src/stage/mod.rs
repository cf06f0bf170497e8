//! A running cluster and all that people do with it: enrol, write, request, decide, read, close; and the harm that
//! demonstrations do to it.
//!
//! Every method is one message to one actor, with a time limit. [`Board`] is what
//! an onlooker sees: heights, masters, credit, view changes, events, restarts.

mod board;
mod consent;
mod devices;
mod erasures;
mod review;
mod rosters;

pub use board::{Board, Glance, Restart};
pub use consent::Consent;

use kithkin_actors::clients::{ClientError, LedgerClient};
use kithkin_actors::cluster::{Cluster, ClusterConfig, LaunchError};
use kithkin_actors::friend_relative::FriendRelative;
use kithkin_actors::friend_relative::messages::{
    Conduct, Decide, Decided, Decision, Held, Inventory, KinError, Pending, PendingRequest,
    ReplayApproval, Replayed,
};
use kithkin_actors::hospital::Hospital;
use kithkin_actors::hospital::messages::{
    CloseCase, HospitalError, Opened, ReadCase, RequestOpening, Requested, WriteRecord, Written,
};
use kithkin_actors::patient::Patient;
use kithkin_actors::patient::messages::{Enrol, Enrolled, PatientError, ReadAll, Source, Veto};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::ports::network::{AskError, Port};
use kithkin_actors::supervisor::{Fault, Hold, Inject, Release, SupervisorError, Watch};
use kithkin_actors::upload::OpenedRecord;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::{Case, Escalation, Phase, Purpose, Reason, TierPolicy};
use kithkin_protocol::ids::{CaseId, HospitalId, PatientId};
use kithkin_protocol::ledger::Role;
use kithkin_protocol::roster::RosterRules;
use kithkin_protocol::units::{Height, Millis, Tier};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one step may take before the stage gives up on it.
pub const STEP_WITHIN: Duration = Duration::from_secs(60);

/// What went wrong with a step.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// No such actor in this cluster.
    #[error("there is no {name} in this cluster")]
    NoSuchActor {
        /// The name.
        name: ActorName,
    },
    /// The actor did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The kin said no.
    #[error(transparent)]
    Kin(#[from] KinError),
    /// The hospital said no.
    #[error(transparent)]
    Hospital(#[from] HospitalError),
    /// The patient's device said no.
    #[error(transparent)]
    Patient(#[from] PatientError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ClientError),
    /// The supervisor said no.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// The supervisor does not answer.
    #[error("the supervisor does not answer")]
    NoSupervisor,
    /// The cluster does not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s")]
    TooSlow {
        /// What.
        what: String,
        /// How long it had.
        seconds: u64,
    },
}

/// What a clinician asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which tiers.
    pub tiers: Vec<Tier>,
    /// What for.
    pub purpose: Purpose,
    /// What happened.
    pub reason: Reason,
    /// How long the request waits for kin.
    pub expires_in: Duration,
    /// How long the session is to last.
    pub session: Duration,
    /// The case in which the first circle could not be reached, when the second is asked.
    pub after: Option<CaseId>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            tiers: vec![Tier::Summary, Tier::Chart],
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            expires_in: Duration::from_secs(600),
            session: Duration::from_secs(3_600),
            after: None,
        }
    }
}

/// A running cluster with an onlooker.
pub struct Stage {
    cluster: Cluster,
    driver: Port,
    client: LedgerClient,
    reviewer: LedgerClient,
    board: Board,
}

impl Stage {
    /// Launches a cluster and watches it. Needs an actix system on this thread.
    ///
    /// # Errors
    /// [`StageError::Launch`].
    pub async fn launch(mut config: ClusterConfig) -> Result<Self, StageError> {
        let board = Board::default();
        config.observer = board.observer();
        let cluster = Cluster::launch(config).await?;
        let events = cluster
            .supervisor()
            .send(Watch)
            .await
            .map_err(|_| StageError::NoSupervisor)?;
        board.follow(events);
        Ok(Self {
            driver: cluster.driver(),
            client: cluster.client(),
            reviewer: cluster.reviewer(),
            cluster,
            board,
        })
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What an onlooker sees.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// For looking at the ledger and having things proved.
    #[must_use]
    pub fn client(&self) -> &LedgerClient {
        &self.client
    }

    /// Stops everything in order.
    pub async fn shutdown(self) {
        let report = self.cluster.shutdown().await;
        if !report.abandoned.is_empty() {
            tracing::warn!(actors = ?report.abandoned, "did not stop in time");
        }
    }

    /// A patient enrols with all of its kin; `sponsor` vouches.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn enrol(
        &self,
        patient: u16,
        sponsor: u16,
        threshold: Option<usize>,
        policies: Vec<(Tier, TierPolicy)>,
        rules: RosterRules,
    ) -> Result<Enrolled, StageError> {
        let message = Enrol {
            roster: self.cluster.roster(patient),
            sponsor: self.hospital_id(sponsor)?,
            threshold,
            policies,
            rules,
            escalation: Escalation::default(),
            second: None,
        };
        self.enrol_so(patient, message).await
    }

    /// A hospital seals and stores a FHIR bundle of a patient.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn write(
        &self,
        hospital: u16,
        patient: u16,
        bundle: Arc<Vec<u8>>,
        patience: Duration,
    ) -> Result<Written, StageError> {
        let message = WriteRecord {
            patient: self.patient_id(patient)?,
            bundle,
            patience_ms: millis(patience),
        };
        let to = ActorName::Hospital(hospital);
        // A write that is asked for twice would be stored twice, so it is asked for once.
        Ok(self.ask_once::<Hospital, _>(to, message).await??)
    }

    /// A clinician asks to open records in an emergency.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn request(
        &self,
        hospital: u16,
        patient: u16,
        ask: Ask,
    ) -> Result<Requested, StageError> {
        let message = RequestOpening {
            patient: self.patient_id(patient)?,
            tiers: ask.tiers,
            purpose: ask.purpose,
            reason: ask.reason,
            encounter: format!("encounter of patient-{patient} at hospital-{hospital}"),
            expires_in_ms: millis(ask.expires_in),
            session_ms: millis(ask.session),
            credential: None,
            after: ask.after,
        };
        let to = ActorName::Hospital(hospital);
        Ok(self.ask_once::<Hospital, _>(to, message).await??)
    }

    /// Requests that wait for an answer of this kin.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn pending(&self, patient: u16, kin: u8) -> Result<Vec<PendingRequest>, StageError> {
        let to = ActorName::Kin(patient, kin);
        Ok(self.ask::<FriendRelative, _>(to, Pending).await??)
    }

    /// A kin decides.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn decide(
        &self,
        patient: u16,
        kin: u8,
        case: CaseId,
        decision: Decision,
    ) -> Result<Decided, StageError> {
        let to = ActorName::Kin(patient, kin);
        let message = Decide { case, decision };
        Ok(self.ask::<FriendRelative, _>(to, message).await??)
    }

    /// The clinician reads, as soon as enough kin have released.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn read(
        &self,
        hospital: u16,
        case: CaseId,
        tier: Option<Tier>,
        within: Duration,
    ) -> Result<Opened, StageError> {
        let message = ReadCase {
            case,
            tier,
            within_ms: millis(within),
        };
        let to = ActorName::Hospital(hospital);
        Ok(self.ask_for::<Hospital, _>(to, message, within).await??)
    }

    /// The hospital ends the case.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn close(&self, hospital: u16, case: CaseId) -> Result<Height, StageError> {
        let to = ActorName::Hospital(hospital);
        Ok(self.ask::<Hospital, _>(to, CloseCase(case)).await??)
    }

    /// The patient stops a case.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn veto(&self, patient: u16, case: CaseId) -> Result<Height, StageError> {
        let to = ActorName::Patient(patient);
        Ok(self.ask::<Patient, _>(to, Veto(case)).await??)
    }

    /// A hospital is accredited no more: a quorum of the validators says so.
    ///
    /// # Errors
    /// [`StageError::Ledger`].
    pub async fn revoke_hospital(&self, hospital: u16) -> Result<Height, StageError> {
        let account = self.hospital_id(hospital)?.into();
        let deadline = Instant::now() + STEP_WITHIN;
        let revoked = self
            .cluster
            .revoke(Role::Hospital, account, deadline)
            .await?;
        Ok(revoked.proof.header.height)
    }

    /// The patient's own device opens records.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn read_all(
        &self,
        patient: u16,
        tiers: Vec<Tier>,
        only: Vec<Digest>,
        source: Source,
    ) -> Result<Vec<OpenedRecord>, StageError> {
        let message = ReadAll {
            tiers,
            only,
            source,
        };
        let to = ActorName::Patient(patient);
        Ok(self.ask::<Patient, _>(to, message).await??)
    }

    /// Makes a kin behave, or misbehave, from now on.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn conduct(&self, patient: u16, kin: u8, conduct: Conduct) -> Result<(), StageError> {
        let to = ActorName::Kin(patient, kin);
        self.ask::<FriendRelative, _>(to, conduct).await
    }

    /// A kin misuses an approval that it gave before.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn replay(
        &self,
        patient: u16,
        kin: u8,
        from: CaseId,
        into: CaseId,
    ) -> Result<Replayed, StageError> {
        let to = ActorName::Kin(patient, kin);
        let message = ReplayApproval { from, into };
        Ok(self.ask::<FriendRelative, _>(to, message).await??)
    }

    /// What a kin keeps, and what it has let go.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn inventory(&self, patient: u16, kin: u8) -> Result<Held, StageError> {
        let to = ActorName::Kin(patient, kin);
        Ok(self.ask::<FriendRelative, _>(to, Inventory).await??)
    }

    /// Does harm to an actor.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn inject(&self, name: ActorName, fault: Fault) -> Result<(), StageError> {
        let supervisor = self.cluster.supervisor();
        let sent = supervisor.send(Inject { name, fault }).await;
        Ok(sent.map_err(|_| StageError::NoSupervisor)??)
    }

    /// Stops an actor and keeps it stopped.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn hold(&self, name: ActorName) -> Result<(), StageError> {
        let sent = self.cluster.supervisor().send(Hold { name }).await;
        Ok(sent.map_err(|_| StageError::NoSupervisor)??)
    }

    /// Starts an actor again that was held.
    ///
    /// # Errors
    /// [`StageError`].
    pub async fn release(&self, name: ActorName) -> Result<(), StageError> {
        let sent = self.cluster.supervisor().send(Release { name }).await;
        Ok(sent.map_err(|_| StageError::NoSupervisor)??)
    }

    /// A case as it stands, proved.
    ///
    /// # Errors
    /// [`StageError::Ledger`] when it cannot be proved in time.
    pub async fn case(&self, id: CaseId) -> Result<Option<Case>, StageError> {
        let deadline = Instant::now() + STEP_WITHIN;
        Ok(self.client.prove_case(id, deadline).await?)
    }

    /// Waits until a case has come to one of these phases, as proved, and returns it.
    ///
    /// # Errors
    /// [`StageError::TooSlow`] when it has not in time.
    pub async fn case_in(
        &self,
        id: CaseId,
        phases: &[Phase],
        within: Duration,
    ) -> Result<Case, StageError> {
        let deadline = Instant::now() + within;
        loop {
            let mut changed = self.board.changes();
            if let Some(case) = self.client.prove_case(id, deadline).await?
                && phases.contains(&case.phase)
            {
                return Ok(case);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, changed.changed()).await.is_err() {
                let phases: Vec<_> = phases.iter().map(|phase| phase.as_str()).collect();
                return Err(StageError::TooSlow {
                    what: format!("case {id} becoming {}", phases.join(" or ")),
                    seconds: within.as_secs(),
                });
            }
        }
    }

    /// The identifier of a patient.
    ///
    /// # Errors
    /// [`StageError::NoSuchActor`].
    pub fn patient_id(&self, n: u16) -> Result<PatientId, StageError> {
        let name = ActorName::Patient(n);
        self.cluster
            .patient(n)
            .ok_or(StageError::NoSuchActor { name })
    }

    /// The identifier of a hospital.
    ///
    /// # Errors
    /// [`StageError::NoSuchActor`].
    pub fn hospital_id(&self, n: u16) -> Result<HospitalId, StageError> {
        let name = ActorName::Hospital(n);
        self.cluster
            .hospital(n)
            .ok_or(StageError::NoSuchActor { name })
    }

    async fn ask<A, M>(&self, to: ActorName, message: M) -> Result<M::Result, StageError>
    where
        A: actix::Actor<Context = actix::Context<A>>
            + actix::Handler<kithkin_actors::ports::network::Delivered<M>>,
        M: actix::Message + Clone + Send + 'static,
        M::Result: Send,
    {
        let deadline = Instant::now() + STEP_WITHIN;
        self.driver
            .ask_until::<A, M>(to, message, STEP_WITHIN, deadline)
            .await
            .map_err(|error| self.name_error(error))
    }

    async fn ask_once<A, M>(&self, to: ActorName, message: M) -> Result<M::Result, StageError>
    where
        A: actix::Actor<Context = actix::Context<A>>
            + actix::Handler<kithkin_actors::ports::network::Delivered<M>>,
        M: actix::Message + Send + 'static,
        M::Result: Send,
    {
        self.ask_for::<A, M>(to, message, Duration::ZERO).await
    }

    /// Asks for something that may last `within`: the actor answers by itself when that is over.
    async fn ask_for<A, M>(
        &self,
        to: ActorName,
        message: M,
        within: Duration,
    ) -> Result<M::Result, StageError>
    where
        A: actix::Actor<Context = actix::Context<A>>
            + actix::Handler<kithkin_actors::ports::network::Delivered<M>>,
        M: actix::Message + Send + 'static,
        M::Result: Send,
    {
        self.driver
            .ask::<A, M>(to, message, within + STEP_WITHIN)
            .await
            .map_err(|error| self.name_error(error))
    }

    /// Tells "there is no such actor" from "it does not answer now".
    fn name_error(&self, error: AskError) -> StageError {
        let name = error.to;
        if self.cluster.setting().directory.account(name).is_none() {
            StageError::NoSuchActor { name }
        } else {
            StageError::Ask(error)
        }
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
