//! Rosters over time, with real shares: refresh, change, complaints, drills, lost devices.

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

impl House {
    fn new() -> Self {
        Self::with(RULES)
    }

    fn with(rules: RosterRules) -> Self {
        let mut chain = Chain::new();
        let mut enrolment = chain.enrolment();
        let mut shares: BTreeMap<u8, Vec<Share>> = BTreeMap::new();
        for tier in &mut enrolment.tiers {
            let threshold = Threshold::majority(KIN.len()).expect("three kin");
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
        let body = TxBody::Roster {
            patient: patient(),
            step: Box::new(step),
        };
        steps(self.chain.act(signer, body))
    }

    fn refused(&mut self, signer: u8, step: RosterStep) -> RosterError {
        let body = TxBody::Roster {
            patient: patient(),
            step: Box::new(step),
        };
        match self.chain.rejected(signer, body) {
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

    /// A whole refresh; the shares before it.
    fn refresh(&mut self) -> BTreeMap<u8, Vec<Share>> {
        self.propose(PATIENT, Plan::Refresh);
        self.deal(KIN[0]);
        self.deal(KIN[1]);
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

#[test]
fn a_refresh_changes_every_share_and_no_key() {
    let mut house = House::new();
    let before = house.entry().clone();
    assert_eq!(
        house.propose(PATIENT, Plan::Refresh),
        [
            RosterEvent::Proposed(Proposer::Patient),
            RosterEvent::Dealing
        ]
    );
    assert!(matches!(
        house.refused(KIN[1], RosterStep::Propose(Box::new(Plan::Refresh))),
        RosterError::Busy { .. }
    ));
    assert_eq!(house.deal(KIN[2]), [RosterEvent::Dealt(index(3))]);
    assert_eq!(
        house.deal(KIN[0]),
        [RosterEvent::Dealt(index(1)), RosterEvent::Accepting]
    );
    let old = house.renew();
    house.accept(KIN[0]);
    house.accept(KIN[1]);
    assert_eq!(
        house.entry().epoch,
        Epoch(1),
        "one kin has not accepted yet"
    );
    assert_eq!(
        house.accept(KIN[2]),
        [
            RosterEvent::Accepted(kin(KIN[2])),
            RosterEvent::Done(Epoch(2))
        ]
    );
    let after = house.entry().clone();
    assert_eq!(after.epoch, Epoch(2));
    assert_eq!(after.roster_since, Epoch(1), "the roster is the same");
    for (old, new) in before.enrolment.tiers.iter().zip(&after.enrolment.tiers) {
        assert_eq!(old.commitments.public_key(), new.commitments.public_key());
        assert_ne!(old.commitments, new.commitments);
        assert_eq!(old.policy, new.policy);
    }
    let [a, b, c] = KIN;
    for pair in [[a, b], [a, c], [b, c]] {
        let [x, y] = pair;
        assert!(house.opens(&[&house.shares[&x], &house.shares[&y]]));
        assert!(
            !house.opens(&[&old[&x], &house.shares[&y]]),
            "old and new do not mix"
        );
        assert!(
            !house.opens(&[&old[&x], &old[&y]]),
            "the old ones fit the chain no more"
        );
    }
    assert!(house.chain.ledger.state().handover(patient()).is_none());
    house.refresh();
    assert_eq!(house.entry().epoch, Epoch(3), "and again");
}

#[test]
fn nobody_outside_the_roster_moves_anything() {
    let mut house = House::new();
    assert!(matches!(
        house.refused(HOSPITAL, RosterStep::Propose(Box::new(Plan::Refresh))),
        RosterError::NotKin { .. }
    ));
    house.propose(PATIENT, Plan::Refresh);
    let dealings = house.dealings(KIN[0]);
    let (handover, sealed) = (house.id(), Digest([0; 32]));
    let step = RosterStep::Deal {
        handover,
        dealings: dealings.clone(),
        sealed,
    };
    assert!(matches!(
        house.refused(PATIENT, step),
        RosterError::NotKin { .. }
    ));
    // A dealing in another's name, and one for two tiers only.
    let step = RosterStep::Deal {
        handover,
        dealings: dealings.clone(),
        sealed,
    };
    assert!(matches!(
        house.refused(KIN[1], step),
        RosterError::Dealing(_)
    ));
    let step = RosterStep::Deal {
        handover,
        dealings: dealings[..2].to_vec(),
        sealed,
    };
    assert!(matches!(
        house.refused(KIN[0], step),
        RosterError::Dealing(_)
    ));
    let other = HandoverId([9; 32]);
    let step = RosterStep::Accept {
        handover: other,
        dealt: sealed,
    };
    assert_eq!(house.refused(KIN[0], step), RosterError::Unknown);
    let step = RosterStep::Accept {
        handover,
        dealt: sealed,
    };
    let stage = Stage::Dealing;
    assert_eq!(house.refused(KIN[0], step), RosterError::Stage { stage });
}

#[test]
fn a_dealer_that_sent_something_wrong_is_named_and_replaced() {
    let mut house = House::new();
    house.propose(PATIENT, Plan::Refresh);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    house.accept(KIN[0]);
    let handover = house.id();
    let (dealer, tier) = (index(2), Tier::Chart);
    let complaint = Complaint {
        dealer,
        recipient: index(3),
        tier,
    };
    let complain = RosterStep::Complain {
        handover,
        dealer,
        tier,
    };
    assert_eq!(
        house.act(KIN[2], complain.clone()),
        [RosterEvent::Complained(complaint)]
    );
    assert_eq!(
        house.refused(KIN[2], complain),
        RosterError::Twice { kin: kin(KIN[2]) }
    );
    let reveal = |share| RosterStep::Reveal {
        handover,
        recipient: index(3),
        tier,
        share,
    };
    let wrong = ScalarBytes([1; 32]);
    assert_eq!(
        house.act(KIN[1], reveal(wrong)),
        [
            RosterEvent::Barred(dealer, Fault::Wrong),
            RosterEvent::Dealing
        ]
    );
    assert!(house.handover().acceptances.is_empty(), "all accept anew");
    let dealings = house.dealings(KIN[1]);
    let step = RosterStep::Deal {
        handover,
        dealings,
        sealed: Digest([0; 32]),
    };
    assert_eq!(house.refused(KIN[1], step), RosterError::Barred { dealer });
    house.deal(KIN[2]);
    house.renew();
    for n in KIN {
        house.accept(n);
    }
    assert_eq!(house.entry().epoch, Epoch(2));
    assert!(house.opens(&[&house.shares[&KIN[0]], &house.shares[&KIN[1]]]));
}

#[test]
fn a_false_complaint_excludes_nobody() {
    let mut house = House::new();
    house.propose(PATIENT, Plan::Refresh);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    let handover = house.id();
    let (dealer, recipient, tier) = (index(1), index(3), Tier::Summary);
    house.act(
        KIN[2],
        RosterStep::Complain {
            handover,
            dealer,
            tier,
        },
    );
    let sent = &house.inbox[&(recipient, tier)];
    let share = sent
        .iter()
        .find(|sub| sub.dealer() == dealer)
        .expect("sent");
    let share = share.publish().value;
    let complaint = Complaint {
        dealer,
        recipient,
        tier,
    };
    let reveal = RosterStep::Reveal {
        handover,
        recipient,
        tier,
        share,
    };
    assert_eq!(
        house.act(KIN[0], reveal.clone()),
        [RosterEvent::Cleared(complaint)]
    );
    assert_eq!(house.refused(KIN[0], reveal), RosterError::NoComplaint);
    assert_eq!(
        house.handover().revealed[&complaint],
        share,
        "the recipient finds it on chain"
    );
    house.renew();
    for n in KIN {
        house.accept(n);
    }
    assert_eq!(house.entry().epoch, Epoch(2));
}

#[test]
fn a_dealer_that_does_not_answer_is_out_and_too_few_dealers_end_it() {
    let mut house = House::new();
    house.propose(PATIENT, Plan::Refresh);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    let handover = house.id();
    let tier = Tier::Summary;
    for dealer in [index(1), index(2)] {
        house.act(
            KIN[2],
            RosterStep::Complain {
                handover,
                dealer,
                tier,
            },
        );
    }
    assert!(house.pass(400).is_empty(), "there is still time to answer");
    let events = house.pass(200);
    assert!(events.contains(&RosterEvent::Barred(index(1), Fault::Silent)));
    assert!(events.contains(&RosterEvent::Barred(index(2), Fault::Silent)));
    assert_eq!(
        events.last(),
        Some(&RosterEvent::Failed(Failure::TooFewDealers))
    );
    assert_eq!(house.entry().epoch, Epoch(1), "all stays as it was");
    assert!(house.chain.ledger.state().handover(patient()).is_none());
}

fn new_roster() -> Plan {
    Plan::Reshare {
        roster: [KIN[0], KIN[2], NEWCOMER].map(member).to_vec(),
        thresholds: [2; 3],
    }
}

#[test]
fn the_patient_replaces_a_kin_after_the_delay() {
    let mut house = House::new();
    house.propose(PATIENT, new_roster());
    assert!(house.pass(900).is_empty(), "kin may still object");
    assert_eq!(house.pass(200), [RosterEvent::Dealing]);
    house.deal(KIN[0]);
    assert_eq!(
        house.deal(KIN[1]),
        [RosterEvent::Dealt(index(2)), RosterEvent::Accepting],
        "who leaves deals too"
    );
    let old = house.renew();
    house.accept(KIN[0]);
    house.accept(KIN[2]);
    assert_eq!(house.entry().epoch, Epoch(1), "nobody is dropped half-way");
    let done = house.accept(NEWCOMER);
    assert_eq!(done.last(), Some(&RosterEvent::Done(Epoch(2))));
    assert_eq!(house.entry().roster_since, Epoch(2));
    let (first, second, third) = (KIN[0], KIN[2], NEWCOMER);
    for (x, y) in [(first, second), (first, third), (second, third)] {
        assert!(house.opens(&[&house.shares[&x], &house.shares[&y]]));
    }
    assert!(
        !house.opens(&[&old[&KIN[1]], &house.shares[&third]]),
        "who left opens nothing"
    );
    // Who left is not known to the ledger any more.
    let support = RosterStep::Resign;
    let body = TxBody::Roster {
        patient: patient(),
        step: Box::new(support),
    };
    let signed = house.chain.sign(KIN[1], body);
    let block = house.chain.block(1, vec![signed]);
    assert!(matches!(
        house.chain.ledger.check_block(&block),
        Err(BlockError::Envelope { .. })
    ));
}

#[test]
fn kin_stop_what_a_stolen_device_proposes() {
    let mut house = House::new();
    let theirs = Plan::Reshare {
        roster: [21, 22, 23].map(member).to_vec(),
        thresholds: [2; 3],
    };
    house.propose(PATIENT, theirs);
    let handover = house.id();
    let object = RosterStep::Object { handover };
    assert_eq!(
        house.act(KIN[0], object.clone()),
        [RosterEvent::Objected(kin(KIN[0]))]
    );
    assert_eq!(
        house.refused(KIN[0], object.clone()),
        RosterError::Twice { kin: kin(KIN[0]) }
    );
    let body = TxBody::Roster {
        patient: patient(),
        step: Box::new(object.clone()),
    };
    let signed = house.chain.sign(21, body);
    let block = house.chain.block(1, vec![signed]);
    assert!(
        house.chain.ledger.check_block(&block).is_err(),
        "a stranger still"
    );
    assert_eq!(
        house.act(KIN[1], object.clone()),
        [
            RosterEvent::Objected(kin(KIN[1])),
            RosterEvent::Failed(Failure::Objected)
        ]
    );
    assert!(house.pass(10_000).is_empty());
    assert_eq!(house.entry().epoch, Epoch(1));
    assert!(
        !house
            .chain
            .ledger
            .state()
            .kin
            .contains(&(kin(21), patient()))
    );
}

#[test]
fn the_kins_quorum_changes_the_roster_and_the_patient_may_veto() {
    let mut house = House::new();
    assert_eq!(
        house.propose(KIN[0], new_roster()),
        [RosterEvent::Proposed(Proposer::Kin(kin(KIN[0])))]
    );
    assert!(house.pass(2_000).is_empty(), "one alone decides nothing");
    let handover = house.id();
    let events = house.act(KIN[2], RosterStep::Support { handover });
    assert!(matches!(
        events.as_slice(),
        [RosterEvent::Supported(_), RosterEvent::Authorised(_)]
    ));
    assert!(matches!(
        house.refused(KIN[1], RosterStep::Veto { handover }),
        RosterError::NotAllowed { .. }
    ));
    assert_eq!(
        house.act(PATIENT, RosterStep::Veto { handover }),
        [RosterEvent::Failed(Failure::Vetoed)]
    );
    house.propose(KIN[0], new_roster());
    let handover = house.id();
    house.act(KIN[2], RosterStep::Support { handover });
    assert_eq!(house.pass(1_000), [RosterEvent::Dealing], "no veto came");
}

#[test]
fn who_keeps_a_handover_waiting_is_named() {
    let mut house = House::new();
    house.propose(PATIENT, Plan::Refresh);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    house.accept(KIN[0]);
    house.accept(KIN[2]);
    assert_eq!(
        house.pass(5_000),
        [RosterEvent::Failed(Failure::Silent(vec![kin(KIN[1])]))]
    );
    assert_eq!(house.entry().epoch, Epoch(1));
}

#[test]
fn another_device_speaks_for_the_patient_and_deals_anew() {
    let mut house = House::new();
    let case = house.chain.open_case();
    let plan = Plan::Recover {
        device: key(NEW_DEVICE).verifying_key(),
        sealing: OpeningKey::from_seed(Secret32::new([NEW_DEVICE; 32])).sealing_key(),
    };
    assert!(matches!(
        house.refused(PATIENT, RosterStep::Propose(Box::new(plan.clone()))),
        RosterError::NotAllowed { .. }
    ));
    house.propose(KIN[0], plan.clone());
    let handover = house.id();
    house.act(KIN[1], RosterStep::Support { handover });
    assert_eq!(
        house.act(PATIENT, RosterStep::Veto { handover }),
        [RosterEvent::VetoNoted]
    );
    assert_eq!(
        house.pass(1_000),
        [RosterEvent::Failed(Failure::Vetoed)],
        "the old device was not lost"
    );
    house.propose(KIN[0], plan);
    let handover = house.id();
    // However quick a thief is: the kin have the whole delay to stand behind the new device.
    house.act(PATIENT, RosterStep::Veto { handover });
    house.act(KIN[1], RosterStep::Support { handover });
    house.act(KIN[2], RosterStep::Support { handover });
    assert_eq!(
        house.refused(PATIENT, RosterStep::Veto { handover }),
        RosterError::Unanimous
    );
    assert_eq!(house.pass(1_000), [RosterEvent::DeviceReplaced]);
    assert_eq!(house.entry().exposed, Some(Epoch(1)));
    assert_eq!(
        house.entry().device,
        AccountId::of(&key(NEW_DEVICE).verifying_key())
    );
    // The old device is nobody now; the new one stops the case.
    let signed = house.chain.sign(PATIENT, TxBody::Veto { case });
    let block = house.chain.block(1, vec![signed]);
    assert!(house.chain.ledger.check_block(&block).is_err());
    house.chain.act(NEW_DEVICE, TxBody::Veto { case });
    assert_eq!(house.chain.phase(case), Phase::Vetoed);
    redeal(&mut house);
}

/// The new device rebuilds the keys from two released shares and deals them anew.
fn redeal(house: &mut House) {
    let entry = house.entry().clone();
    let threshold = Threshold::majority(KIN.len()).expect("three kin");
    let mut commitments = Vec::new();
    let mut shares: BTreeMap<u8, Vec<Share>> = BTreeMap::new();
    for (place, tier) in entry.enrolment.tiers.iter().enumerate() {
        let released: Vec<Share> = KIN[..2]
            .iter()
            .map(|n| Share::from_bytes(&house.shares[n][place].to_bytes()[..]).expect("a share"))
            .collect();
        let rebuilt = reconstruct(&released, &tier.commitments).expect("two of three");
        let rng = &mut house.chain.rng;
        let (fresh, dealt) = deal(&rebuilt.key, threshold, rng).expect("dealt");
        commitments.push(fresh);
        for (n, share) in KIN.into_iter().zip(dealt) {
            shares.entry(n).or_default().push(share);
        }
    }
    let roster = entry.enrolment.roster.clone();
    let plan = Plan::Redeal {
        roster,
        commitments,
    };
    assert!(matches!(
        house.refused(KIN[0], RosterStep::Propose(Box::new(plan.clone()))),
        RosterError::NotAllowed { .. }
    ));
    house.propose(NEW_DEVICE, plan);
    assert_eq!(
        house.pass(1),
        [RosterEvent::Accepting],
        "the kin have just vouched for it"
    );
    for n in KIN {
        house.accept(n);
    }
    assert_eq!(house.entry().epoch, Epoch(2));
    assert_eq!(
        house.entry().exposed,
        Some(Epoch(1)),
        "what was sealed before stays exposed"
    );
    assert!(house.opens(&[&shares[&KIN[0]], &shares[&KIN[2]]]));
    assert!(!house.opens(&[&house.shares[&KIN[0]], &shares[&KIN[2]]]));
}

#[test]
fn another_key_cannot_be_dealt() {
    let mut house = House::new();
    let threshold = Threshold::majority(KIN.len()).expect("three kin");
    let commitments = (0..3)
        .map(|_| {
            let key = TierKey::random(&mut house.chain.rng);
            deal(&key, threshold, &mut house.chain.rng)
                .expect("dealt")
                .0
        })
        .collect();
    let roster = house.entry().enrolment.roster.clone();
    let plan = Plan::Redeal {
        roster,
        commitments,
    };
    assert!(matches!(
        house.refused(PATIENT, RosterStep::Propose(Box::new(plan))),
        RosterError::Plan { .. }
    ));
}

#[test]
fn an_epoch_does_not_change_under_a_live_case() {
    let mut house = House::new();
    let case = house.chain.open_case();
    for n in [KIN[0], KIN[1]] {
        let approval = house.chain.approval(case);
        house.chain.act(n, approval);
    }
    assert_eq!(house.chain.phase(case), Phase::Granted);
    house.propose(PATIENT, Plan::Refresh);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    house.renew();
    for n in KIN {
        house.accept(n);
    }
    assert!(
        house.pass(9_000).is_empty(),
        "all accepted, so time does not end it"
    );
    assert_eq!(house.entry().epoch, Epoch(1), "the case is still open");
    let events = steps(house.chain.act(HOSPITAL, TxBody::Close { case }));
    assert_eq!(events, [RosterEvent::Done(Epoch(2))]);
}

#[test]
fn after_a_case_that_was_granted_a_refresh_is_due() {
    let mut house = House::new();
    let case = house.chain.open_case();
    house.chain.act(PATIENT, TxBody::Veto { case });
    assert!(house.pass(10).is_empty(), "nothing was opened");
    let case = house.chain.open_case();
    for n in [KIN[0], KIN[1]] {
        let approval = house.chain.approval(case);
        house.chain.act(n, approval);
    }
    house.chain.act(HOSPITAL, TxBody::Close { case });
    assert_eq!(house.pass(1), [RosterEvent::RefreshDue]);
    assert!(house.entry().wants_refresh);
    house.refresh();
    assert!(!house.entry().wants_refresh);
    assert_eq!(
        house.pass(1_000_000),
        [RosterEvent::RefreshDue],
        "and by the calendar"
    );
}

#[test]
fn a_drill_shows_whose_shares_are_alive() {
    let mut house = House::new();
    let events = house.pass(2_000_000);
    let height = house.chain.ledger.height();
    assert!(events.contains(&RosterEvent::DrillDue(height)));
    let (_, seed) = house.entry().drill.round.expect("begun");
    let answers = |house: &mut House, n: u8| -> Vec<crate::sharing::DrillAnswer> {
        let entry = house.entry().clone();
        let chain = house.chain.ledger.chain();
        let tiers = Tier::ALL.into_iter().enumerate();
        tiers
            .map(|(place, tier)| {
                let drill = crate::sharing::DrillContext {
                    chain,
                    patient: patient(),
                    tier,
                    epoch: entry.epoch,
                    seed,
                };
                let commitments = &entry.enrolment.tiers[place].commitments;
                let share = &house.shares[&n][place];
                drill
                    .answer(share, commitments, &mut house.chain.rng)
                    .expect("a good share")
            })
            .collect()
    };
    let good = answers(&mut house, KIN[0]);
    let prove = |answers: &[crate::sharing::DrillAnswer], height| RosterStep::Prove {
        height,
        answers: answers.to_vec(),
    };
    let early = height.plus(1);
    assert_eq!(
        house.refused(KIN[0], prove(&good, early)),
        RosterError::NoDrill { height: early }
    );
    assert!(matches!(
        house.refused(KIN[1], prove(&good, height)),
        RosterError::Drill { .. }
    ));
    assert!(matches!(
        house.refused(KIN[0], prove(&good[..2], height)),
        RosterError::Drill { .. }
    ));
    assert_eq!(
        house.act(KIN[0], prove(&good, height)),
        [RosterEvent::Proved(kin(KIN[0]))]
    );
    assert!(matches!(
        house.refused(KIN[0], prove(&good, height)),
        RosterError::Twice { .. }
    ));
    let proved = &house.entry().drill.proved;
    assert_eq!(proved.keys().copied().collect::<Vec<_>>(), [index(1)]);
}

#[test]
fn a_kin_resigns_and_stays_until_replaced() {
    let mut house = House::new();
    assert_eq!(
        house.act(KIN[1], RosterStep::Resign),
        [RosterEvent::Resigned(kin(KIN[1]))]
    );
    assert!(matches!(
        house.refused(KIN[1], RosterStep::Resign),
        RosterError::Twice { .. }
    ));
    assert!(house.entry().resigned.contains(&kin(KIN[1])));
    house.propose(PATIENT, new_roster());
    house.pass(1_000);
    house.deal(KIN[0]);
    house.deal(KIN[2]);
    house.renew();
    for n in [KIN[0], KIN[2], NEWCOMER] {
        house.accept(n);
    }
    assert!(house.entry().resigned.is_empty());
    assert_eq!(house.entry().enrolment.roster.len(), 3);
}

#[test]
fn a_refresh_gives_way_to_a_change_of_the_roster() {
    let mut house = House::new();
    house.propose(PATIENT, Plan::Refresh);
    house.deal(KIN[0]);
    assert!(matches!(
        house.refused(KIN[1], RosterStep::Propose(Box::new(Plan::Refresh))),
        RosterError::Busy { .. }
    ));
    let events = house.propose(KIN[0], new_roster());
    assert_eq!(events[0], RosterEvent::Failed(Failure::Superseded));
    assert!(matches!(
        house.refused(KIN[1], RosterStep::Propose(Box::new(Plan::Refresh))),
        RosterError::Busy { .. }
    ));
    let handover = house.id();
    house.act(KIN[2], RosterStep::Support { handover });
    assert_eq!(house.pass(1_000), [RosterEvent::Dealing]);
}

#[test]
fn what_was_in_force_when_a_case_was_opened_stays_provable() {
    let mut house = House::new();
    let before = house.entry().enrolment.clone();
    let case = house.chain.open_case();
    house.chain.act(PATIENT, TxBody::Veto { case });
    house.refresh();
    assert_ne!(house.entry().enrolment.tiers, before.tiers);
    let key = State::roster_key(patient(), Epoch(1));
    let proof = house.chain.ledger.prove(key).expect("provable");
    assert_eq!(proof.verify(&house.chain.ledger.state_root()), Ok(()));
    let kept: Enrolment =
        State::decode_value(proof.value.as_ref().expect("there")).expect("an enrolment");
    assert_eq!(kept, before);
    let state = house.chain.ledger.state();
    assert!(
        state.roster_of(patient(), Epoch(2)).is_none(),
        "no case was opened in it"
    );
}

/// Who may speak can change within a block; the block that its master chose stands all the same.
#[test]
fn a_signer_who_is_removed_within_a_block_does_not_spoil_it() {
    let mut house = House::new();
    house.propose(PATIENT, new_roster());
    house.pass(1_000);
    assert_eq!(house.handover().stage, Stage::Dealing);
    let of = |step| TxBody::Roster {
        patient: patient(),
        step: Box::new(step),
    };
    let handover = house.id();
    let veto = house.chain.sign(PATIENT, of(RosterStep::Veto { handover }));
    let resign = house.chain.sign(NEWCOMER, of(RosterStep::Resign));
    let events = house.chain.run(vec![veto, resign]);
    assert!(matches!(
        events.as_slice(),
        [
            What::Roster {
                step: RosterEvent::Failed(Failure::Vetoed),
                ..
            },
            What::Rejected { .. },
        ]
    ));
}

#[test]
fn one_kin_can_neither_refresh_at_will_nor_let_strangers_speak() {
    let mut house = House::new();
    assert!(matches!(
        house.refused(KIN[0], RosterStep::Propose(Box::new(Plan::Refresh))),
        RosterError::Plan { .. }
    ));
    house.propose(KIN[0], new_roster());
    let step = Box::new(RosterStep::Resign);
    let body = TxBody::Roster {
        patient: patient(),
        step,
    };
    let signed = house.chain.sign(NEWCOMER, body);
    let block = house.chain.block(1, vec![signed]);
    assert!(
        house.chain.ledger.check_block(&block).is_err(),
        "nobody has agreed to it yet"
    );
}

#[test]
fn what_the_kin_have_begun_to_deal_is_not_vetoed_any_more() {
    let mut house = House::new();
    house.propose(KIN[0], new_roster());
    let handover = house.id();
    house.act(KIN[2], RosterStep::Support { handover });
    house.pass(1_000);
    let stage = Stage::Dealing;
    assert_eq!(
        house.refused(PATIENT, RosterStep::Veto { handover }),
        RosterError::Stage { stage }
    );
}

#[test]
fn all_dealers_of_a_recipient_cannot_be_complained_of() {
    let mut house = House::new();
    house.propose(PATIENT, new_roster());
    house.pass(1_000);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    let handover = house.id();
    let tier = Tier::Summary;
    let complain = |dealer| RosterStep::Complain {
        handover,
        dealer,
        tier,
    };
    // With a threshold of two, one answer in the clear is all that a dealing bears.
    house.act(NEWCOMER, complain(index(1)));
    assert_eq!(
        house.refused(NEWCOMER, complain(index(2))),
        RosterError::AllDealers
    );
}
