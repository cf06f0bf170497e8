//! How a block changes the state: time passes, credit moves, then the transactions in order.
//!
//! A block is valid when every envelope in it is: chain, signature, sequence,
//! deadline, a known signer. What a body asks for may still be refused; then
//! only the sequence number is used up and the refusal is an event.

mod case;
mod consent;
mod drill;
mod govern;
mod limits;
mod replay;
mod review;
mod roster;
mod rules;
mod second;
mod slots;
mod upload;

pub(crate) use replay::Replay;

pub use case::{LIVE_CASES_MAX, LIVE_CASES_PER_HOSPITAL_MAX};
pub use drill::duties;
pub(super) use limits::{AttemptKey, Attempts};
pub use limits::{
    REQUESTS_PER_HOSPITAL_MAX, REQUESTS_PER_PATIENT_MAX, RequestLimit, URGENT_PER_HOSPITAL_MAX,
    URGENT_PER_PATIENT_MAX,
};
pub use review::SUSPENSION_MS;
pub use upload::OrderError;

use crate::credit::Standings;
use crate::crypto::{Digest, VerifyingKey};
use crate::emergency::CaseError;
use crate::ids::{AccountId, CaseId, HospitalId, KinId, PatientId, TxId};
use crate::ledger::BlockError;
use crate::ledger::block::Block;
use crate::ledger::enrolment::{Enrolment, EnrolmentError};
use crate::ledger::event::{Effects, Event, Rejection, What};
use crate::ledger::genesis::Workload;
use crate::ledger::lookup::TxSet;
use crate::ledger::patient::{Drill, Era, Patient};
use crate::ledger::sequence::{SequenceError, SequenceWindow};
use crate::ledger::state::{Meta, State};
use crate::ledger::transaction::{
    OPAQUE_BYTES_MAX, SignedTransaction, TRANSACTION_BYTES_MAX, TxBody, VALIDITY_MS_MAX,
};
use crate::units::{Height, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// An envelope that no block may contain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Meant for another ledger.
    #[error("the transaction is meant for ledger {found}, this is {expected}")]
    Chain {
        /// What it names.
        found: crate::ids::ChainId,
        /// This ledger.
        expected: crate::ids::ChainId,
    },
    /// Larger than allowed.
    #[error("the transaction has {bytes} bytes; at most {TRANSACTION_BYTES_MAX} are allowed")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// The signature does not hold.
    #[error("the signature of transaction {id} does not hold")]
    Signature {
        /// The transaction.
        id: TxId,
    },
    /// Its time is over.
    #[error("the transaction was valid until {until}; block time is {now}")]
    Expired {
        /// Its last valid time.
        until: Millis,
        /// Block time.
        now: Millis,
    },
    /// It asks to stay valid for too long.
    #[error(
        "the transaction asks to stay valid until {until}; at most a day from {now} is allowed"
    )]
    ValidTooLong {
        /// Its last valid time.
        until: Millis,
        /// Block time.
        now: Millis,
    },
    /// Its sequence number cannot be used.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// Not what this ledger is for.
    #[error("a ledger for {workload} takes no such transaction")]
    Workload {
        /// What it is for.
        workload: Workload,
    },
    /// An opaque payload that is too large.
    #[error("the opaque payload has {bytes} bytes; at most {OPAQUE_BYTES_MAX} are allowed")]
    OpaqueTooLong {
        /// Its size.
        bytes: usize,
    },
    /// The block holds it already.
    #[error("the block holds transaction {id} twice")]
    Twice {
        /// The transaction.
        id: TxId,
    },
    /// Nobody on this ledger has that key.
    #[error("{signer} is not known to this ledger")]
    UnknownSigner {
        /// The signer.
        signer: AccountId,
    },
}

impl EnvelopeError {
    /// Whether the transaction was never valid on this ledger, and never will be.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Chain { .. }
            | Self::TooLong { .. }
            | Self::Signature { .. }
            | Self::Workload { .. }
            | Self::OpaqueTooLong { .. } => true,
            Self::Expired { .. }
            | Self::ValidTooLong { .. }
            | Self::Sequence(_)
            | Self::Twice { .. }
            | Self::UnknownSigner { .. } => false,
        }
    }
}

impl State {
    /// Checks an envelope, all but the signature, as of block time `now`.
    pub(crate) fn check_envelope(
        &self,
        transaction: &SignedTransaction,
        now: Millis,
    ) -> Result<(), EnvelopeError> {
        self.check_content(transaction, now)?;
        if self.meta().workload == Workload::OpaqueUnsigned {
            return Ok(());
        }
        let window = self.sequences(transaction.account());
        Ok(window.check(transaction.content.sequence)?)
    }

