//! The ledger's own rules over the transactions of a patient's cases, without the rest of the chain: for those who check
//! afterwards what happened ([`crate::audit`]).
//!
//! Whoever replays knows the patient's entry, the rosters of the epochs in which cases were opened and who is accredited, and
//! hands in the cases' transactions in order. Time passes as in a block: what a case does by itself depends on its
//! deadlines alone, so blocks between may be left out.

use super::Run;
use crate::crypto::Digest;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, PatientId};
use crate::ledger::enrolment::Enrolment;
use crate::ledger::event::{Effects, Rejection};
use crate::ledger::genesis::Genesis;
use crate::ledger::patient::Patient;
use crate::ledger::state::{Hospital, Meta, State};
use crate::ledger::transaction::{SignedTransaction, TxBody};
use crate::units::{Epoch, Height, Millis};
use std::collections::BTreeMap;

/// A state that knows one patient and nothing but what is handed in.
pub(crate) struct Replay {
    state: State,
    run: Run,
    id: PatientId,
    patient: Patient,
    rosters: BTreeMap<Epoch, Enrolment>,
    hospitals: Vec<Hospital>,
}

impl Replay {
    /// A ledger with this patient alone, nobody accredited, no case. `rosters` holds what was in force in each epoch in
    /// which a case was opened.
    pub(crate) fn new(
        genesis: &Genesis,
        meta: &Meta,
        id: PatientId,
        patient: &Patient,
        rosters: BTreeMap<Epoch, Enrolment>,
    ) -> Self {
        let nobody = Genesis {
            hospitals: Vec::new(),
            reviewers: Vec::new(),
            ..genesis.clone()
        };
        let mut state = State::genesis(&nobody);
        state.meta.put((), meta.clone());
        let mut fresh = Patient {
            live_cases: 0,
            case_log: (Digest::ZERO, 0),
            ..patient.clone()
        };
        if let Some((epoch, enrolment)) = rosters.first_key_value() {
            (fresh.epoch, fresh.enrolment) = (*epoch, enrolment.clone());
        }
        state.patients.put(id, fresh);
        let run = Run::new(Height(0), genesis.time_ms, state.standings().clone());
        Self {
            state,
            run,
            id,
            patient: patient.clone(),
            rosters,
            hospitals: Vec::new(),
        }
    }

    /// A hospital may request.
    pub(crate) fn accredit(&mut self, hospital: &Hospital) {
        let entry = Hospital {
            suspended_until_ms: Millis(0),
            ..hospital.clone()
        };
        self.state.hospitals.put(hospital.info.id(), entry.clone());
        self.hospitals.push(entry);
    }

    /// A reviewer may judge.
    pub(crate) fn accredit_reviewer(&mut self, id: AccountId) {
        self.state.reviewers.put(id, ());
    }

    /// Goes to a later block: time passes, and nothing else yet. Within a block it stands still.
    pub(crate) fn begin(&mut self, height: Height, now: Millis) {
        if height == self.run.height {
            return;
        }
        (self.run.height, self.run.now) = (height, now);
        self.state.pass_time_of_cases(&mut self.run);
        // Nobody follows.
        self.run.effects = Effects::default();
    }

    /// Executes a transaction that stands at this place of the present block.
    ///
    /// # Errors
    /// [`Rejection`] when the rules refuse it; no case changes.
    pub(crate) fn apply(
        &mut self,
        index: u32,
        transaction: &SignedTransaction,
    ) -> Result<(), Rejection> {
        let cause = (transaction.id(), index);
        let body = &transaction.content.body;
        let signer = transaction.account();
        match body {
            TxBody::Request(request) => self.turn_to(request.epoch),
            TxBody::Veto { .. } => self.speak_by(signer),
            _ => {}
        }
        self.state.run_body(&mut self.run, signer, cause, body)?;
        if matches!(body, TxBody::Review { .. }) {
            // Whether a verdict suspends depends on who had a validator then, which is not known here.
            for entry in &self.hospitals {
                self.state.hospitals.put(entry.info.id(), entry.clone());
            }
        }
        Ok(())
    }

    /// The case as it stands now.
    pub(crate) fn case(&self, id: CaseId) -> Option<&Case> {
        self.state.case(id)
    }

    /// The roster of another epoch takes over: a later one, and not while a case is live.
    fn turn_to(&mut self, epoch: Epoch) {
        let Some(entry) = self.state.patients.get(&self.id) else {
            return;
        };
        if let Some(enrolment) = self.rosters.get(&epoch)
            && epoch > entry.epoch
            && entry.live_cases == 0
        {
            let next = Patient {
                epoch,
                enrolment: enrolment.clone(),
                ..entry.clone()
            };
            self.state.patients.put(self.id, next);
        }
    }

    /// A device that speaks for the patient at the head, or did before, is taken for the one that spoke then.
    fn speak_by(&mut self, device: AccountId) {
        if let Some(entry) = self.state.patients.get(&self.id)
            && self.patient.has_had_device(device)
        {
            let next = Patient {
                device,
                ..entry.clone()
            };
            self.state.patients.put(self.id, next);
        }
    }
}
