//! One handover, from the proposal to the new epoch.

use super::dealing::{TierDealing, handed_over};
use super::plan::{Plan, Present, Proposer};
use super::{DealingError, Failure, RosterError, RosterEvent};
use crate::crypto::group::ScalarBytes;
use crate::crypto::{Digest, HashWriter};
use crate::ids::{HandoverId, KinId};
use crate::ledger::{Member, TierShares};
use crate::units::{Epoch, Millis, ShareIndex, Tier};
use crate::wire;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a handover stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waiting for support, objections, a veto, or the end of the delay.
    Proposed,
    /// Waiting for dealings of present kin.
    Dealing,
    /// Waiting for the new kin to accept.
    Accepting,
}

impl Stage {
    /// The stage's name in text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Dealing => "being dealt",
            Self::Accepting => "being accepted",
        }
    }
}

/// A dealer's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dealt {
    /// Commitments for each tier, in the order of [`Tier::ALL`].
    pub dealings: Vec<TierDealing>,
    /// Digest of the sealed sub-shares.
    pub sealed: Digest,
}

/// Who complains of whom, about which tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Complaint {
    /// The dealer, by its index in the present roster.
    pub dealer: ShareIndex,
    /// Who complains, by its index in the new roster.
    pub recipient: ShareIndex,
    /// The tier.
    pub tier: Tier,
}

/// Why a dealer is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// What it revealed does not fit its commitments.
    Wrong,
    /// It did not answer a complaint in time.
    Silent,
    /// So many complained that answering them all would give its share away; proves nobody's fault.
    Disputed,
}

/// A change of a patient's roster or shares that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The handover: the digest of the proposing transaction.
    pub id: HandoverId,
    /// The epoch that it starts from.
    pub epoch: Epoch,
    /// What is planned.
    pub plan: Plan,
    /// By whom.
    pub proposer: Proposer,
    /// Block time of the proposal.
    pub proposed_ms: Millis,
    /// Where it stands.
    pub stage: Stage,
    /// Kin who support it.
    pub supporters: BTreeSet<KinId>,
    /// Kin who object.
    pub objections: BTreeSet<KinId>,
    /// When the delay is over; none while a quorum is still missing.
    pub not_before_ms: Option<Millis>,
    /// Whether the patient's device has spoken against a new device; it counts unless every kin supports that in the end.
    pub vetoed: bool,
    /// Whether it ended a plan of the patient's device that was waiting for objections.
    pub displaced: bool,
    /// Over without effect at this time.
    pub expires_ms: Millis,
    /// Dealings by the dealer's present index.
    pub dealings: BTreeMap<ShareIndex, Dealt>,
    /// Dealers that are out.
    pub barred: BTreeMap<ShareIndex, Fault>,
    /// Complaints that wait for an answer, until when.
    pub complaints: BTreeMap<Complaint, Millis>,
    /// Sub-shares that dealers have shown, and that fit.
    pub revealed: BTreeMap<Complaint, ScalarBytes>,
    /// New kin who hold their shares.
    pub acceptances: BTreeSet<KinId>,
}

/// What letting time pass, or the last acceptance, leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes on.
    Pending,
    /// All is there: the new roster and shares of the tiers, or the new device.
    Ready,
    /// It has failed.
    Failed(Failure),
}

pub(super) type Steps = Result<Vec<RosterEvent>, RosterError>;

