//! Rosters: steps of a handover, and what follows when it is done. Who holds which pieces of records is in `slots`, drills
//! are in `drill`.

use super::Run;
use crate::ids::{AccountId, HandoverId, KinId, PatientId, TxId};
use crate::ledger::enrolment::Enrolment;
use crate::ledger::event::{Rejection, What};
use crate::ledger::patient::Patient;
use crate::ledger::state::State;
use crate::record::{Rewrap, Rewrapped};
use crate::roster::{
    Dealt, Failure, Handover, Outcome, Plan, Proposer, RosterError, RosterEvent, RosterStep, Stage,
};
use crate::units::{CircleKind, Height, Millis, ShareIndex, Tier};

/// Most rosters that one block moves because their time has come.
const ROSTERS_PER_BLOCK_MAX: usize = 1_000;

/// The transaction that causes something; none for the passing of time.
type Cause = Option<(TxId, u32)>;

impl State {
    pub(super) fn roster_step(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        patient: PatientId,
        step: &RosterStep,
    ) -> Result<(), Rejection> {
        let entry = self
            .patients
            .get(&patient)
            .ok_or(Rejection::UnknownPatient { patient })?
            .clone();
        let kin = KinId::from(signer);
        match step {
            RosterStep::Propose(plan) => {
                self.propose(run, signer, cause, patient, &entry, plan)?;
            }
            RosterStep::Prove { height, answers } => {
                self.prove(run, cause, patient, entry, kin, (*height, answers))?;
            }
            RosterStep::Show {
                height,
                tier,
                answer,
            } => {
                let shown = (*height, *tier, answer);
                self.show(run, cause, (patient, entry), kin, shown)?;
            }
            RosterStep::Resign => self.resign(run, cause, patient, entry, kin)?,
            RosterStep::NameSecond(word) => {
                self.name_second(run, signer, cause, patient, &entry, word)?;
            }
            RosterStep::Veto { handover } => {
                self.veto_handover(run, signer, cause, patient, *handover)?;
            }
            RosterStep::Support { handover }
            | RosterStep::Object { handover }
            | RosterStep::Deal { handover, .. }
            | RosterStep::Complain { handover, .. }
            | RosterStep::Reveal { handover, .. }
            | RosterStep::Accept { handover, .. } => {
                let mut next = self.require_handover(patient, *handover)?.clone();
                let steps = move_on(&mut next, kin, &entry, patient, step, run.now)?;
                self.settle(run, Some(cause), patient, next, steps);
            }
        }
        Ok(())
    }

    fn propose(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        patient: PatientId,
        entry: &Patient,
        plan: &Plan,
    ) -> Result<(), RosterError> {
        if let Plan::Rules(change) = plan
            && self.tighten_rules(run, signer, cause, (patient, entry), change)?
        {
            return Ok(());
        }
        let proposer = if entry.device == signer {
            Proposer::Patient
        } else {
            Proposer::Kin(signer.into())
        };
        let busy = self.handovers.get(&patient);
        if let Some(busy) = busy.filter(|busy| !busy.gives_way(plan, proposer)) {
            let since = busy.proposed_ms;
            return Err(RosterError::Busy { since });
        }
        let displaces = busy.is_some_and(|busy| busy.plan != Plan::Refresh);
        if let Proposer::Kin(kin) = proposer
            && *plan != Plan::Refresh
            && let Some(until) = entry.unheard.get(&kin).copied()
            && until > run.now
        {
            return Err(RosterError::Unheard { kin, until });
        }
        self.check_pieces(patient, entry, plan)?;
        if let Plan::Recover { device, .. } = plan
            && !self.is_free(AccountId::of(device))
        {
            let fault = "the device's key is in use already";
            return Err(RosterError::Plan { fault });
        }
        if let Plan::Redeal {
            rewrap: Some(rewrap),
            ..
        } = plan
            && u64::from(rewrap.batches) != self.batch_count(patient) as u64
        {
            let fault = "the new capsules are not those of all batches that stand";
            return Err(RosterError::Plan { fault });
        }
        let id = HandoverId(cause.0.0);
        let present = entry.present(patient);
        let (mut handover, steps) =
            Handover::propose(id, entry.epoch, plan.clone(), proposer, &present, run.now)?;
        handover.displaced = displaces;
        if self.handovers.contains(&patient) {
            self.fail(run, Some(cause), patient, Failure::Superseded);
        }
        self.settle(run, Some(cause), patient, handover, steps);
        Ok(())
    }