    /// Checks an envelope, all but signature and sequence, as of block time `now`.
    pub(crate) fn check_content(
        &self,
        transaction: &SignedTransaction,
        now: Millis,
    ) -> Result<(), EnvelopeError> {
        let content = &transaction.content;
        let meta = self.meta();
        let expected = meta.chain;
        if content.chain != expected {
            let found = content.chain;
            return Err(EnvelopeError::Chain { found, expected });
        }
        let bytes = transaction.encoded_len();
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(EnvelopeError::TooLong { bytes });
        }
        let until = content.valid_until_ms;
        if until < now {
            return Err(EnvelopeError::Expired { until, now });
        }
        if until > now.plus(VALIDITY_MS_MAX.0) {
            return Err(EnvelopeError::ValidTooLong { until, now });
        }
        check_workload(meta.workload, transaction)?;
        if meta.workload == Workload::OpaqueUnsigned {
            return Ok(());
        }
        let signer = transaction.account();
        let allowed = self.knows(signer)
            || self.is_sponsored(signer.into(), &content.body)
            || self.is_governor(&content.signer, &content.body);
        if !allowed {
            return Err(EnvelopeError::UnknownSigner { signer });
        }
        Ok(())
    }

    /// Checks the signature, as far as this ledger asks for one.
    pub(crate) fn check_signature(
        &self,
        transaction: &SignedTransaction,
    ) -> Result<(), EnvelopeError> {
        if self.meta().workload == Workload::OpaqueUnsigned {
            // The envelope's check has seen that there is none.
            return Ok(());
        }
        transaction.verify().map_err(|_| EnvelopeError::Signature {
            id: transaction.id(),
        })
    }

    /// Whether nobody has the key, or ever had it and lost its accreditation.
    fn is_free(&self, account: AccountId) -> bool {
        !self.knows(account) && !self.issuers.contains(&account) && !self.revoked.contains(&account)
    }

    /// Whether `account` has a role that signs transactions.
    fn knows(&self, account: AccountId) -> bool {
        let kin = KinId::from(account);
        self.hospitals.contains(&account.into())
            || self.devices.contains(&account)
            || self.reviewers.contains(&account)
            || self
                .kin
                .range((kin, PatientId([0; 32]))..=(kin, PatientId([0xff; 32])))
                .next()
                .is_some()
    }

    /// A newcomer may send one thing: an enrolment that an accredited hospital has vouched for. The signature is checked
    /// here already, so that strangers cannot fill blocks and state with attempts.
    fn is_sponsored(&self, patient: PatientId, body: &TxBody) -> bool {
        matches!(body, TxBody::Enrol(enrolment) if self.vouches(patient, enrolment))
    }

    /// Validators may hand in what they have decided, with their vote keys, and nothing else.
    fn is_governor(&self, signer: &VerifyingKey, body: &TxBody) -> bool {
        matches!(body, TxBody::Governance(_))
            && self
                .standings()
                .validators()
                .iter()
                .any(|info| info.vote_key == *signer)
    }

    fn vouches(&self, patient: PatientId, enrolment: &Enrolment) -> bool {
        self.hospitals
            .get(&enrolment.sponsor)
            .is_some_and(|hospital| {
                let digest = enrolment.digest(self.meta().chain, patient);
                let message = Enrolment::sponsorship(&digest);
                let signature = &enrolment.sponsor_signature;
                hospital.info.key.verify(&message, signature).is_ok()
            })
    }

    /// Executes a block whose header has been checked.
    pub(crate) fn execute(&mut self, block: &Block) -> Result<Effects, BlockError> {
        let header = &block.header;
        let mut run = Run::new(header.height, header.time_ms, self.standings().clone());
        run.effects.credit = run.standings.apply(header, block.id());
        // All of them on the state that their master chose them on. Who may speak can change within the block: then what is
        // asked for is refused, and the block stands all the same.
        for (index, transaction) in block.transactions.iter().enumerate() {
            self.check_content(transaction, run.now)
                .map_err(|source| BlockError::Envelope { index, source })?;
        }
        self.pass_time(&mut run);
        for (index, transaction) in block.transactions.iter().enumerate() {
            self.run_transaction(&mut run, transaction, index)
                .map_err(|source| BlockError::Envelope { index, source })?;
        }
        for (account, window) in run.windows {
            self.accounts.put(account, window);
        }
        if self
            .electorate
            .get(&())
            .is_none_or(|stored| !run.standings.is_electorate(stored))
        {
            self.electorate.put((), run.standings.electorate());
        }
        self.standings.put((), run.standings);
        let meta = Meta {
            height: header.height,
            head: block.id(),
            time_ms: header.time_ms,
            ..self.meta().clone()
        };
        self.meta.put((), meta);
        run.effects.writes = self.drain();
        Ok(run.effects)
    }

    /// Moves every case and every grant whose deadline has come.
    fn pass_time(&mut self, run: &mut Run) {
        self.forget_attempts(run.now);
        self.pass_time_of_cases(run);
        self.pass_time_of_rosters(run);
        self.expire_grants(run);
    }

    /// Moves every case whose deadline has come.
    fn pass_time_of_cases(&mut self, run: &mut Run) {
        let due: Vec<(Millis, CaseId)> = self
            .deadlines
            .range(..=(run.now, CaseId([0xff; 32])))
            .map(|(key, ())| *key)
            .collect();
        for (_, id) in due {
            if let Some(case) = self.cases.get(&id) {
                let mut next = case.clone();
                let steps = next.on_time(run.now);
                self.put_case(run, None, next, &steps);
            }
        }
    }

    /// The patient's device stops a case.
    fn veto(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        id: CaseId,
    ) -> Result<(), Rejection> {
        let patient = self
            .cases
            .get(&id)
            .ok_or(Rejection::UnknownCase { case: id })?
            .patient();
        if !self.speaks_for(signer, patient) {
            return Err(CaseError::NotAllowed { role: "patient" }.into());
        }
        let now = run.now;
        self.step(run, cause, id, |case| case.on_veto(patient, now))
    }

    fn run_transaction(
        &mut self,
        run: &mut Run,
        transaction: &SignedTransaction,
        index: usize,
    ) -> Result<(), EnvelopeError> {
        if self.meta().workload == Workload::OpaqueUnsigned {
            let id = transaction.id();
            let fresh = run.unsigned.insert(id);
            return fresh.then_some(()).ok_or(EnvelopeError::Twice { id });
        }
        let signer = transaction.account();
        let window = run
            .windows
            .entry(signer)
            .or_insert_with(|| self.sequences(signer));
        window.take(transaction.content.sequence)?;
        // A block of 4 MiB holds far fewer transactions than a u32 counts.
        let cause = (transaction.id(), u32::try_from(index).unwrap_or(u32::MAX));
        if let Err(reason) = self.run_body(run, signer, cause, &transaction.content.body) {
            run.emit(Some(cause), What::Rejected { signer, reason });
        }
        Ok(())
    }

    fn run_body(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        body: &TxBody,
    ) -> Result<(), Rejection> {
        let now = run.now;
        match body {
            TxBody::Enrol(enrolment) => self.enrol(run, signer.into(), cause, enrolment),
            TxBody::Batch { header, receipts } => {
                self.put_batch(run, signer, cause, header, receipts)
            }
            TxBody::Erase { batch } => Ok(self.order_erasure(run, signer, cause, *batch)?),
            TxBody::Restock { batch, receipts } => {
                self.restock(run, signer, cause, *batch, receipts)
            }
            TxBody::Request(request) => self.request(run, signer, cause, request),
            TxBody::Approve(approval) => self.step(run, cause, approval.case, |case| {
                case.on_approve(signer.into(), approval, now)
            }),
            TxBody::Refuse { case, reason } => self.step(run, cause, *case, |case| {
                case.on_refuse(signer.into(), *reason, now)
            }),
            TxBody::Veto { case } => self.veto(run, signer, cause, *case),
            TxBody::Roster { patient, step } => {
                self.roster_step(run, signer, cause, *patient, step)
            }
            TxBody::Release { case, digest } => self.step(run, cause, *case, |case| {
                case.on_release(signer.into(), *digest, now)
            }),
            TxBody::Read {
                case,
                tier,
                records,
                ..
            } => self.step(run, cause, *case, |case| {
                case.on_read(signer.into(), (*tier, *records), now)
            }),
            TxBody::Close { case } => {
                self.step(run, cause, *case, |case| case.on_close(signer.into(), now))
            }
            TxBody::Governance(governance) => Ok(self.govern(run, cause, governance)?),
            // The envelope is all there is to it.
            TxBody::Opaque(_) => Ok(()),
            TxBody::Grant(deed) => self.grant_access(run, signer, cause, deed),
            TxBody::Renew(renewal) => self.renew_grant(run, signer, cause, renewal),
            TxBody::Revoke { grant } => self.revoke_grant(run, signer, cause, *grant),
            TxBody::GrantRead {
                grant,
                tier,
                records,
                ..
            } => self.read_grant(run, signer, cause, (*grant, *tier, *records)),
            TxBody::Review { case, verdict } => self.review(run, signer, cause, *case, *verdict),
        }
    }

    fn enrol(
        &mut self,
        run: &mut Run,
        patient: PatientId,
        cause: (TxId, u32),
        enrolment: &Enrolment,
    ) -> Result<(), Rejection> {
        if self.patients.contains(&patient) || self.devices.contains(&patient.into()) {
            return Err(Rejection::AlreadyEnrolled { patient });
        }
        enrolment.check_shape(patient)?;
        let digest = enrolment.digest(self.meta().chain, patient);
        enrolment.check_acceptances(&digest)?;
        // Someone who is known in another role comes here without having been vouched for as a patient.
        if !self.vouches(patient, enrolment) {
            let sponsor = enrolment.sponsor;
            return Err(EnrolmentError::Sponsor { sponsor }.into());
        }
        for member in enrolment.members() {
            self.kin.put((member.id(), patient), ());
        }
        let rules = enrolment.rules;
        let drill = Drill {
            due_ms: run.now.plus(rules.drill_every_ms.0),
            ..Drill::default()
        };
        self.devices.put(patient.into(), patient);
        let entry = Patient {
            epoch: Enrolment::EPOCH,
            second_epoch: Enrolment::EPOCH,
            second_worn: false,
            rules_epoch: Enrolment::EPOCH,
            signed: digest,
            enrolment: enrolment.clone(),
            live_cases: 0,
            device: patient.into(),
            roster_since: Enrolment::EPOCH,
            resigned: BTreeSet::new(),
            unheard: BTreeMap::new(),
            case_log: (Digest::ZERO, 0),
            former_devices: Vec::new(),
            exposed: None,
            is_recovering: false,
            rewrapped: None,
            refresh_due_ms: run.now.plus(rules.refresh_every_ms.0),
            wants_refresh: false,
            drill,
            eras: Era::of(&enrolment.roster)
                .into_iter()
                .map(|era| (Enrolment::EPOCH, era))
                .collect(),
        };
        self.put_roster(patient, entry, None);
        run.emit(Some(cause), What::Enrolled { patient });
        Ok(())
    }

    fn require_hospital(&self, signer: AccountId) -> Result<HospitalId, Rejection> {
        let hospital = HospitalId::from(signer);
        if self.hospitals.contains(&hospital) {
            Ok(hospital)
        } else {
            Err(Rejection::NotHospital { signer })
        }
    }
}

