//! A second circle that is named after the enrolment, in a whole cluster: accepted on the disk first, dealt anew when it has opened
//! something, replaced, withdrawn.

use super::second::{decide, second};
use crate::friend_relative::messages::{
    AboutRoster, Invited, KinError, OfferSecond, OnInvitation, RosterWish,
};
use crate::patient::messages::{
    AboutSecond, Enrol, Holder, PatientError, SecondNamed, SecondWish, Veto,
};
use crate::ports::names::ActorName;
use crate::testing::{AUTHOR, House, PATIENCE, PATIENT, kin};
use kithkin_protocol::crypto::Sealed;
use kithkin_protocol::emergency::{Circle, Escalation};
use kithkin_protocol::ledger::{self, Member, SecondCircle, SecondWord};
use kithkin_protocol::units::{Epoch, Millis, ShareIndex, Tier};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

const FIRST: [u8; 5] = [0, 1, 2, 3, 4];
const SECOND: Range<usize> = 5..8;
const OTHERS: Range<usize> = 8..11;

/// Five kin enrolled, and six people who are none yet.
async fn enrolled() -> House {
    let house = House::open_with(1, 11).await;
    let mut roster = house.cluster.roster(0);
    roster.truncate(FIRST.len());
    let wish = Enrol {
        roster,
        escalation: Escalation {
            remind_after_ms: Millis(1_000),
            second_circle_after_ms: Millis(2_000),
        },
        ..house.wish()
    };
    house.ask_patient(wish).await.expect("all accept");
    house
}

fn members(house: &House, who: Range<usize>) -> Vec<Member> {
    house.cluster.roster(0).get(who).expect("there").to_vec()
}

async fn name(house: &House, who: Range<usize>) -> Result<SecondNamed, PatientError> {
    let wish = SecondWish {
        roster: members(house, who),
        threshold: None,
    };
    house.ask_patient(AboutSecond::Name(wish)).await
}

/// Waits until a kin keeps so many shares, under so many keys.
async fn keeps(house: &House, n: usize, shares: usize) {
    let n = u8::try_from(n).expect("small");
    let until = Instant::now() + PATIENCE;
    loop {
        let mut names = house.keys_of(kin(n)).names().expect("names");
        names.retain(|name| name.starts_with("share-"));
        let held = house.held(n).await.shares;
        if (held, names.len()) == (shares, shares) {
            return;
        }
        assert!(Instant::now() < until, "{n} keeps {held}: {names:?}");
        // Who keeps nothing looks at nothing.
        house.pass_a_block().await;
    }
}

#[actix::test]
async fn a_circle_that_is_named_later_opens_the_summary_and_gets_other_shares_afterwards() {
    let house = enrolled().await;
    house.write(Tier::Summary, &["sum"], &FIRST).await;
    let named = name(&house, SECOND).await.expect("all accept");
    let expected = (Epoch(2), 3, 2);
    assert_eq!((named.epoch, named.kin, named.threshold), expected);
    for n in SECOND {
        keeps(&house, n, 1).await;
    }
    // Asked again, a restarted device answers where it stands.
    house.crash(PATIENT).await;
    let again = name(&house, SECOND).await.expect("it stands");
    assert_eq!((again.epoch, again.kin, again.threshold), expected);
    house.crash(kin(6)).await;

    let request = second(&house, Epoch(1)).await;
    for n in [5, 6] {
        decide(&house, n, request.case).await.expect("approved");
    }
    let sent = house.until_sent(2).await;
    let from: BTreeSet<ActorName> = sent.iter().map(|(from, _)| *from).collect();
    assert_eq!(from, BTreeSet::from([kin(5), kin(6)]));
    // Nothing changes while a case is live: not this one, and not that of the first circle.
    let live = house.ask_patient(AboutSecond::Withdraw).await;
    let live = live.expect_err("a case is live").to_string();
    assert!(live.contains("under way"), "{live}");
    let before = house.on_chain().await.expect("enrolled").enrolment.second;
    let entry = house.on_chain().await.expect("enrolled");
    assert_eq!((entry.second_epoch, entry.live_cases), (Epoch(2), 2));
    let Circle::Second { after } = house.case(request.case).await.request.circle else {
        panic!("it asks the second circle")
    };
    for case in [request.case, after] {
        house.ask_patient(Veto(case)).await.expect("final");
    }
    // The device deals anew by itself.
    let entry = house
        .until_on_chain(|entry| entry.second_epoch == Epoch(3))
        .await;
    let (before, after) = (
        before.expect("named"),
        entry.enrolment.second.expect("named"),
    );
    assert_eq!(after.roster, before.roster);
    assert_eq!(
        after.commitments.public_key(),
        before.commitments.public_key()
    );
    assert_ne!(after.commitments, before.commitments);
    for n in SECOND {
        keeps(&house, n, 1).await;
    }
}