impl Handover {
    /// A new handover; the plan is checked.
    pub(crate) fn propose(
        id: HandoverId,
        epoch: Epoch,
        plan: Plan,
        proposer: Proposer,
        present: &Present<'_>,
        now: Millis,
    ) -> Result<(Self, Vec<RosterEvent>), RosterError> {
        plan.check(present, proposer)?;
        let rules = present.rules();
        let is_refresh = plan == Plan::Refresh;
        let not_before_ms = match proposer {
            // The kin have just vouched for this very device, and waited.
            Proposer::Patient if present.is_recovering && plan.keeps_roster(present) => Some(now),
            Proposer::Patient => Some(now.plus(rules.objection_ms.0)),
            Proposer::Kin(_) => None,
        };
        let mut handover = Self {
            id,
            epoch,
            plan,
            proposer,
            proposed_ms: now,
            stage: Stage::Proposed,
            supporters: BTreeSet::new(),
            objections: BTreeSet::new(),
            not_before_ms: not_before_ms.filter(|_| !is_refresh),
            vetoed: false,
            displaced: false,
            expires_ms: now.plus(rules.objection_ms.0).plus(rules.step_ms.0),
            dealings: BTreeMap::new(),
            barred: BTreeMap::new(),
            complaints: BTreeMap::new(),
            revealed: BTreeMap::new(),
            acceptances: BTreeSet::new(),
        };
        let mut events = vec![RosterEvent::Proposed(proposer)];
        if is_refresh {
            // It changes neither who holds shares nor what they open.
            handover.begin(present, now, &mut events);
        } else if let Proposer::Kin(kin) = proposer {
            handover.supporters.insert(kin);
            handover.authorise(present, now, &mut events);
        }
        Ok((handover, events))
    }

    /// Whether another plan takes its place. A refresh waits for every kin; one that is gone must not stand in the way of its
    /// replacement. And a stolen device must not keep itself in office by proposing one thing after the other: a new device that
    /// a kin proposes ends what it has proposed, as long as that waits for objections.
    pub(crate) fn gives_way(&self, plan: &Plan, proposer: Proposer) -> bool {
        match self.plan {
            Plan::Refresh => *plan != Plan::Refresh,
            Plan::Reshare { .. } | Plan::Redeal { .. } | Plan::Recover { .. } | Plan::Rules(_) => {
                self.gives_way_to_a_device() && is_device_of_kin(plan, proposer)
            }
        }
    }

    fn gives_way_to_a_device(&self) -> bool {
        // What the kin have just vouched for waits for no objection.
        let waits = self
            .not_before_ms
            .is_some_and(|until| until > self.proposed_ms);
        self.proposer == Proposer::Patient && self.stage == Stage::Proposed && waits
    }

    /// The next time at which something happens by itself. None when all have accepted: then it waits for a case to end.
    #[must_use]
    pub fn deadline(&self, present: &Present<'_>) -> Option<Millis> {
        if self.is_accepted(present) {
            return None;
        }
        let delay = (self.stage == Stage::Proposed)
            .then_some(self.not_before_ms)
            .flatten();
        let answers = self.complaints.values().copied();
        let first = answers.chain(delay).min();
        Some(first.map_or(self.expires_ms, |first| first.min(self.expires_ms)))
    }

    /// What kin accept: the plan and the dealings that are fixed.
    #[must_use]
    pub fn dealt_digest(&self) -> Digest {
        let mut writer = HashWriter::new("kithkin/handover-dealt/1");
        writer
            .field(self.id)
            .field(wire::encode(&self.plan))
            .field(wire::encode(&self.dealings));
        writer.finish()
    }

    /// Shares of the tiers after the handover, as everybody computes them from what is on chain.
    ///
    /// # Errors
    /// [`DealingError`] when the dealings do not add up, or are not complete.
    pub fn tiers(&self, present: &Present<'_>) -> Result<Vec<TierShares>, DealingError> {
        handed_over(&self.plan, present.enrolment, &self.dealings)
    }