    fn resign(
        &mut self,
        run: &mut Run,
        cause: (TxId, u32),
        patient: PatientId,
        mut entry: Patient,
        kin: KinId,
    ) -> Result<(), RosterError> {
        if entry.in_roster(kin).is_none() {
            return Err(RosterError::NotKin { kin });
        }
        if !entry.resigned.insert(kin) {
            return Err(RosterError::Twice { kin });
        }
        self.patients.put(patient, entry);
        run.roster(Some(cause), patient, [RosterEvent::Resigned(kin)]);
        Ok(())
    }

    fn veto_handover(
        &mut self,
        run: &mut Run,
        signer: AccountId,
        cause: (TxId, u32),
        patient: PatientId,
        id: HandoverId,
    ) -> Result<(), RosterError> {
        let mut handover = self.require_handover(patient, id)?.clone();
        let entry = self.patients.get(&patient).ok_or(RosterError::Unknown)?;
        if entry.device != signer {
            let role = "patient's device";
            return Err(RosterError::NotAllowed { role });
        }
        if handover.on_veto(&entry.present(patient))? {
            self.fail(run, Some(cause), patient, Failure::Vetoed);
        } else {
            self.settle(
                run,
                Some(cause),
                patient,
                handover,
                vec![RosterEvent::VetoNoted],
            );
        }
        Ok(())
    }

    fn require_handover(
        &self,
        patient: PatientId,
        id: HandoverId,
    ) -> Result<&Handover, RosterError> {
        self.handovers
            .get(&patient)
            .filter(|handover| handover.id == id)
            .ok_or(RosterError::Unknown)
    }

    /// Stores a handover after a step, or ends it.
    fn settle(
        &mut self,
        run: &mut Run,
        cause: Cause,
        patient: PatientId,
        handover: Handover,
        steps: Vec<RosterEvent>,
    ) {
        run.roster(cause, patient, steps);
        let Some(entry) = self.patients.get(&patient).cloned() else {
            return;
        };
        let present = entry.present(patient);
        match handover.outcome(&present, run.now) {
            Outcome::Failed(failure) => self.fail(run, cause, patient, failure),
            // Epochs change only while nobody can open records with the old one.
            Outcome::Ready if entry.live_cases == 0 => {
                self.finish(run, cause, patient, entry, &handover);
            }
            Outcome::Ready | Outcome::Pending => {
                // The new kin have to be able to speak before they are on the roster; not before anybody has agreed to them.
                if handover.stage != Stage::Proposed {
                    for member in handover.plan.roster(&present) {
                        let kin = (member.id(), patient);
                        if !self.kin.contains(&kin) {
                            self.kin.put(kin, ());
                        }
                    }
                }
                self.put_roster(patient, entry, Some(handover));
            }
        }
    }

    fn finish(
        &mut self,
        run: &mut Run,
        cause: Cause,
        patient: PatientId,
        mut entry: Patient,
        handover: &Handover,
    ) {
        let Ok(tiers) = handover.tiers(&entry.present(patient)) else {
            return self.fail(run, cause, patient, Failure::Unusable);
        };
        let epoch = entry.epoch.plus(1);
        let roster = handover.plan.roster(&entry.present(patient)).to_vec();
        if roster != entry.enrolment.roster {
            self.change_kin(patient, &mut entry, &roster, epoch);
        }
        let sealed_until = entry.epoch;
        entry.epoch = epoch;
        if let Plan::Redeal { rewrap, .. } = &handover.plan {
            entry.is_recovering = false;
            if let Some(rewrap) = rewrap {
                // However it was wrapped, its keys lay on the lost device.
                entry.exposed = Some(sealed_until);
                self.replace_keys(run, cause, patient, &mut entry, *rewrap);
            }
        } else if entry.is_recovering {
            // Other shares of keys that lay on the lost device.
            entry.exposed = Some(epoch);
        }
        entry.wants_refresh = false;
        // Who proved the old shares has not proved the new ones.
        entry.drill.proved.clear();
        entry.refresh_due_ms = run.now.plus(entry.enrolment.rules.refresh_every_ms.0);
        entry.enrolment = Enrolment {
            roster,
            tiers,
            // They were signed for the first epoch; those of this one are transactions on chain.
            acceptances: Vec::new(),
            ..entry.enrolment
        };
        self.put_roster(patient, entry, None);
        run.roster(cause, patient, [RosterEvent::Done(epoch)]);
    }

    /// Other keys: what was sealed before opens with other capsules, and a second circle, which shares a key of before, is
    /// none until the new device names one again.
    fn replace_keys(
        &mut self,
        run: &mut Run,
        cause: Cause,
        patient: PatientId,
        entry: &mut Patient,
        rewrap: Rewrap,
    ) {
        let since = entry.epoch;
        entry.rewrapped = Some(Rewrapped { since, rewrap });
        if self.end_second(patient, entry) {
            let step = RosterEvent::SecondEnded(entry.second_epoch);
            run.roster(cause, patient, [step]);
        }
    }

