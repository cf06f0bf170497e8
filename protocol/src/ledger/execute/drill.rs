//! Readiness drills: kin prove that their shares are alive and that they hold what they should (design, opening section 7).

use super::Run;
use crate::crypto::Digest;
use crate::ids::{KinId, PatientId, RecordId, TxId};
use crate::ledger::patient::{Patient, Shown};
use crate::ledger::state::State;
use crate::record::{Answer, BatchHeader, CHALLENGES, Challenge, Duties, Duty, Verdict};
use crate::roster::{RosterError, RosterEvent};
use crate::sharing::{DrillAnswer, DrillContext};
use crate::units::{Epoch, Height, ShareIndex, Tier};
use std::collections::BTreeSet;

impl State {
    pub(super) fn prove(
        &mut self,
        run: &mut Run,
        cause: (TxId, u32),
        patient: PatientId,
        mut entry: Patient,
        kin: KinId,
        (height, answers): (Height, &[DrillAnswer]),
    ) -> Result<(), RosterError> {
        let (index, seed) = present_drill(&entry, kin, height)?;
        if entry
            .drill
            .proved
            .get(&index)
            .is_some_and(|(proved, _)| *proved >= height)
        {
            return Err(RosterError::Twice { kin });
        }
        for (place, shares) in entry.enrolment.tiers.iter().enumerate() {
            let tier = shares.tier;
            let drill = DrillContext {
                chain: self.meta().chain,
                patient,
                tier,
                epoch: entry.epoch,
                seed,
            };
            let is_good = answers.len() == entry.enrolment.tiers.len()
                && answers.get(place).is_some_and(|answer| {
                    answer.index == index && drill.verify(answer, &shares.commitments).is_ok()
                });
            if !is_good {
                return Err(RosterError::Drill { tier });
            }
        }
        entry.drill.proved.insert(index, (run.height, run.now));
        let attendance = entry.drill.attendance.entry(kin).or_default();
        attendance.on_proof(run.now);
        self.patients.put(patient, entry);
        run.roster(Some(cause), patient, [RosterEvent::Proved(kin)]);
        Ok(())
    }

    /// A kin shows drawn places of what it should hold.
    pub(super) fn show(
        &mut self,
        run: &mut Run,
        cause: (TxId, u32),
        (patient, mut entry): (PatientId, Patient),
        kin: KinId,
        (height, tier, answer): (Height, Tier, &Answer),
    ) -> Result<(), RosterError> {
        let (index, seed) = present_drill(&entry, kin, height)?;
        let before = entry.drill.shown.get(&(index, tier));
        if before.is_some_and(|shown| shown.height >= height) {
            return Err(RosterError::Twice { kin });
        }
        let challenge = Challenge {
            seed,
            epoch: entry.epoch,
            index,
            round: height.0,
        };
        let erased = BTreeSet::new();
        let batches = self
            .batches_of(patient, tier, height)
            .filter(|(_, batch)| batch.ordered_ms.is_none())
            .map(|(_, batch)| &batch.header);
        let duties = self::duties(&entry, kin, batches, &erased);
        let duties = Duties::new(self.meta().chain, patient, tier, duties)?;
        // An answer that does not hold is a failure, and stands as one; it cannot be tried again until it fits.
        let verdict = challenge
            .verify(&duties, answer)
            .unwrap_or_else(|_| Verdict {
                lost: (0..CHALLENGES).collect(),
                ..Verdict::default()
            });
        let count = |places: usize| u8::try_from(places).unwrap_or(u8::MAX);
        let shown = Shown {
            height,
            held: count(verdict.held),
            lost: count(verdict.lost.len()),
        };
        entry.drill.shown.insert((index, tier), shown);
        self.patients.put(patient, entry);
        let event = RosterEvent::Shown {
            kin,
            tier,
            held: shown.held,
            lost: shown.lost,
        };
        run.roster(Some(cause), patient, [event]);
        Ok(())
    }

