//! What the ledger knows: the tables of the state after one height.
//!
//! Cloning is cheap, so a block is tried on a copy. How a block changes the
//! state is in [`super::execute`].

use crate::consent::Grant;
use crate::credit::{Electorate, Standings};
use crate::crypto::group::PointBytes;
use crate::emergency::Case;
use crate::ids::{
    AccountId, BatchId, BlockId, CaseId, ChainId, GrantId, HospitalId, KinId, PatientId,
};
use crate::ledger::SignedTransaction;
use crate::ledger::accreditation::{Accredited, IssuerInfo, Register, ReviewerInfo, Revoked};
use crate::ledger::enrolment::Enrolment;
use crate::ledger::epochs::Epochs;
use crate::ledger::execute::{AttemptKey, Attempts};
use crate::ledger::genesis::{Genesis, HospitalInfo, Workload};
use crate::ledger::lookup::TxSet;
use crate::ledger::patient::Patient;
use crate::ledger::sequence::SequenceWindow;
use crate::ledger::table::{Table, Write};
use crate::record::BatchHeader;
use crate::roster::Handover;
use crate::units::{Height, Millis, Tier};
use crate::wire::{self, WireError};
use serde::{Deserialize, Serialize};

/// Where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The ledger.
    pub chain: ChainId,
    /// Height of the last block; 0 before the first.
    pub height: Height,
    /// The last block.
    pub head: BlockId,
    /// Its block time.
    pub time_ms: Millis,
    /// How long after closing a verdict may take.
    pub review_within_ms: Millis,
    /// What the ledger is for.
    pub workload: Workload,
}

/// An accredited hospital.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hospital {
    /// Keys and name.
    pub info: HospitalInfo,
    /// May not request before this time: the price of an unjustified case for a hospital without a validator.
    pub suspended_until_ms: Millis,
}

/// A batch of records as it stands on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    /// The batch: the digest of the header as it was first signed.
    pub id: BatchId,
    /// What the hospital signed; the receipts are those of the latest word on it.
    pub header: BatchHeader,
    /// When the patient ordered it to be erased. Nobody has to show it any more, and no later request reaches it.
    pub ordered_ms: Option<Millis>,
}

/// Where a batch stands: patient, tier, height, place in the block.
pub type BatchPlace = (PatientId, Tier, Height, u32);

/// All tables, each under a tag of its own in the authenticated state.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) meta: Table<(), Meta>,
    pub(crate) standings: Table<(), Standings>,
    pub(crate) accounts: Table<AccountId, SequenceWindow>,
    pub(crate) hospitals: Table<HospitalId, Hospital>,
    pub(crate) reviewers: Table<AccountId, ReviewerInfo>,
    pub(crate) patients: Table<PatientId, Patient>,
    pub(crate) batches: Table<BatchPlace, BatchEntry>,
    pub(crate) batch_places: Table<BatchId, BatchPlace>,
    pub(crate) cases: Table<CaseId, Case>,
    pub(crate) deadlines: Table<(Millis, CaseId), ()>,
    pub(crate) sessions: Table<PointBytes, ()>,
    pub(crate) kin: Table<(KinId, PatientId), ()>,
    pub(crate) patient_cases: Table<(PatientId, Height, u32), CaseId>,
    pub(crate) electorate: Table<(), Electorate>,
    pub(crate) handovers: Table<PatientId, Handover>,
    pub(crate) roster_deadlines: Table<(Millis, PatientId), ()>,
    pub(crate) devices: Table<AccountId, PatientId>,
    /// Rosters, commitments and rules of the epochs in which cases were opened: what was in force then stays provable.
    pub(crate) rosters: Table<(PatientId, Epochs), Enrolment>,
    pub(crate) grants: Table<GrantId, Grant>,
    /// By patient: first those that are live, then those that have ended.
    pub(crate) patient_grants: Table<(PatientId, bool, Height, u32), GrantId>,
    pub(crate) grant_deadlines: Table<(Millis, GrantId), ()>,
    pub(crate) attempts: Table<AttemptKey, Attempts>,
    pub(crate) issuers: Table<AccountId, IssuerInfo>,
    pub(crate) revoked: Table<AccountId, Revoked>,
    pub(crate) register: Table<(), Register>,
}

