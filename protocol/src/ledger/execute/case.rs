//! Emergency cases: what opens one, what moves it on, and what is kept beside it.

use super::Run;
use crate::crypto::Digest;
use crate::emergency::{
    Case, CaseError, CaseEvent, Phase, REQUEST_MS_MAX, Request, SCOPE_RECORDS_MAX, SESSION_MS_MAX,
    TierPolicy, Timing, Verdict,
};
use crate::ids::{AccountId, CaseId, HospitalId, TxId};
use crate::ledger::event::{Rejection, What};
use crate::ledger::state::{Patient, State};
use crate::units::Millis;
use std::collections::BTreeMap;

/// Most cases of one patient that are live at once, over all hospitals.
pub const LIVE_CASES_MAX: u16 = 256;

/// Most cases of one patient that one hospital has live at once. A hospital that asks in vain, or to do harm, cannot
/// take the place of another where the emergency is.
pub const LIVE_CASES_PER_HOSPITAL_MAX: usize = 4;

/// How long a hospital without a validator loses its right to request after an unjustified case.
pub const SUSPENSION_MS: Millis = Millis(30 * 24 * 3_600_000);

impl State {
    pub(super) fn open_case(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        request: &Request,
    ) -> Result<(), Rejection> {
        let hospital = self.require_hospital(signer)?;
        let until = self
            .hospitals
            .get(&hospital)
            .map_or(Millis(0), |hospital| hospital.suspended_until_ms);
        if run.now < until {
            return Err(Rejection::Suspended { hospital, until });
        }
        let patient = self
            .patients
            .get(&request.patient)
            .ok_or(Rejection::UnknownPatient {
                patient: request.patient,
            })?;
        if patient.live_cases >= LIVE_CASES_MAX {
            return Err(Rejection::TooManyCases {
                patient: request.patient,
                live: patient.live_cases,
            });
        }
        let theirs = self
            .cases_of(request.patient)
            .filter(|case| case.hospital == hospital && case.phase.is_live())
            .count();
        if theirs >= LIVE_CASES_PER_HOSPITAL_MAX {
            return Err(Rejection::TooManyCases {
                patient: request.patient,
                live: u16::try_from(theirs).unwrap_or(u16::MAX),
            });
        }
        let policies = self.check_request(run, hospital, patient, request)?;
        let threshold = request
            .scopes
            .iter()
            .filter_map(|scope| patient.enrolment.tier(scope.tier))
            .map(|shares| shares.commitments.threshold())
            .max()
            .and_then(|threshold| u16::try_from(threshold).ok())
            .ok_or(Rejection::Request { field: "scope" })?;
        let meta = self.meta();
        let mut case = Case {
            id: CaseId(cause.0.0),
            hospital,
            height: run.height,
            index: cause.1,
            requested_ms: run.now,
            roster: patient.enrolment.roster.iter().map(|m| m.id()).collect(),
            threshold,
            timing: Timing::draw(&policies, request, run.now, meta.review_within_ms),
            request: request.clone(),
            phase: Phase::Requested,
            approvals: BTreeMap::new(),
            refusals: BTreeMap::new(),
            releases: BTreeMap::new(),
            records_read: 0,
            granted_ms: None,
            closed: None,
            review_due_ms: None,
            overdue: false,
            verdict: None,
            log: (Digest::ZERO, 0),
        };
        case.note(cause.0);
        self.sessions.put(request.session.point, ());
        self.patient_cases
            .put((request.patient, run.height, cause.1), case.id);
        let mut patient = patient.clone();
        patient.live_cases += 1;
        self.patients.put(request.patient, patient);
        self.put_case(run, Some(cause), case, &[CaseEvent::Requested]);
        Ok(())
    }

