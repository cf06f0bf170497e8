//! The patient's word about the second circle: when it counts, and what it changes (ADR 35).

use super::Run;
use crate::ids::{AccountId, PatientId, TxId};
use crate::ledger::patient::Patient;
use crate::ledger::second::{SecondError, SecondWord};
use crate::ledger::state::State;
use crate::roster::{Plan, RosterError, RosterEvent};

impl State {
    /// Puts another second circle in the place of the present one, or none.
    ///
    /// A refresh of the first circle does not stand in the way: it keeps key and roster. Whatever else changes the roster
    /// could bring somebody into both circles, share another key, or name another device.
    pub(super) fn name_second(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        patient: PatientId,
        entry: &Patient,
        word: &SecondWord,
    ) -> Result<(), RosterError> {
        if entry.device != signer {
            let role = "patient's device";
            return Err(RosterError::NotAllowed { role });
        }
        let handover = self.handovers.get(&patient).cloned();
        if let Some(busy) = handover.as_ref().filter(|busy| busy.plan != Plan::Refresh) {
            let since = busy.proposed_ms;
            return Err(RosterError::Busy { since });
        }
        // Perhaps just this circle is being asked, or is about to be.
        if entry.live_cases > 0 {
            return Err(SecondError::Live.into());
        }
        word.check(patient, entry)?;
        let digest = word.digest(self.meta().chain, patient);
        word.check_acceptances(&digest).map_err(SecondError::from)?;
        let mut next = entry.clone();
        self.end_second(patient, &mut next);
        next.enrolment = word.enrolment(&entry.enrolment);
        let second = &next.enrolment.second;
        for member in second.iter().flat_map(|second| &second.roster) {
            self.kin.put((member.id(), patient), ());
        }
        let epoch = word.epochs.second;
        next.second_epoch = epoch;
        let step = match &word.circle {
            Some(_) => RosterEvent::SecondNamed(epoch),
            None => RosterEvent::SecondEnded(epoch),
        };
        self.put_roster(patient, next, handover);
        run.roster(Some(cause), patient, [step]);
        Ok(())
    }

    /// Nobody is in the second circle any more. Whether there was one.
    pub(super) fn end_second(&mut self, patient: PatientId, entry: &mut Patient) -> bool {
        entry.second_worn = false;
        let Some(second) = entry.enrolment.second.take() else {
            return false;
        };
        entry.second_epoch = entry.second_epoch.plus(1);
        for member in second.roster {
            self.kin.remove(&(member.id(), patient));
        }
        true
    }
}
