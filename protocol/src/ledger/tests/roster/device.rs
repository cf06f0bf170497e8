//! A patient who lost the device.

use super::super::chain::*;
use super::*;

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