    /// Checks every field of a request and returns the rules of the tiers that it names.
    fn check_request(
        &self,
        run: &Run,
        hospital: HospitalId,
        patient: &Patient,
        request: &Request,
    ) -> Result<Vec<TierPolicy>, Rejection> {
        let chain = self.meta().chain;
        let binding = request.binding(chain, hospital);
        let scopes = &request.scopes;
        let ascending = scopes.is_sorted_by(|a, b| a.tier < b.tier);
        let bounded = scopes.iter().all(|scope| {
            scope.only.len() <= SCOPE_RECORDS_MAX
                && scope.only.is_sorted_by(|a, b| a < b)
                && scope.up_to <= run.height
        });
        let policies: Vec<_> = scopes
            .iter()
            .filter_map(|scope| patient.enrolment.tier(scope.tier))
            .map(|shares| shares.policy)
            .collect();
        let digest = request.digest(chain, hospital);
        let wrong = [
            ("epoch", request.epoch != patient.epoch),
            ("scope", scopes.is_empty() || !ascending || !bounded),
            (
                "tier (the patient has forbidden it)",
                policies.iter().any(|policy| !policy.openable),
            ),
            (
                "expiry",
                request.expires_ms <= run.now
                    || request.expires_ms > run.now.plus(REQUEST_MS_MAX.0),
            ),
            (
                "session length",
                request.session_ms.0 == 0 || request.session_ms > SESSION_MS_MAX,
            ),
            (
                "session point (it was used before)",
                self.sessions.contains(&request.session.point),
            ),
            ("session proof", request.session.verify(&binding).is_err()),
            (
                "clinician's signature",
                request
                    .clinician
                    .verify(digest.as_ref(), &request.clinician_signature)
                    .is_err(),
            ),
        ];
        match wrong.into_iter().find(|(_, wrong)| *wrong) {
            Some((field, _)) => Err(Rejection::Request { field }),
            None => Ok(policies),
        }
    }

    pub(super) fn review(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        id: CaseId,
        verdict: Verdict,
    ) -> Result<(), Rejection> {
        let hospital = self
            .cases
            .get(&id)
            .ok_or(Rejection::UnknownCase { case: id })?
            .hospital;
        if !self.reviewers.contains(&signer) || AccountId::from(hospital) == signer {
            return Err(Rejection::NotReviewer { signer });
        }
        self.step(run, cause, id, |case| case.on_review(verdict))?;
        if verdict == Verdict::Unjustified {
            let changes = run.standings.case_unjustified(hospital);
            // A hospital without a validator has no credit to lose; it loses its right to request for a time.
            if changes.is_empty()
                && let Some(mut entry) = self.hospitals.get(&hospital).cloned()
            {
                entry.suspended_until_ms = run.now.plus(SUSPENSION_MS.0);
                self.hospitals.put(hospital, entry);
            }
            run.effects.credit.extend(changes);
        }
        Ok(())
    }

    pub(super) fn step(
        &mut self,
        run: &mut Run,
        cause: (TxId, u32),
        id: CaseId,
        step: impl FnOnce(&mut Case) -> Result<Vec<CaseEvent>, CaseError>,
    ) -> Result<(), Rejection> {
        let mut case = self
            .cases
            .get(&id)
            .ok_or(Rejection::UnknownCase { case: id })?
            .clone();
        let steps = step(&mut case)?;
        case.note(cause.0);
        self.put_case(run, Some(cause), case, &steps);
        Ok(())
    }

    /// Stores a case after a step: keeps its deadline and the patient's count, tells who follows.
    pub(super) fn put_case(
        &mut self,
        run: &mut Run,
        cause: Option<(TxId, u32)>,
        case: Case,
        steps: &[CaseEvent],
    ) {
        let before = self.cases.get(&case.id);
        let was_live = before.is_none_or(|before| before.phase.is_live());
        if let Some(deadline) = before.and_then(Case::deadline) {
            self.deadlines.remove(&(deadline, case.id));
        }
        if let Some(deadline) = case.deadline() {
            self.deadlines.put((deadline, case.id), ());
        }
        if was_live
            && !case.phase.is_live()
            && let Some(mut patient) = self.patients.get(&case.patient()).cloned()
        {
            patient.live_cases = patient.live_cases.saturating_sub(1);
            self.patients.put(case.patient(), patient);
        }
        for step in steps {
            if *step == CaseEvent::Overdue {
                let changes = run.standings.review_overdue(case.hospital);
                run.effects.credit.extend(changes);
            }
            run.emit(
                cause,
                What::Case {
                    case: case.id,
                    patient: case.patient(),
                    hospital: case.hospital,
                    step: *step,
                },
            );
        }
        self.cases.put(case.id, case);
    }
}
