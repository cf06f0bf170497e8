//! Who is kin, and who holds which pieces of records, when a roster changes (ADR 33).

use crate::ids::{KinId, PatientId};
use crate::ledger::enrolment::Member;
use crate::ledger::patient::{Era, Patient};
use crate::ledger::state::State;
use crate::record::assign_slots;
use crate::roster::{Plan, RosterError};
use crate::units::{CircleKind, Epoch, Height, Tier};
use std::collections::BTreeSet;

impl State {
    /// Refuses a roster that would leave fewer holders of any records' pieces than it takes to put them together: those who
    /// come make theirs from what those who stay have.
    pub(super) fn check_pieces(
        &self,
        patient: PatientId,
        entry: &Patient,
        plan: &Plan,
    ) -> Result<(), RosterError> {
        let present = entry.present(patient);
        let stay: BTreeSet<KinId> = plan.roster(&present).iter().map(Member::id).collect();
        let ends = entry.eras.keys().skip(1).copied();
        let ends = ends.chain([entry.epoch.plus(1)]);
        for ((since, era), end) in entry.eras.iter().zip(ends) {
            let held = era.holders.iter().filter(|kin| stay.contains(kin)).count();
            if held < era.shape.needed() && self.has_batches(patient, *since, end) {
                let fault = "too few of those who hold the records' pieces stay; change the roster in steps";
                return Err(RosterError::Plan { fault });
            }
        }
        Ok(())
    }

    /// Puts the new roster in place of the old one.
    pub(super) fn change_kin(
        &mut self,
        patient: PatientId,
        entry: &mut Patient,
        roster: &[Member],
        epoch: Epoch,
    ) {
        let stay: BTreeSet<KinId> = roster.iter().map(|member| member.id()).collect();
        for member in &entry.enrolment.roster {
            let seat = entry.member(member.id());
            let is_in_second = seat.is_some_and(|seat| seat.circle == CircleKind::Second);
            if !stay.contains(&member.id()) && !is_in_second {
                self.kin.remove(&(member.id(), patient));
            }
        }
        entry.resigned.retain(|kin| stay.contains(kin));
        entry.roster_since = epoch;
        // Whoever showed an index's pieces before may not be the one who has it now.
        entry.drill.shown.clear();
        entry.drill.attendance.retain(|kin, _| stay.contains(kin));
        self.hand_slots_on(patient, entry, roster, epoch);
    }

    /// Slots of records that were cut before go to the new roster; what is sealed from now on is cut for it.
    fn hand_slots_on(
        &self,
        patient: PatientId,
        entry: &mut Patient,
        roster: &[Member],
        epoch: Epoch,
    ) {
        let names: Vec<KinId> = roster.iter().map(Member::id).collect();
        let before = std::mem::take(&mut entry.eras);
        let ends: Vec<Epoch> = before.keys().skip(1).copied().chain([epoch]).collect();
        for ((since, era), end) in before.into_iter().zip(ends) {
            // A time in which nothing was sealed leaves nothing to hold.
            if !self.has_batches(patient, since, end) {
                continue;
            }
            // The roster has been checked: these are its members, each once.
            if let Ok(slots) = assign_slots(&era.holders, &names, era.shape) {
                let holders = slots.holders().to_vec();
                entry.eras.insert(since, Era { holders, ..era });
            }
        }
        let fresh = Era::of(roster);
        let newest = entry.eras.values().next_back();
        if let Some(era) = fresh.filter(|fresh| newest != Some(fresh)) {
            entry.eras.insert(epoch, era);
        }
    }

    fn has_batches(&self, patient: PatientId, since: Epoch, end: Epoch) -> bool {
        Tier::ALL.into_iter().any(|tier| {
            self.batches_of(patient, tier, Height(u64::MAX))
                .any(|(_, batch)| (since..end).contains(&batch.header.epoch))
        })
    }
}