/// A stored state that cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// An entry cannot be decoded.
    #[error("a stored entry of table {table} cannot be read")]
    Entry {
        /// The table's tag.
        table: u8,
        /// Why.
        #[source]
        source: WireError,
    },
    /// A table that this program does not know, or an empty key.
    #[error("the stored state has an entry of unknown table {table:?}")]
    UnknownTable {
        /// The tag, if there is one.
        table: Option<u8>,
    },
    /// Nothing is stored, or the part that says where the chain stands is missing.
    #[error("the stored state does not say where the chain stands")]
    NoMeta,
}

/// Calls one method on every table.
macro_rules! each_table {
    ($state:expr, $table:ident => $do:expr) => {{
        {
            let $table = &mut $state.meta;
            $do;
        }
        {
            let $table = &mut $state.standings;
            $do;
        }
        {
            let $table = &mut $state.accounts;
            $do;
        }
        {
            let $table = &mut $state.hospitals;
            $do;
        }
        {
            let $table = &mut $state.reviewers;
            $do;
        }
        {
            let $table = &mut $state.patients;
            $do;
        }
        {
            let $table = &mut $state.batches;
            $do;
        }
        {
            let $table = &mut $state.batch_places;
            $do;
        }
        {
            let $table = &mut $state.cases;
            $do;
        }
        {
            let $table = &mut $state.deadlines;
            $do;
        }
        {
            let $table = &mut $state.sessions;
            $do;
        }
        {
            let $table = &mut $state.kin;
            $do;
        }
        {
            let $table = &mut $state.patient_cases;
            $do;
        }
        {
            let $table = &mut $state.electorate;
            $do;
        }
        {
            let $table = &mut $state.handovers;
            $do;
        }
        {
            let $table = &mut $state.roster_deadlines;
            $do;
        }
        {
            let $table = &mut $state.devices;
            $do;
        }
        {
            let $table = &mut $state.rosters;
            $do;
        }
        {
            let $table = &mut $state.grants;
            $do;
        }
        {
            let $table = &mut $state.patient_grants;
            $do;
        }
        {
            let $table = &mut $state.grant_deadlines;
            $do;
        }
        {
            let $table = &mut $state.attempts;
            $do;
        }
        {
            let $table = &mut $state.issuers;
            $do;
        }
        {
            let $table = &mut $state.revoked;
            $do;
        }
        {
            let $table = &mut $state.register;
            $do;
        }
    }};
}

impl State {
    fn empty() -> Self {
        Self {
            meta: Table::new(0),
            standings: Table::new(1),
            accounts: Table::new(2),
            hospitals: Table::new(3),
            reviewers: Table::new(4),
            patients: Table::new(5),
            batches: Table::new(6),
            batch_places: Table::new(7),
            cases: Table::new(8),
            deadlines: Table::new(9),
            sessions: Table::new(10),
            kin: Table::new(11),
            patient_cases: Table::new(12),
            electorate: Table::new(13),
            handovers: Table::new(14),
            roster_deadlines: Table::new(15),
            devices: Table::new(16),
            rosters: Table::new(22),
            grants: Table::new(17),
            patient_grants: Table::new(18),
            grant_deadlines: Table::new(19),
            attempts: Table::new(20),
            issuers: Table::new(23),
            revoked: Table::new(24),
            register: Table::new(25),
        }
    }

