//! Refreshes, and what a handover waits for.

use super::super::chain::*;
use super::*;

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
fn an_epoch_does_not_change_under_a_live_case() {
    let mut house = House::new();
    let case = house.chain.open_case();
    for n in [KIN[0], KIN[1]] {
        let approval = house.chain.approval(case);
        house.chain.act(n, approval);
    }
    assert_eq!(house.chain.phase(case), Phase::Granted);
    house.refresh_dealt();
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
fn one_kin_can_neither_refresh_at_will_nor_let_strangers_speak() {
    let mut house = House::new();
    assert!(matches!(
        house.refused(KIN[0], RosterStep::Propose(Box::new(Plan::Refresh))),
        RosterError::Plan { .. }
    ));
    house.propose(KIN[0], new_roster());
    let signed = house.chain.sign(NEWCOMER, body(RosterStep::Resign));
    let block = house.chain.block(1, vec![signed]);
    assert!(
        house.chain.ledger.check_block(&block).is_err(),
        "nobody has agreed to it yet"
    );
}

#[test]
fn what_was_in_force_when_a_case_was_opened_stays_provable() {
    let mut house = House::new();
    let before = house.entry().enrolment.clone();
    let epochs = house.entry().epochs();
    let case = house.chain.open_case();
    house.chain.act(PATIENT, TxBody::Veto { case });
    house.refresh();
    assert_ne!(house.entry().enrolment.tiers, before.tiers);
    let key = State::roster_key(patient(), epochs);
    let proof = house.chain.ledger.prove(key).expect("provable");
    assert_eq!(proof.verify(&house.chain.ledger.state_root()), Ok(()));
    let kept: Enrolment =
        State::decode_value(proof.value.as_ref().expect("there")).expect("an enrolment");
    assert_eq!(kept, before);
    let state = house.chain.ledger.state();
    let later = house.entry().epochs();
    assert_eq!(later.first, Epoch(2));
    assert!(
        state.roster_of(patient(), later).is_none(),
        "no case was opened in it"
    );
}