/// Checks that a transaction is of the kind that the ledger is for.
fn check_workload(
    workload: Workload,
    transaction: &SignedTransaction,
) -> Result<(), EnvelopeError> {
    let fits = match (workload, &transaction.content.body) {
        (Workload::Records, TxBody::Opaque(_)) => false,
        (Workload::Records | Workload::Opaque, _) => true,
        (Workload::OpaqueUnsigned, TxBody::Opaque(_)) => transaction.is_unsigned(),
        (Workload::OpaqueUnsigned, _) => false,
    };
    if !fits {
        return Err(EnvelopeError::Workload { workload });
    }
    match &transaction.content.body {
        TxBody::Opaque(payload) if payload.len() > OPAQUE_BYTES_MAX => {
            let bytes = payload.len();
            Err(EnvelopeError::OpaqueTooLong { bytes })
        }
        _ => Ok(()),
    }
}

/// What is under way while a block is executed.
struct Run {
    height: Height,
    now: Millis,
    effects: Effects,
    standings: Standings,
    /// Transactions without a sender: each once.
    unsigned: TxSet,
    /// Sequence numbers of those who have signed something so far; written back at the end.
    windows: BTreeMap<AccountId, SequenceWindow>,
}

impl Run {
    fn new(height: Height, now: Millis, standings: Standings) -> Self {
        Self {
            height,
            now,
            effects: Effects::default(),
            standings,
            unsigned: TxSet::default(),
            windows: BTreeMap::new(),
        }
    }

    fn emit(&mut self, cause: Option<(TxId, u32)>, what: What) {
        self.effects.events.push(Event {
            height: self.height,
            time_ms: self.now,
            cause,
            what,
        });
    }
}
