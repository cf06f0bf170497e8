//! Emergency cases: what opens one, what moves it on, and what is kept beside it.

use super::Run;
use crate::crypto::Digest;
use crate::emergency::{
    Case, CaseError, CaseEvent, Circle, Phase, Purpose, REQUEST_MS_MAX, Request, SCOPE_RECORDS_MAX,
    SESSION_MS_MAX, SecondCircleError, Stage, TierPolicy, Timing,
};
use crate::ids::{AccountId, CaseId, HospitalId, TxId};
use crate::ledger::event::{Rejection, What};
use crate::ledger::patient::Patient;
use crate::ledger::state::State;
use crate::sharing::Commitments;
use crate::units::{Millis, Tier};
use std::collections::BTreeMap;

/// Most cases of one patient that are live at once, over all hospitals.
pub const LIVE_CASES_MAX: u16 = 256;

/// Most cases of one patient that one hospital has live at once. A hospital that asks in vain, or to do harm, cannot
/// take the place of another where the emergency is.
pub const LIVE_CASES_PER_HOSPITAL_MAX: usize = 4;

impl State {
    /// A hospital asks. Whether it comes to a case or not, whose records it wanted learns of it.
    pub(super) fn request(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        request: &Request,
    ) -> Result<(), Rejection> {
        let hospital = self.require_hospital(signer)?;
        let opened = self.open_case(run, hospital, cause, request);
        if let Err(reason) = &opened
            && self.patients.contains(&request.patient)
        {
            let (patient, reason) = (request.patient, reason.clone());
            let what = What::Attempt {
                patient,
                hospital,
                reason,
            };
            run.emit(Some(cause), what);
        }
        opened
    }

    fn open_case(
        &mut self,
        run: &mut Run,
        hospital: HospitalId,
        cause: (TxId, u32),
        request: &Request,
    ) -> Result<(), Rejection> {
        self.check_suspension(run.now, hospital)?;
        self.count_attempt(run.now, hospital, request.patient, request.purpose)?;
        let patient = self
            .patients
            .get(&request.patient)
            .ok_or(Rejection::UnknownPatient {
                patient: request.patient,
            })?;
        self.check_room(hospital, patient, request)?;
        let policies = self.check_request(run, hospital, patient, request)?;
        self.check_credential(run.now, hospital, request)?;
        if let Circle::Second { after } = request.circle {
            self.check_second(run.now, hospital, patient, after, request)?;
        }
        let (enrolment, circle) = (&patient.enrolment, request.circle.kind());
        let threshold = request
            .scopes
            .iter()
            .filter_map(|scope| enrolment.commitments(circle, scope.tier))
            .map(Commitments::threshold)
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
            second_epoch: patient.second_epoch,
            rules_epoch: patient.rules_epoch,
            roster: enrolment.roster_of(circle).iter().map(|m| m.id()).collect(),
            threshold,
            timing: Timing::draw(
                &policies,
                &enrolment.escalation,
                enrolment.second.is_some(),
                request,
                run.now,
                meta.review_within_ms,
            ),
            request: request.clone(),
            phase: Phase::Requested,
            stage: Stage::Asked,
            approvals: BTreeMap::new(),
            refusals: BTreeMap::new(),
            releases: BTreeMap::new(),
            released_ms: BTreeMap::new(),
            reads: BTreeMap::new(),
            granted_ms: None,
            ended_ms: None,
            closed: None,
            review_due_ms: None,
            overdue: false,
            review: None,
            log: (Digest::ZERO, 0),
        };
        case.note(cause.0);
        self.sessions.put(request.session.point, ());
        self.patient_cases
            .put((request.patient, run.height, cause.1), case.id);
        let mut patient = patient.clone();
        let in_force = (request.patient, patient.epochs());
        if !self.rosters.contains(&in_force) {
            self.rosters.put(in_force, patient.enrolment.clone());
        }
        patient.live_cases += 1;
        patient.note_case(case.id);
        self.patients.put(request.patient, patient);
        self.put_case(run, Some(cause), case, &[CaseEvent::Requested]);
        Ok(())
    }

    fn check_suspension(&self, now: Millis, hospital: HospitalId) -> Result<(), Rejection> {
        match self.hospitals.get(&hospital) {
            Some(entry) if now < entry.suspended_until_ms => Err(Rejection::Suspended {
                hospital,
                until: entry.suspended_until_ms,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that the patient, and the hospital with this patient, can have one more live case.
    fn check_room(
        &self,
        hospital: HospitalId,
        patient: &Patient,
        request: &Request,
    ) -> Result<(), Rejection> {
        let theirs = self
            .cases_of(request.patient)
            .filter(|case| case.hospital == hospital && case.phase.is_live())
            .count();
        let live = if patient.live_cases >= LIVE_CASES_MAX {
            patient.live_cases
        } else if theirs >= LIVE_CASES_PER_HOSPITAL_MAX {
            u16::try_from(theirs).unwrap_or(u16::MAX)
        } else {
            return Ok(());
        };
        Err(Rejection::TooManyCases {
            patient: request.patient,
            live,
        })
    }

    /// Checks every field of a request and returns the rules of the tiers that it names.
    fn check_request<'a>(
        &self,
        run: &Run,
        hospital: HospitalId,
        patient: &'a Patient,
        request: &Request,
    ) -> Result<Vec<&'a TierPolicy>, Rejection> {
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
            .map(|shares| &shares.policy)
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
                "hospital (the patient's rule does not list it)",
                policies.iter().any(|policy| !policy.who.allows(hospital)),
            ),
            (
                "reason (it is no threat to life, as the purpose BTG says; ask with ETREAT)",
                request.purpose == Purpose::BreakGlass && !request.reason.is_life_threat(),
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

    /// Checks that the patient's second circle may be asked now.
    fn check_second(
        &self,
        now: Millis,
        hospital: HospitalId,
        patient: &Patient,
        after: CaseId,
        request: &Request,
    ) -> Result<(), SecondCircleError> {
        if patient.enrolment.second.is_none() {
            return Err(SecondCircleError::NoCircle);
        }
        if !request.scopes.iter().map(|s| s.tier).eq([Tier::Summary]) {
            return Err(SecondCircleError::Scope);
        }
        let case = self.cases.get(&after);
        let case = case.ok_or(SecondCircleError::UnknownCase { after })?;
        case.check_second(hospital, request, now)?;
        // Who has been told no is not to ask anew and then the next ones.
        let mut cases = self.cases_of(request.patient);
        match cases.find_map(|case| Some((case.id, case.no_to(hospital, now)?))) {
            Some((case, phase)) => Err(SecondCircleError::SaidNo { case, phase }),
            None => Ok(()),
        }
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
        let is_over = was_live && !case.phase.is_live();
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
        let (patient, circle) = (case.patient(), case.circle());
        let granted = case.granted_ms.map(|_| circle);
        self.cases.put(case.id, case);
        if is_over {
            self.on_case_over(run, cause, patient, granted);
        }
    }
}
