//! What comes after a case in a script: the review, its deadline, the report to the patient.

use super::acts::{Outcome, done};
use super::expect::{PenaltyWord, list};
use super::judge::{Verdict, holds};
use super::player::Player;
use super::script::{Disclose, Review, WaitOverdue};
use super::words::HospitalName;
use crate::disclosure::Page;
use crate::stage::StageError;
use crate::waiting::until;
use kithkin_actors::ports::names::ActorName;
use kithkin_protocol::emergency::CaseEvent;
use kithkin_protocol::ledger::What;
use std::collections::BTreeSet;
use std::time::Instant;

impl Player<'_> {
    pub(super) async fn review(&self, review: &Review) -> Outcome {
        let id = self.case(&review.case)?.id;
        let tasks = self.stage.review_tasks().await?;
        let late = match tasks.iter().find(|task| task.case == id) {
            Some(task) if task.is_overdue => ", too late",
            Some(_) | None => "",
        };
        let height = self.stage.review(id, review.verdict).await?;
        let what = format!(
            "finds case {} {}{late}",
            review.case,
            review.verdict.as_str()
        );
        Ok(done("reviewer", what, Some(height)))
    }

    pub(super) async fn wait_overdue(&self, wait: &WaitOverdue) -> Outcome {
        let id = self.case(&wait.case)?.id;
        let what = format!("the review of case {} falling overdue", wait.case);
        until(self.stage.board(), &what, wait.within.0, |board| {
            let events = board.events();
            let mut overdue = events.iter().filter(|(_, event)| {
                matches!(&event.what, What::Case { case, step: CaseEvent::Overdue, .. } if *case == id)
            });
            overdue.next().map(|_| ())
        })
        .await?;
        let what = format!("the review of case {} is overdue", wait.case);
        Ok(done("ledger", what, None))
    }

    /// Draws the report anew with every block until it says what it is to say; the last one is shown, and kept for the JSON.
    pub(super) async fn disclose(&mut self, disclose: &Disclose) -> Outcome {
        let case = self.case(&disclose.case)?;
        let (id, patient) = (case.id, case.patient);
        let deadline = Instant::now() + disclose.within.0;
        let page = loop {
            let mut changed = self.stage.board().changes();
            let page = Page::of(self.stage, patient, id).await?;
            // The lines of a page are broken for the eye.
            let text = one_line(&page.text());
            let missing = disclose
                .says
                .iter()
                .find(|says| !text.contains(says.as_str()));
            let Some(missing) = missing else {
                break page;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, changed.changed()).await.is_err() {
                return Err(StageError::TooSlow {
                    what: format!("'{missing}' in the report about case {}", disclose.case),
                    seconds: disclose.within.0.as_secs(),
                }
                .into());
            }
        };
        let what = format!("draws the report about case {}", disclose.case);
        self.pages.push(page);
        Ok(done(ActorName::Patient(patient), what, None))
    }

    /// For these reasons, and no others, the hospital's validators lost credit; no other hospital's did.
    pub(super) fn penalised(&self, hospital: HospitalName, reasons: &[PenaltyWord]) -> Verdict {
        let id = self.stage.hospital_id(hospital.0);
        let id = id.map_err(|error| error.to_string())?;
        let genesis = &self.stage.cluster().setting().genesis;
        let its = genesis
            .validators
            .iter()
            .filter(|info| info.hospital == Some(id));
        let its: BTreeSet<_> = its.map(|info| info.id).collect();
        let penalties = self.stage.board().glance().penalties;
        let mut found = BTreeSet::new();
        let mut texts = Vec::new();
        for penalty in &penalties {
            let who = ActorName::Validator(penalty.validator.0);
            let Some(word) = PenaltyWord::of(penalty.reason) else {
                continue;
            };
            let (before, after) = (penalty.before, penalty.after);
            texts.push(format!(
                "{who} from {before} to {after} for {}",
                word.as_str()
            ));
            if its.contains(&penalty.validator) {
                found.insert((penalty.validator, word));
            } else {
                return Err(list(texts));
            }
        }
        let wanted = its
            .iter()
            .flat_map(|id| reasons.iter().map(|word| (*id, *word)));
        holds(found == wanted.collect(), list(texts))
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
