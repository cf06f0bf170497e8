//! What becomes of a dealing that somebody complains of (design, opening sections 4 and 5).

use super::handover::{Complaint, Fault, Handover, Stage, Steps, index_of};
use super::plan::{Plan, Present};
use super::{RosterError, RosterEvent};
use crate::crypto::group::ScalarBytes;
use crate::ids::KinId;
use crate::units::{Millis, ShareIndex, Tier};

impl Handover {
    /// From when on a recipient should complain of a dealer from whom nothing has come; of what has come and does not fit it complains at
    /// once. The answer stands in the clear for ever, so a phone that sleeps is left time: all that the rules give for accepting, but for
    /// what the answer may take and half of the rest.
    #[must_use]
    pub fn complain_of_silence_ms(&self, present: &Present<'_>) -> Millis {
        let rules = present.rules();
        let after = rules.step_ms.0.saturating_sub(rules.answer_ms.0) / 2;
        let begun = self.expires_ms.0.saturating_sub(rules.step_ms.0);
        Millis(begun.saturating_add(after))
    }

    pub(crate) fn on_complain(
        &mut self,
        kin: KinId,
        dealer: ShareIndex,
        tier: Tier,
        present: &Present<'_>,
        now: Millis,
    ) -> Steps {
        self.require(Stage::Accepting)?;
        let roster = self.plan.roster(present);
        let recipient = index_of(roster, kin)?;
        let complaint = Complaint {
            dealer,
            recipient,
            tier,
        };
        if !self.dealings.contains_key(&dealer) {
            return Err(RosterError::NoComplaint);
        }
        if self.acceptances.contains(&kin)
            || self.complaints.contains_key(&complaint)
            || self.revealed.contains_key(&complaint)
        {
            return Err(RosterError::Twice { kin });
        }
        // Who sees all of a recipient's sub-shares of a tier in the clear has its new share. A tier takes as many dealings as its
        // own threshold, which may be fewer than there are.
        let of_recipient = |other: &&Complaint| other.recipient == recipient && other.tier == tier;
        let asked = self.asked().filter(of_recipient).count();
        let taken = present.threshold(tier);
        if self.plan != Plan::Refresh && asked.saturating_add(1) >= taken {
            return Err(RosterError::AllDealers);
        }
        let mut events = vec![RosterEvent::Complained(complaint)];
        let due = now.plus(present.rules().answer_ms.0);
        self.complaints.insert(complaint, due);
        // As many sub-shares as the new threshold would be the dealer's share itself.
        let of_dealing = |other: &&Complaint| other.dealer == dealer && other.tier == tier;
        let asked = self.asked().filter(of_dealing).count();
        if self.plan != Plan::Refresh && asked >= self.threshold_min(present) {
            self.bar(dealer, Fault::Disputed, present, now, &mut events);
        }
        Ok(events)
    }

    pub(crate) fn on_reveal(
        &mut self,
        dealer: ShareIndex,
        recipient: ShareIndex,
        tier: Tier,
        share: ScalarBytes,
        present: &Present<'_>,
        now: Millis,
    ) -> Steps {
        let complaint = Complaint {
            dealer,
            recipient,
            tier,
        };
        let dealing = self
            .dealings
            .get(&dealer)
            .and_then(|dealt| {
                dealt
                    .dealings
                    .iter()
                    .zip(Tier::ALL)
                    .find(|(_, of)| *of == tier)
            })
            .filter(|_| self.complaints.contains_key(&complaint))
            .ok_or(RosterError::NoComplaint)?;
        let mut events = Vec::new();
        if dealing.0.fits(recipient, &share) {
            self.complaints.remove(&complaint);
            self.revealed.insert(complaint, share);
            events.push(RosterEvent::Cleared(complaint));
        } else {
            self.bar(dealer, Fault::Wrong, present, now, &mut events);
        }
        Ok(events)
    }

    /// A dealer is out; another has to take its place, and all accept anew.
    pub(super) fn bar(
        &mut self,
        dealer: ShareIndex,
        fault: Fault,
        present: &Present<'_>,
        now: Millis,
        events: &mut Vec<RosterEvent>,
    ) {
        if self.dealings.remove(&dealer).is_none() {
            return;
        }
        self.barred.insert(dealer, fault);
        self.acceptances.clear();
        self.complaints
            .retain(|complaint, _| complaint.dealer != dealer);
        self.revealed
            .retain(|complaint, _| complaint.dealer != dealer);
        self.enter(Stage::Dealing, present, now);
        events.push(RosterEvent::Barred(dealer, fault));
        events.push(RosterEvent::Dealing);
    }

    /// All complaints so far of dealings that stand: those that wait for an answer, and those that have one.
    fn asked(&self) -> impl Iterator<Item = &Complaint> {
        self.complaints.keys().chain(self.revealed.keys())
    }

    /// The lowest threshold of the new roster's tiers.
    fn threshold_min(&self, present: &Present<'_>) -> usize {
        match &self.plan {
            Plan::Reshare { thresholds, .. } => thresholds
                .iter()
                .copied()
                .min()
                .map_or(usize::MAX, usize::from),
            Plan::Redeal { .. } | Plan::Refresh | Plan::Recover { .. } | Plan::Rules(_) => {
                present.quorum()
            }
        }
    }
}
