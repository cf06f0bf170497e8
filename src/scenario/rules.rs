//! Rules that a patient changes in a script, and waiting until they count.

use super::acts::{Outcome, done};
use super::expect::list;
use super::judge::{Verdict, holds};
use super::player::Player;
use super::report::millis;
use super::script::{ChangeRules, WaitRules};
use super::words::{PatientName, Span};
use crate::stage::StageError;
use kithkin_actors::patient::messages::LayDown;
use kithkin_protocol::emergency::{TierPolicy, WhoMayAsk};
use kithkin_protocol::ledger::{self, Rules};
use kithkin_protocol::units::{Epoch, Millis, Tier};

impl Player<'_> {
    pub(super) async fn change_rules(&self, change: &ChangeRules) -> Outcome {
        let patient = change.patient.0;
        let entry = self.stage.patient(patient).await?;
        let entry = entry.ok_or_else(|| StageError::NoSuchActor {
            name: change.patient.into(),
        })?;
        let wish = self.wished(change, &Rules::of(&entry.enrolment))?;
        let laid = self.stage.lay_down(patient, wish).await?;
        let when = match laid.waits_ms {
            None => "stricter, and so in force at once".to_owned(),
            Some(waits) => format!(
                "kin may object for {}",
                humantime::format_duration(std::time::Duration::from_millis(waits.0))
            ),
        };
        let what = format!("lays down: {} ({when})", laid.changes.join("; "));
        Ok(done(change.patient, what, Some(laid.height)))
    }

    /// What is in force, with what the script says.
    fn wished(&self, change: &ChangeRules, now: &Rules) -> Result<LayDown, StageError> {
        let only = change
            .only
            .iter()
            .flatten()
            .map(|hospital| self.stage.hospital_id(hospital.0));
        let mut listed = only.collect::<Result<Vec<_>, _>>()?;
        listed.sort();
        let mut policies: Vec<(Tier, TierPolicy)> = Vec::new();
        for (tier, policy) in Tier::ALL.into_iter().zip(&now.policies) {
            if !change.tiers.contains(&tier) {
                continue;
            }
            let mut policy = policy.clone();
            policy.openable = change.openable.unwrap_or(policy.openable);
            if change.only.is_some() {
                policy.who = WhoMayAsk::Only(listed.clone());
            } else if change.any_hospital {
                policy.who = WhoMayAsk::AnyAccredited;
            }
            policy.waiting_ms = or(change.waiting, policy.waiting_ms);
            policy.session_ms_max = or(change.session, policy.session_ms_max);
            policies.push((tier, policy));
        }
        let (mut escalation, mut roster) = (now.escalation, now.roster);
        escalation.remind_after_ms = or(change.remind_after, escalation.remind_after_ms);
        escalation.second_circle_after_ms =
            or(change.second_after, escalation.second_circle_after_ms);
        roster.objection_ms = or(change.objection, roster.objection_ms);
        roster.veto_ms = or(change.veto, roster.veto_ms);
        roster.drill_every_ms = or(change.drill, roster.drill_every_ms);
        Ok(LayDown {
            policies,
            escalation: Some(escalation),
            roster: Some(roster),
        })
    }

    pub(super) async fn wait_rules(&self, wait: &WaitRules) -> Outcome {
        let what = format!("rules {} of {}", wait.epoch, wait.patient);
        let wanted = Epoch(wait.epoch);
        let is = |entry: &ledger::Patient| entry.rules_epoch >= wanted;
        let entry = self
            .stage
            .patient_when(wait.patient.0, wait.within.0, &what, is)
            .await?;
        let what = format!("rules {} are in force", entry.rules_epoch);
        Ok(done(wait.patient, what, None))
    }

    /// Exactly these rules are in force, and exactly these tiers may be opened.
    pub(super) async fn rules_are(
        &self,
        patient: PatientName,
        epoch: u32,
        openable: &[Tier],
    ) -> Verdict {
        let entry = self.entry(patient).await?;
        let tiers = entry.enrolment.tiers.iter();
        let open: Vec<Tier> = tiers
            .filter(|shares| shares.policy.openable)
            .map(|shares| shares.tier)
            .collect();
        let found = format!("rules {}, {} may be opened", entry.rules_epoch, list(&open));
        holds(entry.rules_epoch.0 == epoch && open == openable, found)
    }
}

fn or(span: Option<Span>, usual: Millis) -> Millis {
    span.map_or(usual, |span| Millis(millis(span.0)))
}
