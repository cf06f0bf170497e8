//! Dealers that cheat or keep silent, complaints, and who is named.

use super::super::chain::*;
use super::*;

#[test]
fn a_dealer_that_sent_something_wrong_is_named_and_replaced() {
    let mut house = House::new();
    house.refresh_dealt();
    house.accept(KIN[0]);
    let handover = house.id();
    let (dealer, tier) = (index(2), Tier::Chart);
    let complaint = Complaint {
        dealer,
        recipient: index(3),
        tier,
    };
    let complain = house.complaint(dealer, tier);
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
fn who_hears_nothing_from_a_dealer_waits_and_leaves_time_for_an_answer() {
    let mut house = House::new();
    house.propose(PATIENT, new_roster());
    house.pass(1_000);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    assert_eq!(house.handover().stage, Stage::Accepting);
    let since = house.chain.ledger.head_time();
    let entry = house.entry();
    let at = house
        .handover()
        .complain_of_silence_ms(&entry.present(patient()));
    // Half of 5 s less 500 ms.
    assert_eq!(at, since.plus(2_250));
    assert!(at.plus(RULES.answer_ms.0) < house.handover().expires_ms);
}

#[test]
fn a_false_complaint_excludes_nobody() {
    let mut house = House::new();
    house.refresh_dealt();
    let handover = house.id();
    let (dealer, recipient, tier) = (index(1), index(3), Tier::Summary);
    house.act(KIN[2], house.complaint(dealer, tier));
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
    house.refresh_dealt();
    for dealer in [index(1), index(2)] {
        house.act(KIN[2], house.complaint(dealer, Tier::Summary));
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

#[test]
fn who_keeps_a_handover_waiting_is_named() {
    let mut house = House::new();
    house.refresh_dealt();
    house.accept(KIN[0]);
    house.accept(KIN[2]);
    assert_eq!(
        house.pass(5_000),
        [RosterEvent::Failed(Failure::Silent(vec![kin(KIN[1])]))]
    );
    assert_eq!(house.entry().epoch, Epoch(1));
}

#[test]
fn all_dealers_of_a_recipient_cannot_be_complained_of() {
    let mut house = House::new();
    house.propose(PATIENT, new_roster());
    house.pass(1_000);
    house.deal(KIN[0]);
    house.deal(KIN[1]);
    // With a threshold of two, one answer in the clear is all that a dealing bears.
    house.act(NEWCOMER, house.complaint(index(1), Tier::Summary));
    let last = house.complaint(index(2), Tier::Summary);
    assert_eq!(house.refused(NEWCOMER, last), RosterError::AllDealers);
}

/// A tier's shares are made of as many dealings as its own threshold, also where another tier needs more.
#[test]
fn all_dealings_that_a_tier_takes_cannot_be_complained_of() {
    let mut house = House::of(RULES, [2, 2, 3]);
    house.propose(PATIENT, new_roster());
    house.pass(1_000);
    for n in KIN {
        house.deal(n);
    }
    assert_eq!(house.handover().dealings.len(), 3);
    house.act(NEWCOMER, house.complaint(index(1), Tier::Summary));
    let last = house.complaint(index(2), Tier::Summary);
    assert_eq!(house.refused(NEWCOMER, last), RosterError::AllDealers);
}
