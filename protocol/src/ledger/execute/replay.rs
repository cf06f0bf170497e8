//! The ledger's own rules over the transactions of a patient's cases, without the rest of the chain: for those who check
//! afterwards what happened ([`crate::audit`]).
//!
//! Whoever replays knows the patient's entry, the rosters of the epochs in which cases were opened and who is accredited, and
//! hands in the cases' transactions in order. Time passes as in a block: what a case does by itself depends on its
//! deadlines alone, so blocks between may be left out.

use super::Run;
use crate::crypto::Digest;
use crate::emergency::{Case, Request};
use crate::ids::{AccountId, CaseId, ChainId, PatientId, TxId};
use crate::ledger::accreditation::{Accredited, Register, ReviewerInfo, Role};
use crate::ledger::enrolment::Enrolment;
use crate::ledger::epochs::Epochs;
use crate::ledger::event::{Effects, Rejection};
use crate::ledger::genesis::{Genesis, HospitalInfo};
use crate::ledger::governance::{Clause, Governance};
use crate::ledger::patient::Patient;
use crate::ledger::state::{Meta, State};
use crate::ledger::transaction::{SignedTransaction, TxBody};
use crate::units::{Height, Millis};
use std::collections::BTreeMap;

/// A state that knows one patient and nothing but what is handed in.
pub(crate) struct Replay {
    state: State,
    run: Run,
    id: PatientId,
    patient: Patient,
    rosters: BTreeMap<Epochs, Enrolment>,
    /// In which of them each case was opened.
    opened: BTreeMap<CaseId, Epochs>,
    hospitals: Vec<HospitalInfo>,
    /// Who was revoked, and where.
    revoked: Vec<(Height, Role, AccountId)>,
    issuers_since: Option<Height>,
}

impl Replay {
    /// A ledger with this patient alone, nobody accredited, no case. `rosters` holds what was in force when each case was
    /// `opened`.
    pub(crate) fn new(
        genesis: &Genesis,
        meta: &Meta,
        (id, patient): (PatientId, &Patient),
        rosters: BTreeMap<Epochs, Enrolment>,
        opened: BTreeMap<CaseId, Epochs>,
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
        if let Some((epochs, enrolment)) = rosters.first_key_value() {
            fresh.enter(*epochs, enrolment);
        }
        state.patients.put(id, fresh);
        let run = Run::new(Height(0), genesis.time_ms, state.standings().clone());
        Self {
            state,
            run,
            id,
            patient: patient.clone(),
            rosters,
            opened,
            hospitals: Vec::new(),
            revoked: Vec::new(),
            issuers_since: None,
        }
    }

    /// Somebody is accredited, from before the first transaction until it was revoked.
    pub(crate) fn accredit(&mut self, party: Accredited, until: Option<Height>) {
        if let Some(until) = until {
            self.revoked.push((until, party.role(), party.account()));
        }
        let party = match party {
            Accredited::Hospital(info) => {
                self.hospitals.push(info.clone());
                Accredited::Hospital(info)
            }
            Accredited::Issuer(info) => Accredited::Issuer(info),
            // Reviewers may come back from another workplace; which one it was then is not known here.
            Accredited::Reviewer(info) => Accredited::Reviewer(ReviewerInfo {
                hospital: None,
                ..info
            }),
        };
        self.state.enter(party);
    }

    /// Where the first issuer of credentials was accredited. Before, hospitals vouched for their own clinicians.
    pub(crate) fn issuers_since(&mut self, since: Option<Height>) {
        self.issuers_since = since;
    }

    /// Goes to a later block: time passes, and nothing else yet. Within a block it stands still.
    pub(crate) fn begin(&mut self, height: Height, now: Millis) {
        if height == self.run.height {
            return;
        }
        for (_, role, account) in self.revoked.iter().filter(|(until, ..)| *until < height) {
            self.state.strike(*role, *account);
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
            TxBody::Request(request) => {
                self.turn_to(CaseId(cause.0.0));
                self.ask_issuers(signer, request);
            }
            TxBody::Governance(governance) => {
                self.amend(cause, governance);
                return Ok(());
            }
            TxBody::Veto { .. } => self.speak_by(signer),
            _ => {}
        }
        self.state.run_body(&mut self.run, signer, cause, body)?;
        if matches!(body, TxBody::Review { .. }) {
            // Whether a verdict suspends depends on who had a validator then, which is not known here.
            for info in &self.hospitals {
                if self.state.hospitals.contains(&info.id()) {
                    self.state.enter(Accredited::Hospital(info.clone()));
                }
            }
        }
        Ok(())
    }

    /// The ledger.
    pub(crate) fn chain(&self) -> ChainId {
        self.state.meta().chain
    }

    /// The case as it stands now.
    pub(crate) fn case(&self, id: CaseId) -> Option<&Case> {
        self.state.case(id)
    }

    /// An adopted amendment, as far as it ends cases. Whoever replays has checked that a quorum has signed it.
    fn amend(&mut self, cause: (TxId, u32), governance: &Governance) {
        for clause in &governance.amendment.changes {
            if let Clause::Revoke { role, account } = clause {
                self.state.strike(*role, *account);
                self.state.end_cases(&mut self.run, cause, *role, *account);
            }
        }
        self.run.effects = Effects::default();
    }

    /// Whether hospitals still vouched for their own. In the very block of the first issuer the request itself tells.
    fn ask_issuers(&mut self, signer: AccountId, request: &Request) {
        let credential = request.credential.as_ref();
        let own = credential.is_some_and(|credential| credential.issuer == signer);
        let height = self.run.height;
        let since = self.issuers_since;
        let issuers_since = since.filter(|since| height > *since || (height == *since && !own));
        let register = Register {
            issuers_since,
            ..self.state.register()
        };
        self.state.register.put((), register);
    }

    /// What was in force when a case was opened takes over: of later epochs, and other shares not while another case is live.
    /// Rules may change meanwhile, and then nothing else.
    fn turn_to(&mut self, case: CaseId) {
        let Some(entry) = self.state.patients.get(&self.id) else {
            return;
        };
        let present = entry.epochs();
        if let Some(epochs) = self.opened.get(&case).copied()
            && let Some(enrolment) = self.rosters.get(&epochs)
            && epochs.first >= present.first
            && epochs.second >= present.second
            && epochs.rules >= present.rules
            && epochs != present
            && (entry.live_cases == 0 || is_same_but_rules(entry, epochs, enrolment))
        {
            let mut next = entry.clone();
            next.enter(epochs, enrolment);
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

impl Patient {
    /// What was in force in these epochs takes over.
    fn enter(&mut self, epochs: Epochs, enrolment: &Enrolment) {
        (self.epoch, self.second_epoch) = (epochs.first, epochs.second);
        self.rules_epoch = epochs.rules;
        self.enrolment = enrolment.clone();
    }
}

/// Whether roster and sharings of both circles stay as they are.
fn is_same_but_rules(entry: &Patient, epochs: Epochs, enrolment: &Enrolment) -> bool {
    (epochs.first, epochs.second) == (entry.epoch, entry.second_epoch)
        && enrolment.has_shares_of(&entry.enrolment)
        && enrolment.second == entry.enrolment.second
}
