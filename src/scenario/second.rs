//! A patient's second circle in a script: who is in it, and when it may be asked.

use super::acts::{Outcome, done};
use super::player::Player;
use super::report::millis;
use super::rosters::rules;
use super::script::{Enrol, NameSecond, WaitSecond, WaitSecondCircle, WithdrawSecond};
use crate::stage::StageError;
use crate::waiting::until;
use kithkin_actors::patient::messages::{AboutSecond, Enrol as Wish, SecondWish};
use kithkin_protocol::emergency::{CaseEvent, Escalation, TierPolicy};
use kithkin_protocol::ledger::{self, What};
use kithkin_protocol::units::{CircleKind, Millis, Tier};

impl Player<'_> {
    /// What a patient asks its device for: all kin who are not in the second circle are on the roster.
    pub(super) fn wish(
        &self,
        enrol: &Enrol,
        policies: Vec<(Tier, TierPolicy)>,
    ) -> Result<Wish, StageError> {
        let usual = Escalation::default();
        let or = |span: Option<super::words::Span>, usual: Millis| {
            span.map_or(usual, |span| Millis(millis(span.0)))
        };
        let mut second = Vec::new();
        for kin in &enrol.second {
            second.push(self.member(*kin)?);
        }
        let mut roster = self.stage.cluster().roster(enrol.patient.0);
        if !enrol.kin.is_empty() {
            let kin = enrol.kin.iter().map(|kin| self.member(*kin));
            roster = kin.collect::<Result<_, _>>()?;
        }
        roster.retain(|member| second.iter().all(|other| other.key != member.key));
        Ok(Wish {
            roster,
            sponsor: self.stage.hospital_id(enrol.sponsor.0)?,
            threshold: enrol.threshold,
            policies,
            rules: rules(enrol),
            escalation: Escalation {
                remind_after_ms: or(enrol.remind_after, usual.remind_after_ms),
                second_circle_after_ms: or(enrol.second_after, usual.second_circle_after_ms),
            },
            second: (!second.is_empty()).then_some(SecondWish {
                roster: second,
                threshold: None,
            }),
        })
    }

    pub(super) async fn name_second(&self, name: &NameSecond) -> Outcome {
        let members = name.kin.iter().map(|kin| self.member(*kin));
        let roster = members.collect::<Result<Vec<_>, _>>()?;
        let about = if roster.is_empty() {
            AboutSecond::Again
        } else {
            AboutSecond::Name(SecondWish {
                roster,
                threshold: None,
            })
        };
        let device = self.device_of(name.patient.0);
        let named = self.stage.about_second(device, about).await?;
        let what = format!(
            "has a second circle of {} now, {} of whom can open the summary",
            named.kin, named.threshold
        );
        Ok(done(name.patient, what, Some(named.height)))
    }

    pub(super) async fn withdraw_second(&self, of: &WithdrawSecond) -> Outcome {
        let device = self.device_of(of.patient.0);
        let about = AboutSecond::Withdraw;
        let named = self.stage.about_second(device, about).await?;
        let what = "has no second circle any more";
        Ok(done(of.patient, what, Some(named.height)))
    }

    pub(super) async fn wait_second(&self, wait: &WaitSecond) -> Outcome {
        let what = format!("a second circle of {} of {}", wait.kin, wait.patient);
        let is = |entry: &ledger::Patient| {
            let members = entry.enrolment.roster_of(CircleKind::Second);
            members.len() == wait.kin && entry.second_epoch.0 >= wait.epoch
        };
        let entry = self
            .stage
            .patient_when(wait.patient.0, wait.within.0, &what, is)
            .await?;
        let epoch = entry.second_epoch;
        let what = match wait.kin {
            0 => "the ledger has no second circle".to_owned(),
            kin => format!("the ledger has a second circle of {kin}, in epoch {epoch} of it"),
        };
        Ok(done(wait.patient, what, None))
    }

    pub(super) async fn wait_second_circle(&self, wait: &WaitSecondCircle) -> Outcome {
        let id = self.case(&wait.case)?.id;
        let what = format!("nobody deciding case {}", wait.case);
        until(self.stage.board(), &what, wait.within.0, |board| {
            let mut events = board.events().into_iter();
            let turned = events.any(|(_, event)| {
                matches!(
                    event.what,
                    What::Case { case, step: CaseEvent::SecondCircle, .. } if case == id
                )
            });
            turned.then_some(())
        })
        .await?;
        let what = format!(
            "nobody has decided case {}: the second circle may be asked",
            wait.case
        );
        Ok(done("ledger", what, None))
    }
}
