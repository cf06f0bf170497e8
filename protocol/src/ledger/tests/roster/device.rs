//! A patient who lost the device.

use super::super::chain::*;
use super::super::{batch_body, batch_with};
use super::*;
use crate::record::Rewrap;

#[test]
fn another_device_speaks_for_the_patient_and_deals_anew() {
    let mut house = House::new();
    let case = house.chain.open_case();
    let plan = recover();
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

/// What a thief proposes from the old device, one plan after the other, does not keep the new one off.
#[test]
fn a_new_device_takes_the_place_of_whatever_a_stolen_one_has_proposed() {
    let mut house = House::new();
    let theirs = || Plan::Reshare {
        roster: [21, 22, 23].map(member).to_vec(),
        thresholds: [2; 3],
    };
    house.propose(PATIENT, theirs());
    // Nothing else does: neither another plan of the kin, nor one of the device.
    for (signer, plan) in [(KIN[0], new_roster()), (PATIENT, new_roster())] {
        let refused = house.refused(signer, RosterStep::Propose(Box::new(plan)));
        assert!(matches!(refused, RosterError::Busy { .. }), "{refused}");
    }
    assert_eq!(
        house.propose(KIN[0], recover()),
        [
            RosterEvent::Failed(Failure::Superseded),
            RosterEvent::Proposed(Proposer::Kin(kin(KIN[0]))),
        ]
    );
    let refused = house.refused(PATIENT, RosterStep::Propose(Box::new(theirs())));
    assert!(matches!(refused, RosterError::Busy { .. }), "{refused}");
    let handover = house.id();
    house.act(KIN[1], RosterStep::Support { handover });
    assert_eq!(house.pass(1_000), [RosterEvent::DeviceReplaced]);
}

#[test]
fn kin_without_a_quorum_do_not_keep_the_patient_from_being_heard() {
    let mut house = House::new();
    let stands = RULES.objection_ms.0 + RULES.step_ms.0;
    for lone in [KIN[0], KIN[1]] {
        house.propose(PATIENT, new_roster());
        house.propose(lone, recover());
        house.pass(stands);
    }
    // Each is quiet for three times as long, so that this one comes through.
    house.propose(PATIENT, new_roster());
    for lone in [KIN[0], KIN[1]] {
        let refused = house.refused(lone, RosterStep::Propose(Box::new(recover())));
        assert!(matches!(refused, RosterError::Unheard { .. }), "{refused}");
    }
    assert_eq!(house.pass(1_000), [RosterEvent::Dealing]);
    let refused = house.refused(KIN[2], RosterStep::Propose(Box::new(recover())));
    assert!(matches!(refused, RosterError::Busy { .. }), "{refused}");
}

#[test]
fn what_the_kin_have_just_vouched_for_does_not_give_way() {
    let mut house = recovering();
    let keys = fresh_keys(&mut house);
    let (commitments, _) = dealt(&mut house, &keys);
    let other = plan(&house, commitments, Some(1));
    house.propose(NEW_DEVICE, other);
    assert_eq!(house.handover().stage, Stage::Proposed);
    let another = Plan::Recover {
        device: key(NEWCOMER).verifying_key(),
        sealing: OpeningKey::from_seed(Secret32::new([NEWCOMER; 32])).sealing_key(),
    };
    let refused = house.refused(KIN[2], RosterStep::Propose(Box::new(another)));
    assert!(matches!(refused, RosterError::Busy { .. }), "{refused}");
}

/// Three kin, one batch of two records, and a new device that speaks for the patient.
fn recovering() -> House {
    let mut house = House::new();
    stored(&mut house, 6);
    house.propose(KIN[0], recover());
    let handover = house.id();
    house.act(KIN[1], RosterStep::Support { handover });
    assert_eq!(house.pass(1_000), [RosterEvent::DeviceReplaced]);
    house
}

fn recover() -> Plan {
    Plan::Recover {
        device: key(NEW_DEVICE).verifying_key(),
        sealing: OpeningKey::from_seed(Secret32::new([NEW_DEVICE; 32])).sealing_key(),
    }
}

/// A batch of the present epoch with this manifest root, signed for by all kin.
fn upload(house: &House, root: u8) -> TxBody {
    let epoch = house.entry().epoch;
    let (header, lines) = batch_with(&house.chain, &KIN, |header| {
        header.manifest_root = Digest([root; 32]);
        header.epoch = epoch;
    });
    batch_body(header, lines)
}

fn stored(house: &mut House, root: u8) {
    let body = upload(house, root);
    let events = house.chain.act(HOSPITAL, body);
    assert!(
        matches!(events.as_slice(), [What::Batch { .. }]),
        "{events:?}"
    );
}

/// Dealings of these keys, one for each tier.
fn dealt(house: &mut House, keys: &[TierKey]) -> (Vec<Commitments>, BTreeMap<u8, Vec<Share>>) {
    let threshold = Threshold::majority(KIN.len()).expect("three kin");
    let mut commitments = Vec::new();
    let mut shares: BTreeMap<u8, Vec<Share>> = BTreeMap::new();
    for key in keys {
        let (fresh, dealt) = deal(key, threshold, &mut house.chain.rng).expect("dealt");
        commitments.push(fresh);
        for (n, share) in KIN.into_iter().zip(dealt) {
            shares.entry(n).or_default().push(share);
        }
    }
    (commitments, shares)
}

fn fresh_keys(house: &mut House) -> Vec<TierKey> {
    let rng = &mut house.chain.rng;
    (0..3).map(|_| TierKey::random(rng)).collect()
}

fn plan(house: &House, commitments: Vec<Commitments>, batches: Option<u32>) -> Plan {
    let root = Digest([7; 32]);
    Plan::Redeal {
        roster: house.entry().enrolment.roster.clone(),
        commitments,
        rewrap: batches.map(|batches| Rewrap { root, batches }),
    }
}

/// The new device rebuilds the keys from two released shares, which only it can do, and deals others.
fn redeal(house: &mut House) {
    let entry = house.entry().clone();
    for (place, tier) in entry.enrolment.tiers.iter().enumerate() {
        let released: Vec<Share> = KIN[..2]
            .iter()
            .map(|n| Share::from_bytes(&house.shares[n][place].to_bytes()[..]).expect("a share"))
            .collect();
        let rebuilt = reconstruct(&released, &tier.commitments).expect("two of three");
        assert_eq!(rebuilt.key.public(), *tier.commitments.public_key());
    }
    let keys = fresh_keys(house);
    let (commitments, shares) = dealt(house, &keys);
    let other = plan(house, commitments, Some(0));
    assert!(matches!(
        house.refused(KIN[0], RosterStep::Propose(Box::new(other.clone()))),
        RosterError::NotAllowed { .. }
    ));
    house.propose(NEW_DEVICE, other);
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
    assert!(!house.opens(&[&house.shares[&KIN[0]], &house.shares[&KIN[2]]]));
}

#[test]
fn another_key_can_be_dealt_by_nobody_but_a_new_device() {
    let mut house = House::new();
    let keys = fresh_keys(&mut house);
    let (commitments, _) = dealt(&mut house, &keys);
    for batches in [None, Some(0)] {
        let plan = plan(&house, commitments.clone(), batches);
        assert!(matches!(
            house.refused(PATIENT, RosterStep::Propose(Box::new(plan))),
            RosterError::Plan { .. }
        ));
    }
}

#[test]
fn a_new_device_cannot_deal_the_keys_that_lay_on_the_lost_one() {
    let mut house = recovering();
    let entry = house.entry().clone();
    let keys: Vec<TierKey> = (entry.enrolment.tiers.iter().enumerate())
        .map(|(place, tier)| {
            let of = |n: &u8| Share::from_bytes(&house.shares[n][place].to_bytes()[..]);
            let given: Vec<Share> = KIN[..2].iter().map(|n| of(n).expect("a share")).collect();
            reconstruct(&given, &tier.commitments)
                .expect("two of three")
                .key
        })
        .collect();
    let (same, _) = dealt(&mut house, &keys);
    let fresh = fresh_keys(&mut house);
    let (other, _) = dealt(&mut house, &fresh);
    let twice = vec![other[0].clone(), other[0].clone(), other[2].clone()];
    let (one_stays, short) = (
        vec![same[0].clone(), other[1].clone(), other[2].clone()],
        &other[..2],
    );
    // Without capsules; the same keys; one of them; one key for two tiers; a tier left out; more and fewer batches than there are.
    let wrong = [
        (other.clone(), None),
        (same.clone(), Some(1)),
        (same, None),
        (one_stays, Some(1)),
        (twice, Some(1)),
        (short.to_vec(), Some(1)),
        (other.clone(), Some(0)),
        (other.clone(), Some(2)),
    ];
    for (commitments, batches) in wrong {
        let plan = plan(&house, commitments, batches);
        let refused = house.refused(NEW_DEVICE, RosterStep::Propose(Box::new(plan)));
        assert!(matches!(refused, RosterError::Plan { .. }), "{refused:?}");
    }
    let plan = plan(&house, other, Some(1));
    house.propose(NEW_DEVICE, plan);
}

#[test]
fn nothing_is_sealed_to_keys_that_are_being_replaced() {
    let mut house = recovering();
    // Still possible: it is among those whose capsules are made anew.
    stored(&mut house, 7);
    let keys = fresh_keys(&mut house);
    let (commitments, shares) = dealt(&mut house, &keys);
    let redeal = plan(&house, commitments, Some(2));
    house.propose(NEW_DEVICE, redeal);
    house.pass(1);
    let late = upload(&house, 8);
    let patient = patient();
    assert_eq!(
        house.chain.rejected(HOSPITAL, late.clone()),
        Rejection::KeysInExchange { patient }
    );
    house.accept(KIN[0]);
    house.accept(KIN[1]);
    assert_eq!(house.entry().rewrapped, None);
    assert_eq!(
        house.accept(KIN[2]).last(),
        Some(&RosterEvent::Done(Epoch(2)))
    );
    let entry = house.entry();
    let rewrapped = entry.rewrapped.expect("other capsules count now");
    assert_eq!((rewrapped.since, rewrapped.rewrap.batches), (Epoch(2), 2));
    assert!(rewrapped.covers(Epoch(1)) && !rewrapped.covers(Epoch(2)));
    assert!(!entry.is_recovering);
    assert!(house.opens(&[&shares[&KIN[1]], &shares[&KIN[2]]]));
    // What was sealed to the old keys comes too late, what is sealed to the new ones does not.
    assert!(matches!(
        house.chain.rejected(HOSPITAL, late),
        Rejection::Batch { field: "epoch" }
    ));
    stored(&mut house, 8);
}

#[test]
fn a_second_circle_shares_a_key_of_before_and_goes_with_it() {
    let mut chain = Chain::new();
    chain.enrol_with(|chain, enrolment| {
        enrolment.second = Some(chain.second_circle());
        enrolment.rules = RULES;
    });
    let mut house = House {
        chain,
        shares: BTreeMap::new(),
        inbox: BTreeMap::new(),
    };
    let second = house.entry().enrolment.second.clone().expect("named");
    let gone = second.roster.first().expect("one").id();
    assert!(house.chain.ledger.state().kin.contains(&(gone, patient())));
    house.propose(KIN[0], recover());
    let handover = house.id();
    house.act(KIN[1], RosterStep::Support { handover });
    house.pass(1_000);
    let keys = fresh_keys(&mut house);
    let (commitments, _) = dealt(&mut house, &keys);
    let redeal = plan(&house, commitments, Some(0));
    house.propose(NEW_DEVICE, redeal);
    house.pass(1);
    for n in KIN {
        house.accept(n);
    }
    assert_eq!(house.entry().enrolment.second, None);
    assert!(!house.chain.ledger.state().kin.contains(&(gone, patient())));
}
