//! Rosters over time, with real shares: refresh, change, complaints, drills, lost devices.

mod change;
mod dealers;
mod device;
mod drill;
mod refresh;
mod rules;
mod second;

use super::chain::*;
use crate::crypto::group::ScalarBytes;
use crate::crypto::{Digest, OpeningKey, Secret32};
use crate::emergency::Phase;
use crate::ids::{AccountId, HandoverId, KinId};
use crate::ledger::*;
use crate::roster::{
    Complaint, Failure, Fault, Plan, Proposer, Relation, RosterError, RosterEvent, RosterRules,
    RosterStep, Stage, TierDealing, refresh, reshare,
};
use crate::sharing::{
    Commitments, ResharingDealing, Share, SubShare, Threshold, TierKey, ZeroDealing, deal,
    reconstruct,
};
use crate::units::{Epoch, ShareIndex, Tier};
use std::collections::BTreeMap;

const RULES: RosterRules = RosterRules {
    objection_ms: Millis(1_000),
    veto_ms: Millis(1_000),
    step_ms: Millis(5_000),
    answer_ms: Millis(500),
    refresh_every_ms: Millis(1_000_000),
    drill_every_ms: Millis(2_000_000),
};

/// Someone who is not on the first roster.
const NEWCOMER: u8 = 14;
const NEW_DEVICE: u8 = 15;

/// The chain, and what each kin holds at home.
struct House {
    chain: Chain,
    /// Shares of each kin, by the number of its key, one for each tier.
    shares: BTreeMap<u8, Vec<Share>>,
    /// What was sent to whom: recipient's index and tier.
    inbox: BTreeMap<(ShareIndex, Tier), Vec<SubShare>>,
}

impl House {
    fn new() -> Self {
        Self::with(RULES)
    }

    fn with(rules: RosterRules) -> Self {
        Self::of(rules, [2; Tier::ALL.len()])
    }

    /// With these thresholds of the tiers.
    fn of(rules: RosterRules, thresholds: [usize; Tier::ALL.len()]) -> Self {
        let mut chain = Chain::new();
        let mut enrolment = chain.enrolment();
        let mut shares: BTreeMap<u8, Vec<Share>> = BTreeMap::new();
        for (tier, needed) in enrolment.tiers.iter_mut().zip(thresholds) {
            let threshold = Threshold::new(needed, KIN.len()).expect("three kin");
            let key = TierKey::random(&mut chain.rng);
            let (commitments, dealt) = deal(&key, threshold, &mut chain.rng).expect("dealt");
            tier.commitments = commitments;
            for (n, share) in KIN.into_iter().zip(dealt) {
                shares.entry(n).or_default().push(share);
            }
        }
        enrolment.rules = rules;
        chain.accept(&mut enrolment);
        chain.act(PATIENT, TxBody::Enrol(Box::new(enrolment)));
        Self {
            chain,
            shares,
            inbox: BTreeMap::new(),
        }
    }

    fn entry(&self) -> &Patient {
        self.chain
            .ledger
            .state()
            .patient(patient())
            .expect("enrolled")
    }

    fn handover(&self) -> &crate::roster::Handover {
        self.chain
            .ledger
            .state()
            .handover(patient())
            .expect("under way")
    }

    fn id(&self) -> HandoverId {
        self.handover().id
    }

    fn act(&mut self, signer: u8, step: RosterStep) -> Vec<RosterEvent> {
        steps(self.chain.act(signer, body(step)))
    }

    fn refused(&mut self, signer: u8, step: RosterStep) -> RosterError {
        match self.chain.rejected(signer, body(step)) {
            Rejection::Roster(error) => error,
            other => panic!("expected a refusal by the roster, got {other:?}"),
        }
    }

    fn propose(&mut self, signer: u8, plan: Plan) -> Vec<RosterEvent> {
        self.act(signer, RosterStep::Propose(Box::new(plan)))
    }

    fn pass(&mut self, ms: u64) -> Vec<RosterEvent> {
        steps(self.chain.run_after(ms, Vec::new()))
    }

    /// What kin `n` deals now; the sub-shares go to their recipients' inboxes.
    fn dealings(&mut self, n: u8) -> Vec<TierDealing> {
        let entry = self.entry().clone();
        let plan = self.handover().plan.clone();
        let (dealer, _) = entry.in_roster(kin(n)).expect("on the roster");
        let mut dealings = Vec::new();
        for (place, shares) in entry.enrolment.tiers.iter().enumerate() {
            let (dealing, sub_shares) = match &plan {
                Plan::Reshare { roster, thresholds } => {
                    let threshold =
                        Threshold::new(thresholds[place].into(), roster.len()).expect("fits");
                    let share = &self.shares[&n][place];
                    let rng = &mut self.chain.rng;
                    let (dealing, subs) =
                        ResharingDealing::deal(share, threshold, rng).expect("dealt");
                    (TierDealing::Share(dealing), subs)
                }
                _ => {
                    let kin = entry.enrolment.roster.len();
                    let threshold =
                        Threshold::new(shares.commitments.threshold(), kin).expect("fits");
                    let rng = &mut self.chain.rng;
                    let (dealing, subs) = ZeroDealing::deal(dealer, threshold, rng).expect("dealt");
                    (TierDealing::Zero(dealing), subs)
                }
            };
            for sub_share in sub_shares {
                let to = (sub_share.recipient(), shares.tier);
                self.inbox.entry(to).or_default().push(sub_share);
            }
            dealings.push(dealing);
        }
        dealings
    }

