//! Changes of a roster: who may propose, object and veto.

use super::super::chain::*;
use super::*;

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
    let body = body(support);
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
    let signed = house.chain.sign(21, body(object.clone()));
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

/// Who may speak can change within a block; the block that its master chose stands all the same.
#[test]
fn a_signer_who_is_removed_within_a_block_does_not_spoil_it() {
    let mut house = House::new();
    house.propose(PATIENT, new_roster());
    house.pass(1_000);
    assert_eq!(house.handover().stage, Stage::Dealing);
    let handover = house.id();
    let veto = house
        .chain
        .sign(PATIENT, body(RosterStep::Veto { handover }));
    let resign = house.chain.sign(NEWCOMER, body(RosterStep::Resign));
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
fn a_kin_that_found_no_quorum_is_quiet_for_a_while_and_the_others_are_not() {
    let mut house = House::new();
    let lone = kin(KIN[0]);
    house.propose(KIN[0], new_roster());
    // Nobody supports it: the place is free again when it expires.
    house.pass(RULES.objection_ms.0 + RULES.step_ms.0);
    let quiet = |error| matches!(error, RosterError::Unheard { kin, .. } if kin == lone);
    let again = || RosterStep::Propose(Box::new(new_roster()));
    assert!(quiet(house.refused(KIN[0], again())));
    // Another one may; when most of the kin object, that one is quiet too.
    house.propose(KIN[1], new_roster());
    let handover = house.id();
    house.act(KIN[0], RosterStep::Object { handover });
    house.act(KIN[2], RosterStep::Object { handover });
    assert!(house.chain.ledger.state().handover(patient()).is_none());
    assert!(matches!(
        house.refused(KIN[1], again()),
        RosterError::Unheard { kin, .. } if kin == self::kin(KIN[1])
    ));
    // The third is heard; the patient's veto, which may be a thief's, does not silence it.
    house.propose(KIN[2], new_roster());
    let handover = house.id();
    house.act(PATIENT, RosterStep::Veto { handover });
    house.propose(KIN[2], new_roster());
    let handover = house.id();
    house.act(PATIENT, RosterStep::Veto { handover });
    // The quiet time ends.
    house.pass(RULES.objection_ms.0 + RULES.step_ms.0);
    house.propose(KIN[0], new_roster());
}