    /// Draws a drill when one is due. The one before is over: whoever let it pass is named.
    pub(super) fn begin_drill(&mut self, run: &mut Run, patient: PatientId) {
        let Some(entry) = self.patients.get(&patient) else {
            return;
        };
        if entry.drill.due_ms > run.now {
            return;
        }
        let mut entry = entry.clone();
        let missed = self.end_drill(patient, &mut entry);
        run.roster(None, patient, missed);
        for member in &entry.enrolment.roster {
            entry.drill.attendance.entry(member.id()).or_default();
        }
        entry.drill.began_ms = run.now;
        // The seed that this block's beacon gave: nobody knew it before.
        entry.drill.round = Some((run.height, run.standings.seed()));
        entry.drill.due_ms = run.now.plus(entry.enrolment.rules.drill_every_ms.0);
        let handover = self.handovers.get(&patient).cloned();
        self.put_roster(patient, entry, handover);
        run.roster(None, patient, [RosterEvent::DrillDue(run.height)]);
    }

    /// Who has not answered the drill that is over. What somebody showed before it counts no more.
    fn end_drill(&self, patient: PatientId, entry: &mut Patient) -> Vec<RosterEvent> {
        let Some((height, _)) = entry.drill.round else {
            return Vec::new();
        };
        let mut events = Vec::new();
        let began_ms = entry.drill.began_ms;
        // Who came while it lasted was not called.
        for (kin, attendance) in &mut entry.drill.attendance {
            if attendance.on_end(began_ms) {
                events.push(RosterEvent::Missed(*kin));
            }
        }
        for tier in Tier::ALL {
            let holders = self.holders(patient, entry, tier, height);
            for (position, member) in entry.enrolment.roster.iter().enumerate() {
                let Some(index) = ShareIndex::from_position(position) else {
                    continue;
                };
                let (kin, place) = (member.id(), (index, tier));
                let shown = entry.drill.shown.get(&place);
                if shown.is_some_and(|shown| shown.height >= height) {
                    continue;
                }
                entry.drill.shown.remove(&place);
                let was_called = entry.drill.attendance.contains_key(&kin);
                if was_called && holders.contains(&kin) {
                    events.push(RosterEvent::Unshown { kin, tier });
                }
            }
        }
        events
    }

    /// Whoever holds pieces of records that stood at `height` and are not to be erased.
    fn holders(
        &self,
        patient: PatientId,
        entry: &Patient,
        tier: Tier,
        height: Height,
    ) -> BTreeSet<KinId> {
        let batches = self.batches_of(patient, tier, height);
        let standing = batches.filter(|(_, batch)| batch.ordered_ms.is_none());
        let epochs: BTreeSet<Epoch> = standing.map(|(_, batch)| batch.header.epoch).collect();
        let eras = epochs.into_iter().filter_map(|epoch| entry.era_of(epoch));
        eras.flat_map(|era| era.holders.iter().copied()).collect()
    }
}

/// The kin's index and the seed of the drill of `height`, if that is the present one.
fn present_drill(
    entry: &Patient,
    kin: KinId,
    height: Height,
) -> Result<(ShareIndex, Digest), RosterError> {
    let (index, _) = entry.in_roster(kin).ok_or(RosterError::NotKin { kin })?;
    let round = entry.drill.round.filter(|(round, _)| *round == height);
    let (_, seed) = round.ok_or(RosterError::NoDrill { height })?;
    Ok((index, seed))
}

/// Everything of the batches with these headers that a kin should hold.
pub fn duties<'a>(
    entry: &Patient,
    kin: KinId,
    headers: impl IntoIterator<Item = &'a BatchHeader>,
    erased: &'a BTreeSet<RecordId>,
) -> Vec<Duty<'a>> {
    let mut duties = Vec::new();
    for header in headers {
        let Some(era) = entry.era_of(header.epoch) else {
            continue;
        };
        duties.extend(era.slots_of(kin).map(|slot| Duty {
            header,
            shape: era.shape,
            slot,
            erased,
        }));
    }
    duties
}