    /// How many batches of a patient stand, in all tiers, and are not to be erased.
    fn batch_count(&self, patient: PatientId) -> usize {
        let of = |tier| {
            let batches = self.batches_of(patient, tier, Height(u64::MAX));
            batches
                .filter(|(_, batch)| batch.ordered_ms.is_none())
                .count()
        };
        Tier::ALL.into_iter().map(of).sum()
    }

    /// Another device speaks for the patient.
    fn replace_device(
        &mut self,
        run: &mut Run,
        patient: PatientId,
        mut entry: Patient,
        handover: &Handover,
    ) {
        let Plan::Recover { device, sealing } = &handover.plan else {
            return;
        };
        let account = AccountId::of(device);
        // Somebody else may have taken the key up since it was proposed.
        if !self.is_free(account) {
            return self.fail(run, None, patient, Failure::DeviceTaken);
        }
        self.devices.remove(&entry.device);
        self.devices.put(account, patient);
        entry.change_device(account);
        entry.enrolment.sealing = *sealing;
        entry.exposed = Some(entry.epoch);
        entry.is_recovering = true;
        self.put_roster(patient, entry, None);
        run.roster(None, patient, [RosterEvent::DeviceReplaced]);
    }

    pub(super) fn fail(
        &mut self,
        run: &mut Run,
        cause: Cause,
        patient: PatientId,
        failure: Failure,
    ) {
        if let Some(mut entry) = self.patients.get(&patient).cloned() {
            if let Some(handover) = self.handovers.get(&patient).cloned() {
                // Those who were to come and don't.
                let present = entry.present(patient);
                for member in handover.plan.roster(&present) {
                    if entry.member(member.id()).is_none() {
                        self.kin.remove(&(member.id(), patient));
                    }
                }
                note_unheard(&mut entry, &handover, &failure, run.now);
            }
            self.put_roster(patient, entry, None);
        }
        run.roster(cause, patient, [RosterEvent::Failed(failure)]);
    }

    /// Stores a patient with the handover that is under way, and when to look at both again.
    pub(super) fn put_roster(
        &mut self,
        patient: PatientId,
        entry: Patient,
        handover: Option<Handover>,
    ) {
        let before = self.patients.get(&patient).map(|before| {
            let handover = self.handovers.get(&patient);
            deadline(patient, before, handover)
        });
        if let Some(before) = before {
            self.roster_deadlines.remove(&(before, patient));
        }
        let next = deadline(patient, &entry, handover.as_ref());
        self.roster_deadlines.put((next, patient), ());
        match handover {
            Some(handover) => self.handovers.put(patient, handover),
            None => self.handovers.remove(&patient),
        }
        self.patients.put(patient, entry);
    }

    /// One of the patient's cases is over: what waited for that goes on, and used shares are due for a refresh.
    pub(super) fn on_case_over(
        &mut self,
        run: &mut Run,
        cause: Cause,
        patient: PatientId,
        granted: Option<CircleKind>,
    ) {
        let Some(mut entry) = self.patients.get(&patient).cloned() else {
            return;
        };
        entry.live_cases = entry.live_cases.saturating_sub(1);
        let handover = self.handovers.get(&patient).cloned();
        if let Some(circle) = granted {
            // The next block's time will find it due.
            entry.refresh_due_ms = entry.refresh_due_ms.min(run.now);
            entry.second_worn |= circle == CircleKind::Second && entry.enrolment.second.is_some();
        }
        self.put_roster(patient, entry, handover.clone());
        if let Some(handover) = handover {
            self.settle(run, cause, patient, handover, Vec::new());
        }
    }

    /// Moves every roster whose time has come.
    pub(super) fn pass_time_of_rosters(&mut self, run: &mut Run) {
        let due: Vec<PatientId> = self
            .roster_deadlines
            .range(..=(run.now, PatientId([0xff; 32])))
            .map(|((_, patient), ())| *patient)
            // After a pause of the chain the rest follows in the next blocks.
            .take(ROSTERS_PER_BLOCK_MAX)
            .collect();
        for patient in due {
            self.begin_drill(run, patient);
            match self.handovers.get(&patient).cloned() {
                Some(handover) => self.pass_time_of_handover(run, patient, handover),
                None => self.remind_of_refresh(run, patient),
            }
        }
    }