    /// The state at height 0. The genesis has been validated.
    pub(crate) fn genesis(genesis: &Genesis) -> Self {
        let mut state = Self::empty();
        state.meta.put(
            (),
            Meta {
                chain: genesis.chain_id(),
                height: Height(0),
                head: BlockId::NONE,
                time_ms: genesis.time_ms,
                review_within_ms: genesis.review_within_ms,
                workload: genesis.workload,
            },
        );
        let standings = Standings::genesis(genesis);
        state.electorate.put((), standings.electorate());
        state.standings.put((), standings);
        let hospitals = genesis.hospitals.iter().cloned();
        let reviewers = genesis.reviewers.iter().cloned();
        let founders = hospitals
            .map(Accredited::Hospital)
            .chain(reviewers.map(Accredited::Reviewer));
        for party in founders {
            state.enter(party);
        }
        state
    }

    /// Builds the state from stored entries.
    pub(crate) fn restore<'a>(
        entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, RestoreError> {
        let mut state = Self::empty();
        for (key, value) in entries {
            let Some((&tag, key)) = key.split_first() else {
                return Err(RestoreError::UnknownTable { table: None });
            };
            state.load(tag, key, value)?;
        }
        if state.meta.get(&()).is_none() || state.standings.get(&()).is_none() {
            return Err(RestoreError::NoMeta);
        }
        Ok(state)
    }

    fn load(&mut self, tag: u8, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let loaded = match tag {
            0 => self.meta.load(key, value),
            1 => self.standings.load(key, value),
            2 => self.accounts.load(key, value),
            3 => self.hospitals.load(key, value),
            4 => self.reviewers.load(key, value),
            5 => self.patients.load(key, value),
            6 => self.batches.load(key, value),
            7 => self.batch_places.load(key, value),
            8 => self.cases.load(key, value),
            9 => self.deadlines.load(key, value),
            10 => self.sessions.load(key, value),
            11 => self.kin.load(key, value),
            12 => self.patient_cases.load(key, value),
            13 => self.electorate.load(key, value),
            14 => self.handovers.load(key, value),
            15 => self.roster_deadlines.load(key, value),
            16 => self.devices.load(key, value),
            22 => self.rosters.load(key, value),
            17 => self.grants.load(key, value),
            18 => self.patient_grants.load(key, value),
            19 => self.grant_deadlines.load(key, value),
            20 => self.attempts.load(key, value),
            23 => self.issuers.load(key, value),
            24 => self.revoked.load(key, value),
            25 => self.register.load(key, value),
            table => return Err(RestoreError::UnknownTable { table: Some(table) }),
        };
        loaded.map_err(|source| RestoreError::Entry { table: tag, source })
    }

    /// Everything that changed since the last call.
    pub(crate) fn drain(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        each_table!(self, table => table.drain(&mut writes));
        writes
    }

    /// All entries as bytes, as they are stored: keys and values, table by table.
    pub fn entries(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let institutions = self.hospitals.entries().chain(self.reviewers.entries());
        let institutions = institutions.chain(self.issuers.entries());
        let register = self.revoked.entries().chain(self.register.entries());
        let batches = self.batches.entries().chain(self.batch_places.entries());
        let cases = self.cases.entries().chain(self.deadlines.entries());
        let kin = self.kin.entries().chain(self.patient_cases.entries());
        let chain = self.meta.entries().chain(self.standings.entries());
        chain
            .chain(self.accounts.entries())
            .chain(institutions)
            .chain(self.patients.entries())
            .chain(batches)
            .chain(cases)
            .chain(self.sessions.entries())
            .chain(kin)
            .chain(self.electorate.entries())
            .chain(self.handovers.entries())
            .chain(self.roster_deadlines.entries())
            .chain(self.devices.entries())
            .chain(self.rosters.entries())
            .chain(self.grants.entries())
            .chain(self.patient_grants.entries())
            .chain(self.grant_deadlines.entries())
            .chain(self.attempts.entries())
            .chain(register)
    }