    /// Lets block time pass.
    pub(crate) fn on_time(
        &mut self,
        present: &Present<'_>,
        now: Millis,
    ) -> (Outcome, Vec<RosterEvent>) {
        let mut events = Vec::new();
        if self.stage == Stage::Proposed
            && self.expires_ms > now
            && self.not_before_ms.is_some_and(|delay| delay <= now)
        {
            if matches!(self.plan, Plan::Recover { .. }) {
                if self.vetoed && !self.is_unanimous(present) {
                    return (Outcome::Failed(Failure::Vetoed), events);
                }
                return (Outcome::Ready, events);
            }
            if matches!(self.plan, Plan::Rules(_)) {
                return (Outcome::Ready, events);
            }
            self.begin(present, now, &mut events);
        }
        let late: Vec<_> = self
            .complaints
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(complaint, _)| complaint.dealer)
            .collect();
        for dealer in late {
            self.bar(dealer, Fault::Silent, present, now, &mut events);
        }
        (self.outcome(present, now), events)
    }

    /// Whether it is ready, or has failed.
    pub(crate) fn outcome(&self, present: &Present<'_>, now: Millis) -> Outcome {
        if self.is_accepted(present) {
            return Outcome::Ready;
        }
        let dealers = present
            .enrolment
            .roster
            .len()
            .saturating_sub(self.barred.len());
        if self.plan.is_dealt_by_kin() && dealers < present.quorum() {
            return Outcome::Failed(Failure::TooFewDealers);
        }
        if self.objections.len() >= present.objections_max() {
            return Outcome::Failed(Failure::Objected);
        }
        if now >= self.expires_ms {
            return Outcome::Failed(Failure::Silent(self.silent(present)));
        }
        Outcome::Pending
    }

    fn is_accepted(&self, present: &Present<'_>) -> bool {
        self.stage == Stage::Accepting
            && self.complaints.is_empty()
            && self
                .plan
                .roster(present)
                .iter()
                .all(|member| self.acceptances.contains(&member.id()))
    }

    /// Who keeps it waiting.
    fn silent(&self, present: &Present<'_>) -> Vec<KinId> {
        let of = |roster: &[Member], done: &dyn Fn(usize, KinId) -> bool| {
            let kin = roster.iter().map(Member::id).enumerate();
            kin.filter(|(place, kin)| !done(*place, *kin))
                .map(|(_, kin)| kin)
                .collect()
        };
        let present_roster = &present.enrolment.roster;
        match self.stage {
            Stage::Proposed => of(present_roster, &|_, kin| self.supporters.contains(&kin)),
            Stage::Dealing => of(present_roster, &|place, _| {
                ShareIndex::from_position(place).is_some_and(|index| {
                    self.dealings.contains_key(&index) || self.barred.contains_key(&index)
                })
            }),
            Stage::Accepting => of(self.plan.roster(present), &|_, kin| {
                self.acceptances.contains(&kin)
            }),
        }
    }

    pub(crate) fn on_support(&mut self, kin: KinId, present: &Present<'_>, now: Millis) -> Steps {
        self.require(Stage::Proposed)?;
        let is_rules = matches!(self.plan, Plan::Rules(_));
        if self.proposer == Proposer::Patient && !is_rules {
            return Err(RosterError::NotAllowed {
                role: "patient's device",
            });
        }
        if !present.has(kin) {
            return Err(RosterError::NotKin { kin });
        }
        if !self.supporters.insert(kin) {
            return Err(RosterError::Twice { kin });
        }
        self.objections.remove(&kin);
        let mut events = vec![RosterEvent::Supported(kin)];
        if !is_rules {
            self.authorise(present, now, &mut events);
        } else if self.supporters.len() == present.quorum() {
            // Kin who could open everything need no time to object.
            self.not_before_ms = Some(now);
            events.push(RosterEvent::Authorised(now));
        }
        Ok(events)
    }

    pub(crate) fn on_object(&mut self, kin: KinId, present: &Present<'_>) -> Steps {
        self.require(Stage::Proposed)?;
        if !present.has(kin) {
            return Err(RosterError::NotKin { kin });
        }
        if self.supporters.contains(&kin) || !self.objections.insert(kin) {
            return Err(RosterError::Twice { kin });
        }
        Ok(vec![RosterEvent::Objected(kin)])
    }

    /// The patient's device speaks against it. True when that stops it at once. Against a new device the veto waits until the delay is
    /// over: the kin are to have time to stand behind it, all of them, however quick the old device is.
    pub(crate) fn on_veto(&mut self, present: &Present<'_>) -> Result<bool, RosterError> {
        if self.plan == Plan::Refresh {
            let role = "kin";
            return Err(RosterError::NotAllowed { role });
        }
        if matches!(self.proposer, Proposer::Kin(_)) {
            self.require(Stage::Proposed)?;
        }
        if !matches!(self.plan, Plan::Recover { .. }) {
            return Ok(true);
        }
        if self.is_unanimous(present) {
            return Err(RosterError::Unanimous);
        }
        self.vetoed = true;
        Ok(false)
    }

    fn is_unanimous(&self, present: &Present<'_>) -> bool {
        let roster = &present.enrolment.roster;
        roster
            .iter()
            .all(|member| self.supporters.contains(&member.id()))
    }

    pub(crate) fn on_deal(
        &mut self,
        dealer: ShareIndex,
        dealt: Dealt,
        present: &Present<'_>,
        now: Millis,
    ) -> Steps {
        self.require(Stage::Dealing)?;
        if self.barred.contains_key(&dealer) {
            return Err(RosterError::Barred { dealer });
        }
        if let Some(member) = present.enrolment.roster.get(dealer.position())
            && self.dealings.contains_key(&dealer)
        {
            return Err(RosterError::Twice { kin: member.id() });
        }
        super::dealing::check(&self.plan, present.enrolment, dealer, &dealt.dealings)?;
        self.dealings.insert(dealer, dealt);
        let mut events = vec![RosterEvent::Dealt(dealer)];
        self.fix(present, now, &mut events);
        Ok(events)
    }

    pub(crate) fn on_accept(&mut self, kin: KinId, dealt: Digest, present: &Present<'_>) -> Steps {
        self.require(Stage::Accepting)?;
        let recipient = index_of(self.plan.roster(present), kin)?;
        if dealt != self.dealt_digest() {
            return Err(RosterError::OtherDealings);
        }
        if !self.acceptances.insert(kin) {
            return Err(RosterError::Twice { kin });
        }
        // Who accepts has no complaint any more.
        self.complaints
            .retain(|complaint, _| complaint.recipient != recipient);
        Ok(vec![RosterEvent::Accepted(kin)])
    }

    /// The kin's quorum starts the delay in which the patient's device may veto.
    fn authorise(&mut self, present: &Present<'_>, now: Millis, events: &mut Vec<RosterEvent>) {
        if self.not_before_ms.is_none() && self.supporters.len() >= present.quorum() {
            let rules = present.rules();
            let until = now.plus(rules.veto_ms.0);
            self.not_before_ms = Some(until);
            self.expires_ms = until.plus(rules.step_ms.0);
            events.push(RosterEvent::Authorised(until));
        }
    }

    /// The delay is over: dealing begins, or accepting when the patient has dealt.
    fn begin(&mut self, present: &Present<'_>, now: Millis, events: &mut Vec<RosterEvent>) {
        let (stage, event) = if self.plan.is_dealt_by_kin() {
            (Stage::Dealing, RosterEvent::Dealing)
        } else {
            (Stage::Accepting, RosterEvent::Accepting)
        };
        self.enter(stage, present, now);
        events.push(event);
    }

    /// With a quorum of dealings their set is fixed.
    fn fix(&mut self, present: &Present<'_>, now: Millis, events: &mut Vec<RosterEvent>) {
        if self.dealings.len() >= present.quorum() {
            self.enter(Stage::Accepting, present, now);
            events.push(RosterEvent::Accepting);
        }
    }

    pub(super) fn enter(&mut self, stage: Stage, present: &Present<'_>, now: Millis) {
        self.stage = stage;
        self.expires_ms = now.plus(present.rules().step_ms.0);
    }

    pub(super) fn require(&self, stage: Stage) -> Result<(), RosterError> {
        let found = self.stage;
        (found == stage)
            .then_some(())
            .ok_or(RosterError::Stage { stage: found })
    }
}

fn is_device_of_kin(plan: &Plan, proposer: Proposer) -> bool {
    matches!((plan, proposer), (Plan::Recover { .. }, Proposer::Kin(_)))
}

/// The share index of a member.
pub(super) fn index_of(roster: &[Member], kin: KinId) -> Result<ShareIndex, RosterError> {
    roster
        .iter()
        .position(|member| member.id() == kin)
        .and_then(ShareIndex::from_position)
        .ok_or(RosterError::NotKin { kin })
}