    fn pass_time_of_handover(&mut self, run: &mut Run, patient: PatientId, mut handover: Handover) {
        let Some(entry) = self.patients.get(&patient).cloned() else {
            return;
        };
        let (outcome, steps) = handover.on_time(&entry.present(patient), run.now);
        if outcome == Outcome::Ready && matches!(handover.plan, Plan::Recover { .. }) {
            return self.replace_device(run, patient, entry, &handover);
        }
        if let (Outcome::Ready, Plan::Rules(change)) = (&outcome, &handover.plan) {
            return self.change_rules(run, patient, entry, change);
        }
        if let Outcome::Failed(failure) = outcome {
            run.roster(None, patient, steps);
            return self.fail(run, None, patient, failure);
        }
        self.settle(run, None, patient, handover, steps);
    }

    fn remind_of_refresh(&mut self, run: &mut Run, patient: PatientId) {
        let Some(entry) = self.patients.get(&patient) else {
            return;
        };
        if entry.refresh_due_ms > run.now {
            return;
        }
        let mut entry = entry.clone();
        entry.refresh_due_ms = run.now.plus(entry.enrolment.rules.refresh_every_ms.0);
        entry.wants_refresh = true;
        entry.second_worn = entry.enrolment.second.is_some();
        self.put_roster(patient, entry, None);
        run.roster(None, patient, [RosterEvent::RefreshDue]);
    }
}

/// When to look at a roster again.
fn deadline(patient: PatientId, entry: &Patient, handover: Option<&Handover>) -> Millis {
    let next = match handover {
        Some(handover) => handover.deadline(&entry.present(patient)),
        None => Some(entry.refresh_due_ms),
    };
    next.map_or(entry.drill.due_ms, |next| next.min(entry.drill.due_ms))
}

/// A kin whose proposal found no quorum is quiet for as long as a proposal may stand. A veto alone silences nobody: it may be a thief's.
/// Who ended a plan of the patient's device with it is quiet so long once for each kin: those who are no quorum, one after the other,
/// must not keep the patient from ever being heard.
fn note_unheard(entry: &mut Patient, handover: &Handover, failure: &Failure, now: Millis) {
    super::rules::note_objection(entry, handover, failure, now);
    let Proposer::Kin(kin) = handover.proposer else {
        return;
    };
    let is_turned_down = matches!(failure, Failure::Objected | Failure::Silent(_));
    if handover.plan == Plan::Refresh || handover.not_before_ms.is_some() || !is_turned_down {
        return;
    }
    let rules = entry.enrolment.rules;
    let stands = rules.objection_ms.0.saturating_add(rules.step_ms.0);
    let times = if handover.displaced {
        entry.enrolment.roster.len() as u64
    } else {
        1
    };
    let until = now.plus(stands.saturating_mul(times));
    entry.unheard.retain(|_, quiet| *quiet > now);
    entry.unheard.insert(kin, until);
}

/// Feeds a step of a kin to the handover.
fn move_on(
    handover: &mut Handover,
    kin: KinId,
    entry: &Patient,
    patient: PatientId,
    step: &RosterStep,
    now: Millis,
) -> Result<Vec<RosterEvent>, RosterError> {
    let present = entry.present(patient);
    let dealer = || -> Result<ShareIndex, RosterError> {
        let (index, _) = entry.in_roster(kin).ok_or(RosterError::NotKin { kin })?;
        Ok(index)
    };
    match step {
        RosterStep::Support { .. } => handover.on_support(kin, &present, now),
        RosterStep::Object { .. } => handover.on_object(kin, &present),
        RosterStep::Deal {
            dealings, sealed, ..
        } => {
            let dealt = Dealt {
                dealings: dealings.clone(),
                sealed: *sealed,
            };
            handover.on_deal(dealer()?, dealt, &present, now)
        }
        RosterStep::Complain { dealer, tier, .. } => {
            handover.on_complain(kin, *dealer, *tier, &present, now)
        }
        RosterStep::Reveal {
            recipient,
            tier,
            share,
            ..
        } => handover.on_reveal(dealer()?, *recipient, *tier, *share, &present, now),
        RosterStep::Accept { dealt, .. } => handover.on_accept(kin, *dealt, &present),
        RosterStep::Propose(_)
        | RosterStep::Veto { .. }
        | RosterStep::Prove { .. }
        | RosterStep::Show { .. }
        | RosterStep::NameSecond(_)
        | RosterStep::Resign => Ok(Vec::new()),
    }
}

impl Run {
    pub(super) fn roster(
        &mut self,
        cause: Cause,
        patient: PatientId,
        steps: impl IntoIterator<Item = RosterEvent>,
    ) {
        for step in steps {
            self.emit(cause, What::Roster { patient, step });
        }
    }
}