    /// Where the chain stands.
    #[must_use]
    #[expect(clippy::expect_used, reason = "genesis and restore put the entry in")]
    pub fn meta(&self) -> &Meta {
        self.meta.get(&()).expect("every state has its meta entry")
    }

    /// Validators, credit and seed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "genesis and restore put the entry in")]
    pub fn standings(&self) -> &Standings {
        self.standings
            .get(&())
            .expect("every state has its standings")
    }

    /// An accredited hospital.
    #[must_use]
    pub fn hospital(&self, id: HospitalId) -> Option<&Hospital> {
        self.hospitals.get(&id)
    }

    /// An enrolled patient.
    #[must_use]
    pub fn patient(&self, id: PatientId) -> Option<&Patient> {
        self.patients.get(&id)
    }

    /// The change of a patient's roster that is under way.
    #[must_use]
    pub fn handover(&self, patient: PatientId) -> Option<&Handover> {
        self.handovers.get(&patient)
    }

    /// Rosters, commitments and rules of epochs in which a case was opened.
    #[must_use]
    pub fn roster_of(&self, patient: PatientId, epochs: Epochs) -> Option<&Enrolment> {
        self.rosters.get(&(patient, epochs))
    }

    /// Whom a device speaks for.
    #[must_use]
    pub fn patient_of(&self, device: AccountId) -> Option<PatientId> {
        self.devices.get(&device).copied()
    }

    /// Whether `signer` is the device that speaks for `patient`.
    #[must_use]
    pub fn speaks_for(&self, signer: AccountId, patient: PatientId) -> bool {
        self.patients
            .get(&patient)
            .is_some_and(|entry| entry.device == signer)
    }

    /// The account that `signer` speaks for where `patient` is concerned: the patient's for its present device, nobody's for a
    /// device that was replaced.
    pub(crate) fn party(&self, signer: AccountId, patient: PatientId) -> AccountId {
        if self.speaks_for(signer, patient) {
            patient.into()
        } else if signer == patient.into() {
            AccountId([0; 32])
        } else {
            signer
        }
    }

    /// A case.
    #[must_use]
    pub fn case(&self, id: CaseId) -> Option<&Case> {
        self.cases.get(&id)
    }

