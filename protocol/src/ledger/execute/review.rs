//! The review of a case: who may judge, and what the verdict costs the hospital.

use super::Run;
use crate::emergency::{Case, ReviewTask, Verdict};
use crate::ids::{AccountId, CaseId, HospitalId, TxId};
use crate::ledger::event::Rejection;
use crate::ledger::state::State;
use crate::units::Millis;

/// How long a hospital without a validator loses its right to request after an unjustified case.
pub const SUSPENSION_MS: Millis = Millis(30 * 24 * 3_600_000);

impl State {
    /// The cases that wait for a verdict and that `reviewer` may judge, the most urgent first.
    #[must_use]
    pub fn review_tasks(&self, reviewer: AccountId) -> Vec<ReviewTask> {
        let open = self
            .open_cases()
            .filter(|case| self.may_judge(reviewer, case).is_ok());
        let mut tasks: Vec<_> = open.filter_map(Case::review_task).collect();
        tasks.sort_by_key(|task| (task.due_ms, task.case));
        tasks
    }

    pub(super) fn review(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        id: CaseId,
        verdict: Verdict,
    ) -> Result<(), Rejection> {
        let case = self.cases.get(&id);
        let case = case.ok_or(Rejection::UnknownCase { case: id })?;
        let hospital = case.hospital;
        self.may_judge(signer, case)?;
        let now = run.now;
        self.step(run, cause, id, |case| case.on_review(signer, verdict, now))?;
        if verdict == Verdict::Unjustified {
            self.punish(run, hospital);
        }
        Ok(())
    }

    /// Checks that `signer` is accredited and has no part in the case, on whichever side.
    fn may_judge(&self, signer: AccountId, case: &Case) -> Result<(), Rejection> {
        let reviewer = self.reviewers.get(&signer);
        let reviewer = reviewer.ok_or(Rejection::NotReviewer { signer })?;
        let (hospital, patient) = (case.hospital, case.patient());
        if reviewer.hospital == Some(hospital) {
            return Err(Rejection::OwnHospital { signer, hospital });
        }
        let of_hospital = |key| AccountId::of(key) == signer;
        let mut validators = self.standings().validators().iter();
        let ties = [
            ("is the hospital", AccountId::from(hospital) == signer),
            (
                "is the clinician who asked",
                of_hospital(&case.request.clinician),
            ),
            (
                "is a validator of the hospital",
                validators
                    .any(|info| info.hospital == Some(hospital) && of_hospital(&info.vote_key)),
            ),
            (
                "is one of the kin who were asked",
                case.roster.contains(&signer.into()),
            ),
            (
                "is the patient",
                AccountId::from(patient) == signer || self.speaks_for(signer, patient),
            ),
        ];
        match ties.into_iter().find(|(_, is_tied)| *is_tied) {
            Some((tie, _)) => Err(Rejection::ReviewerTied { signer, tie }),
            None => Ok(()),
        }
    }

    fn punish(&mut self, run: &mut Run, hospital: HospitalId) {
        let changes = run.standings.case_unjustified(hospital);
        // A hospital without a validator, or whose validator has none left, has no credit to lose; it loses its right to
        // request for a time.
        if changes.is_empty()
            && let Some(mut entry) = self.hospitals.get(&hospital).cloned()
        {
            entry.suspended_until_ms = run.now.plus(SUSPENSION_MS.0);
            self.hospitals.put(hospital, entry);
        }
        run.effects.credit.extend(changes);
    }
}
