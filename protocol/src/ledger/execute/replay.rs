//! The ledger's own rules over the transactions of one case, without the rest of the chain: for those who check afterwards
//! what happened ([`crate::audit`]).
//!
//! Whoever replays knows the patient's entry and who is accredited, and hands in the case's transactions in order. Time passes as
//! in a block: what a case does by itself depends on its deadlines alone, so blocks between may be left out.

use super::Run;
use crate::crypto::Digest;
use crate::emergency::Case;
use crate::ids::{AccountId, CaseId, PatientId};
use crate::ledger::event::{Effects, Rejection};
use crate::ledger::genesis::Genesis;
use crate::ledger::state::{Hospital, Meta, Patient, State};
use crate::ledger::transaction::SignedTransaction;
use crate::units::{Height, Millis};

/// A state that knows one patient and nothing of other cases.
pub(crate) struct Replay {
    state: State,
    run: Run,
}

impl Replay {
    /// A ledger with this patient alone, nobody accredited, no case.
    pub(crate) fn new(genesis: &Genesis, meta: &Meta, id: PatientId, patient: &Patient) -> Self {
        let nobody = Genesis {
            hospitals: Vec::new(),
            reviewers: Vec::new(),
            ..genesis.clone()
        };
        let mut state = State::genesis(&nobody);
        state.meta.put((), meta.clone());
        let fresh = Patient {
            live_cases: 0,
            case_log: (Digest::ZERO, 0),
            ..patient.clone()
        };
        state.patients.put(id, fresh);
        let run = Run::new(Height(0), genesis.time_ms, state.standings().clone());
        Self { state, run }
    }

    /// A hospital may request. What it was suspended for came later, or is over.
    pub(crate) fn accredit(&mut self, hospital: &Hospital) {
        let entry = Hospital {
            suspended_until_ms: Millis(0),
            ..hospital.clone()
        };
        self.state.hospitals.put(hospital.info.id(), entry);
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
        self.state.pass_time(&mut self.run);
        // Nobody follows.
        self.run.effects = Effects::default();
    }

    /// Executes a transaction that stands at this place of the present block.
    ///
    /// # Errors
    /// [`Rejection`] when the rules refuse it; nothing changes.
    pub(crate) fn apply(
        &mut self,
        index: u32,
        transaction: &SignedTransaction,
    ) -> Result<(), Rejection> {
        let cause = (transaction.id(), index);
        let body = &transaction.content.body;
        let signer = transaction.account();
        self.state.run_body(&mut self.run, signer, cause, body)
    }

    /// The case as it stands now.
    pub(crate) fn case(&self, id: CaseId) -> Option<&Case> {
        self.state.case(id)
    }
}