    fn deal(&mut self, n: u8) -> Vec<RosterEvent> {
        let dealings = self.dealings(n);
        let handover = self.id();
        let sealed = Digest([n; 32]);
        self.act(
            n,
            RosterStep::Deal {
                handover,
                dealings,
                sealed,
            },
        )
    }

    /// A complaint about what the dealer sent for the tier.
    fn complaint(&self, dealer: ShareIndex, tier: Tier) -> RosterStep {
        RosterStep::Complain {
            handover: self.id(),
            dealer,
            tier,
        }
    }

    fn accept(&mut self, n: u8) -> Vec<RosterEvent> {
        let handover = self.id();
        let dealt = self.handover().dealt_digest();
        self.act(n, RosterStep::Accept { handover, dealt })
    }

    /// What everybody holds after the handover that is being accepted; the old shares come back.
    fn renew(&mut self) -> BTreeMap<u8, Vec<Share>> {
        let entry = self.entry().clone();
        let handover = self.handover().clone();
        let mut next: BTreeMap<u8, Vec<Share>> = BTreeMap::new();
        let roster = handover.plan.roster(&entry.present(patient())).to_vec();
        for (position, member) in roster.iter().enumerate() {
            let to = ShareIndex::from_position(position).expect("small");
            let n = (1..=30)
                .find(|n| kin(*n) == member.id())
                .expect("one of ours");
            for (place, shares) in entry.enrolment.tiers.iter().enumerate() {
                let empty = Vec::new();
                let sent = self.inbox.get(&(to, shares.tier)).unwrap_or(&empty);
                let (present, dealt) = (&entry.enrolment, &handover.dealings);
                let share = match &handover.plan {
                    Plan::Refresh => {
                        let refresh = refresh(present, shares, dealt).expect("adds up");
                        refresh.renew(&self.shares[&n][place], sent)
                    }
                    plan => {
                        let reshare = reshare(plan, shares, dealt).expect("adds up");
                        reshare.share(to, sent)
                    }
                };
                next.entry(n)
                    .or_default()
                    .push(share.expect("all sub-shares are there"));
            }
        }
        std::mem::replace(&mut self.shares, next)
    }

    /// A refresh that is dealt by the first two.
    fn refresh_dealt(&mut self) {
        self.propose(PATIENT, Plan::Refresh);
        self.deal(KIN[0]);
        self.deal(KIN[1]);
    }

    /// A whole refresh; the shares before it.
    fn refresh(&mut self) -> BTreeMap<u8, Vec<Share>> {
        self.refresh_dealt();
        let old = self.renew();
        for n in KIN {
            self.accept(n);
        }
        old
    }

    /// Whether these shares give the keys that the chain names.
    fn opens(&self, shares: &[&Vec<Share>]) -> bool {
        let tiers = &self.entry().enrolment.tiers;
        tiers.iter().enumerate().all(|(place, tier)| {
            let given: Vec<&Share> = shares.iter().map(|of| &of[place]).collect();
            rebuilds(&tier.commitments, &given)
        })
    }
}

fn index(n: u8) -> ShareIndex {
    ShareIndex::new(n).expect("not zero")
}

fn kin(n: u8) -> KinId {
    KinId::of(&key(n).verifying_key())
}

fn member(n: u8) -> Member {
    Member {
        key: key(n).verifying_key(),
        sealing: OpeningKey::from_seed(Secret32::new([n; 32])).sealing_key(),
        relation: Relation::Sibling,
    }
}

fn rebuilds(commitments: &Commitments, shares: &[&Share]) -> bool {
    let copies: Vec<Share> = shares
        .iter()
        .map(|share| Share::from_bytes(&share.to_bytes()[..]).expect("a share"))
        .collect();
    reconstruct(&copies, commitments).is_ok_and(|rebuilt| rebuilt.refused.is_empty())
}

fn steps(what: Vec<What>) -> Vec<RosterEvent> {
    what.into_iter()
        .filter_map(|what| match what {
            What::Roster { step, .. } => Some(step),
            What::Rejected { reason, .. } => panic!("refused: {reason}"),
            _ => None,
        })
        .collect()
}

fn new_roster() -> Plan {
    Plan::Reshare {
        roster: [KIN[0], KIN[2], NEWCOMER].map(member).to_vec(),
        thresholds: [2; 3],
    }
}

fn body(step: RosterStep) -> TxBody {
    TxBody::Roster {
        patient: patient(),
        step: Box::new(step),
    }
}