    /// Every case, by identifier.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().map(|(_, case)| case)
    }

    /// The cases that will still change: those that are live, those that wait for a verdict, and those after which the second
    /// circle may be asked. By their next deadline; each of them has one.
    pub fn open_cases(&self) -> impl Iterator<Item = &Case> {
        let due = self.deadlines.iter();
        due.filter_map(|((_, id), ())| self.cases.get(id))
    }

    /// The cases of one patient, oldest first.
    pub fn cases_of(&self, patient: PatientId) -> impl Iterator<Item = &Case> {
        self.patient_cases
            .range((patient, Height(0), 0)..=(patient, Height(u64::MAX), u32::MAX))
            .filter_map(|(_, id)| self.cases.get(id))
    }

    /// A batch.
    #[must_use]
    pub fn batch(&self, id: BatchId) -> Option<&BatchEntry> {
        self.batches.get(self.batch_places.get(&id)?)
    }

    /// The batches of one patient and tier up to a height, oldest first.
    pub fn batches_of(
        &self,
        patient: PatientId,
        tier: Tier,
        up_to: Height,
    ) -> impl Iterator<Item = (&BatchPlace, &BatchEntry)> {
        self.batches
            .range((patient, tier, Height(0), 0)..=(patient, tier, up_to, u32::MAX))
    }

    /// Used sequence numbers of a signer.
    #[must_use]
    pub fn sequences(&self, account: AccountId) -> SequenceWindow {
        self.accounts.get(&account).cloned().unwrap_or_default()
    }

    /// Of `candidates`, in order, those that can stand together in a block at time `now` within `bytes`. Their
    /// signatures have been checked when they were taken in.
    #[must_use]
    pub fn select<'a>(
        &self,
        candidates: impl IntoIterator<Item = &'a SignedTransaction>,
        now: Millis,
        bytes: usize,
    ) -> Vec<SignedTransaction> {
        let mut chosen = Vec::new();
        let mut room = bytes;
        let mut windows = std::collections::BTreeMap::new();
        let mut ids = TxSet::default();
        for transaction in candidates {
            let size = transaction.encoded_len();
            if size > room || self.check_envelope(transaction, now).is_err() {
                continue;
            }
            if self.meta().workload == Workload::OpaqueUnsigned {
                if ids.insert(transaction.id()) {
                    room -= size;
                    chosen.push(transaction.clone());
                }
                continue;
            }
            let signer = transaction.account();
            let window = windows
                .entry(signer)
                .or_insert_with(|| self.sequences(signer));
            if window.take(transaction.content.sequence).is_ok() {
                room -= size;
                chosen.push(transaction.clone());
            }
        }
        chosen
    }

    /// Number of enrolled patients.
    #[must_use]
    pub fn patient_count(&self) -> usize {
        self.patients.iter().count()
    }

    /// The key of who votes on the next two heights in the authenticated state.
    #[must_use]
    pub fn electorate_key() -> Vec<u8> {
        Table::<(), Electorate>::new(13).state_key(&())
    }

    /// The key of everything about validators, the [`Standings`], in the authenticated state.
    #[must_use]
    pub fn standings_key() -> Vec<u8> {
        Table::<(), Standings>::new(1).state_key(&())
    }

    /// The key of an accredited hospital in the authenticated state.
    #[must_use]
    pub fn hospital_key(id: HospitalId) -> Vec<u8> {
        Table::<HospitalId, Hospital>::new(3).state_key(&id)
    }

    /// The key of where the chain stands, the [`Meta`], in the authenticated state.
    #[must_use]
    pub fn meta_key() -> Vec<u8> {
        Table::<(), Meta>::new(0).state_key(&())
    }

    /// The key of a case in the authenticated state.
    #[must_use]
    pub fn case_key(id: CaseId) -> Vec<u8> {
        Table::<CaseId, Case>::new(8).state_key(&id)
    }

    /// The key of a patient in the authenticated state.
    #[must_use]
    pub fn patient_key(id: PatientId) -> Vec<u8> {
        Table::<PatientId, Patient>::new(5).state_key(&id)
    }

    /// The key of a patient's handover in the authenticated state.
    #[must_use]
    pub fn handover_key(id: PatientId) -> Vec<u8> {
        Table::<PatientId, Handover>::new(14).state_key(&id)
    }

    /// The key of what was in force in epochs in which a case was opened, in the authenticated state.
    #[must_use]
    pub fn roster_key(id: PatientId, epochs: Epochs) -> Vec<u8> {
        Table::<(PatientId, Epochs), Enrolment>::new(22).state_key(&(id, epochs))
    }

    /// The key of a batch's place in the authenticated state.
    #[must_use]
    pub fn batch_key(place: BatchPlace) -> Vec<u8> {
        Table::<BatchPlace, BatchEntry>::new(6).state_key(&place)
    }

    /// The case that the key of a case names; none when it is the key of something else.
    #[must_use]
    pub fn case_of_key(key: &[u8]) -> Option<CaseId> {
        let (_, encoded) = key.split_first()?;
        let id = wire::decode(encoded).ok()?;
        (Self::case_key(id) == key).then_some(id)
    }

    /// The place that the key of a batch names; none when it is the key of something else.
    #[must_use]
    pub fn batch_place(key: &[u8]) -> Option<BatchPlace> {
        let (_, encoded) = key.split_first()?;
        let place = wire::decode(encoded).ok()?;
        (Self::batch_key(place) == key).then_some(place)
    }

    /// Reads the value of a proved entry.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not what the key promises.
    pub fn decode_value<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, WireError> {
        wire::decode(value)
    }
}
