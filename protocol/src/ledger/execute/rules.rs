//! When a patient's new rules count (ADR 43): stricter ones at once, looser ones after the delay in which kin may object. A
//! case keeps what it drew from the rules when it was asked for.

use super::Run;
use crate::ids::{AccountId, KinId, PatientId, TxId};
use crate::ledger::patient::Patient;
use crate::ledger::rules::{Rules, RulesChange, RulesError};
use crate::ledger::state::State;
use crate::roster::{Failure, Handover, Plan, RosterError, RosterEvent};
use crate::units::Millis;

impl State {
    /// Puts stricter rules in force. False when they are not only stricter, and so have to wait.
    pub(super) fn tighten_rules(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        (patient, entry): (PatientId, &Patient),
        change: &RulesChange,
    ) -> Result<bool, RosterError> {
        if entry.device != signer {
            let role = "patient's device";
            return Err(RosterError::NotAllowed { role });
        }
        change.check(entry)?;
        if !change.rules.only_tighten(&Rules::of(&entry.enrolment)) {
            if entry.is_recovering {
                return Err(RulesError::Recovering.into());
            }
            let until = entry.unheard.get(&KinId::from(signer)).copied();
            return match until.filter(|until| *until > run.now) {
                Some(until) => Err(RulesError::Unheard { until }.into()),
                None => Ok(false),
            };
        }
        // Looser ones that still wait were made from other rules than these.
        let waits = self.handovers.get(&patient);
        if waits.is_some_and(|handover| matches!(handover.plan, Plan::Rules(_))) {
            self.fail(run, Some(cause), patient, Failure::Superseded);
        }
        self.put_rules(run, Some(cause), patient, &change.rules);
        Ok(true)
    }

    /// The delay is over.
    pub(super) fn change_rules(
        &mut self,
        run: &mut Run,
        patient: PatientId,
        mut entry: Patient,
        change: &RulesChange,
    ) {
        if change.from != entry.rules_epoch {
            return self.fail(run, None, patient, Failure::Superseded);
        }
        // Whoever waits for objections does so no more.
        entry.unheard.retain(|_, until| *until > run.now);
        self.put_roster(patient, entry, None);
        self.put_rules(run, None, patient, &change.rules);
    }

    fn put_rules(
        &mut self,
        run: &mut Run,
        cause: Option<(TxId, u32)>,
        patient: PatientId,
        rules: &Rules,
    ) {
        let Some(mut entry) = self.patients.get(&patient).cloned() else {
            return;
        };
        rules.put_into(&mut entry.enrolment);
        entry.rules_epoch = entry.rules_epoch.plus(1);
        // What is to be more often begins sooner.
        let (roster, now) = (rules.roster, run.now);
        let refresh = now.plus(roster.refresh_every_ms.0);
        let drill = now.plus(roster.drill_every_ms.0);
        entry.refresh_due_ms = entry.refresh_due_ms.min(refresh);
        entry.drill.due_ms = entry.drill.due_ms.min(drill);
        let epoch = entry.rules_epoch;
        let handover = self.handovers.get(&patient).cloned();
        self.put_roster(patient, entry, handover);
        run.roster(cause, patient, [RosterEvent::RulesChanged(epoch)]);
    }
}

/// A device to whose looser rules the kin objected may not come with such again for as long as a proposal may stand:
/// whoever stole it must not win by asking more often than kin look.
pub(super) fn note_objection(
    entry: &mut Patient,
    handover: &Handover,
    failure: &Failure,
    now: Millis,
) {
    if !matches!(handover.plan, Plan::Rules(_)) || *failure != Failure::Objected {
        return;
    }
    let rules = entry.enrolment.rules;
    let until = now.plus(rules.objection_ms.0).plus(rules.step_ms.0);
    entry.unheard.retain(|_, quiet| *quiet > now);
    entry.unheard.insert(entry.device.into(), until);
}