#[actix::test]
async fn nobody_is_in_it_without_having_said_so() {
    let house = enrolled().await;
    let asks = house.ask_kin(6, OnInvitation::Ask).await;
    asks.expect("kept");
    let says = async |wish| {
        let patient = house.patient();
        house.ask_kin(6, AboutRoster { patient, wish }).await
    };
    let silent = async |house: &House| match name(house, SECOND).await {
        Err(PatientError::SecondSilent { silent }) => silent,
        other => panic!("one has not accepted, {other:?}"),
    };
    let undecided = silent(&house).await;
    assert_eq!(undecided.len(), 1);
    assert_eq!(undecided[0].who, Holder::Kin(house.kin(6)));
    assert_eq!(undecided[0].reason, undecided_text(&house).await);
    says(RosterWish::Decline).await.expect("said");
    let declined = silent(&house).await;
    assert_eq!(declined[0].reason, KinError::Declined.to_string());
    let entry = house.on_chain().await.expect("enrolled");
    assert_eq!(entry.enrolment.second, None);
    // People change their minds.
    says(RosterWish::Join).await.expect("said");
    let named = name(&house, SECOND).await.expect("all accept");
    assert_eq!((named.kin, named.threshold), (3, 2));
    // Other shares are no other question.
    let again = house.ask_patient(AboutSecond::Again).await;
    again.expect("dealt");
}

async fn undecided_text(house: &House) -> String {
    let invited = house.ask_kin(6, Invited).await.expect("shown");
    let until_ms = invited.first().expect("one").until_ms;
    KinError::Undecided { until_ms }.to_string()
}

#[actix::test]
async fn whoever_is_replaced_or_let_go_keeps_nothing() {
    let house = enrolled().await;
    name(&house, SECOND).await.expect("all accept");
    let named = name(&house, OTHERS).await.expect("all accept");
    assert_eq!((named.epoch, named.kin), (Epoch(3), 3));
    for n in SECOND {
        keeps(&house, n, 0).await;
    }
    for n in OTHERS {
        keeps(&house, n, 1).await;
    }
    // Dealt anew on demand, old shares go.
    let again = house.ask_patient(AboutSecond::Again).await.expect("dealt");
    assert_eq!((again.epoch, again.kin), (Epoch(4), 3));
    for n in OTHERS {
        keeps(&house, n, 1).await;
    }
    let gone = house.ask_patient(AboutSecond::Withdraw).await;
    let gone = gone.expect("withdrawn");
    assert_eq!((gone.epoch, gone.kin, gone.threshold), (Epoch(5), 0, 0));
    for n in OTHERS {
        keeps(&house, n, 0).await;
    }
    let twice = house.ask_patient(AboutSecond::Withdraw).await;
    assert!(
        matches!(twice, Err(PatientError::Roster { .. })),
        "{twice:?}"
    );
    // Somebody of the first circle has no place in it, and nobody is asked.
    let mixed = name(&house, 4..7).await;
    assert!(
        matches!(mixed, Err(PatientError::Roster { .. })),
        "{mixed:?}"
    );
    keeps(&house, 5, 0).await;
}

/// A word that would be due, about a key that the patient never had.
fn foreign(house: &House, entry: &ledger::Patient) -> SecondWord {
    let chart = entry.enrolment.tier(Tier::Chart).expect("enrolled");
    SecondWord {
        epochs: entry.circles().next_second(),
        circle: Some(SecondCircle {
            roster: members(house, SECOND),
            commitments: chart.commitments.clone(),
            acceptances: Vec::new(),
        }),
    }
}

#[actix::test]
async fn a_place_is_accepted_from_the_patients_device_only_and_with_a_share_of_the_right_key() {
    let house = enrolled().await;
    let entry = house.on_chain().await.expect("enrolled");
    let offer = |word: SecondWord| OfferSecond {
        patient: house.patient(),
        word: Arc::new(word),
        index: ShareIndex::new(1).expect("not zero"),
        share: Sealed {
            enc: vec![0; 32],
            ciphertext: vec![0; 49],
        },
    };
    let good = foreign(&house, &entry);
    for from in [ActorName::Patient(1), kin(0), AUTHOR, ActorName::Driver] {
        let asked = house.ask_kin_as(from, 5, offer(good.clone())).await;
        assert!(
            matches!(asked, Err(KinError::Forbidden { .. })),
            "{from}: {asked:?}"
        );
    }
    let asked = house.ask_kin_as(PATIENT, 5, offer(good.clone())).await;
    assert!(
        matches!(&asked, Err(KinError::Offer { reason }) if reason.contains("summary key")),
        "{asked:?}"
    );
    let mut late = good.clone();
    late.epochs.second = Epoch(1);
    let asked = house.ask_kin_as(PATIENT, 5, offer(late)).await;
    assert!(matches!(asked, Err(KinError::Offer { .. })), "{asked:?}");
    let mut early = good;
    early.epochs.first = Epoch(2);
    let asked = house.ask_kin_as(PATIENT, 5, offer(early)).await;
    assert!(matches!(asked, Err(KinError::Ledger { .. })), "{asked:?}");
    keeps(&house, 5, 0).await;
}
