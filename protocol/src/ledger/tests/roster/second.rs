//! The patient's word about the second circle after the enrolment.

use super::super::chain::*;
use super::*;
use crate::emergency::{Circle, Escalation};
use crate::record::Rewrap;
use crate::units::CircleKind;
use proptest::prelude::*;

const SECOND_MS: u64 = 20_000;
/// After this time a request is over that nobody has decided.
const EXPIRED_MS: u64 = 600_000;
/// Who comes in the place of [`SECOND_KIN`].
const OTHERS: [u8; 3] = [41, 42, 43];

/// Three kin, no second circle, and nobody's shares at hand.
fn house() -> House {
    let mut chain = Chain::new();
    chain.enrol_with(|_, enrolment| {
        enrolment.rules = RULES;
        enrolment.escalation = Escalation {
            remind_after_ms: Millis(SECOND_MS / 2),
            second_circle_after_ms: Millis(SECOND_MS),
        };
    });
    House {
        chain,
        shares: BTreeMap::new(),
        inbox: BTreeMap::new(),
    }
}

/// A word that is due now and that these members have accepted.
fn accepted(house: &House, circle: Option<SecondCircle>, members: &[u8]) -> SecondWord {
    let mut word = SecondWord {
        epochs: house.entry().circles().next_second(),
        circle,
    };
    sign(house, &mut word, members);
    word
}

fn sign(house: &House, word: &mut SecondWord, members: &[u8]) {
    let digest = word.digest(house.chain.ledger.chain(), patient());
    let accept = |n: &u8| key(*n).sign(&Enrolment::acceptance(&digest, kin(*n)));
    if let Some(circle) = &mut word.circle {
        circle.acceptances = members.iter().map(accept).collect();
    }
}

/// The usual three, with a new dealing of the summary key.
fn usual(house: &mut House) -> SecondWord {
    let circle = house.chain.second_circle();
    accepted(house, Some(circle), &SECOND_KIN)
}

/// Others, with a new dealing.
fn others(house: &mut House) -> SecondWord {
    let mut circle = house.chain.second_circle();
    circle.roster = OTHERS.map(member).to_vec();
    accepted(house, Some(circle), &OTHERS)
}

fn say(word: SecondWord) -> RosterStep {
    RosterStep::NameSecond(Box::new(word))
}

fn is_kin(house: &House, n: u8) -> bool {
    house
        .chain
        .ledger
        .state()
        .kin
        .contains(&(kin(n), patient()))
}

/// Has the first circle asked in vain, and then the second.
fn second_asked(house: &mut House) -> crate::ids::CaseId {
    let epoch = house.entry().epoch;
    let first = house
        .chain
        .request_with(HOSPITAL, |request| request.epoch = epoch);
    let after = house.chain.opened(HOSPITAL, first);
    house.chain.run_after(SECOND_MS, Vec::new());
    let circle = Circle::Second { after };
    let request = house.chain.request_with(HOSPITAL, |request| {
        (request.circle, request.epoch) = (circle, epoch);
    });
    house.chain.opened(HOSPITAL, request)
}

fn why_not(house: &mut House, signer: u8, word: SecondWord) -> SecondError {
    match house.refused(signer, say(word)) {
        RosterError::Second(error) => error,
        other => panic!("expected a rule of the second circle, got {other:?}"),
    }
}

#[test]
fn a_second_circle_is_named_replaced_and_withdrawn() {
    let mut house = house();
    house.chain.open_case();
    house.pass(EXPIRED_MS);
    let word = usual(&mut house);
    let done = house.act(PATIENT, say(word.clone()));
    assert_eq!(done, [RosterEvent::SecondNamed(Epoch(2))]);
    let entry = house.entry().clone();
    assert_eq!((entry.epoch, entry.second_epoch), (Epoch(1), Epoch(2)));
    assert!(word.stands(&entry) && is_kin(&house, SECOND_KIN[0]));
    let second = entry.enrolment.second.expect("named");
    assert_eq!(second.roster, word.circle.expect("named").roster);

    // It is asked, opens, and is worn: the device is to deal anew.
    let case = second_asked(&mut house);
    let stored = house.chain.ledger.state().case(case).expect("there");
    assert_eq!(stored.epochs().second, Epoch(2));
    for n in &SECOND_KIN[..2] {
        let approval = house.chain.approval(case);
        house.chain.act(*n, approval);
    }
    assert_eq!(house.chain.phase(case), Phase::Granted);
    assert!(!house.entry().second_worn);
    for of in house
        .chain
        .ledger
        .state()
        .cases_of(patient())
        .map(|case| case.id)
        .collect::<Vec<_>>()
    {
        house.chain.act(PATIENT, TxBody::Veto { case: of });
    }
    assert!(house.entry().second_worn);

    let word = others(&mut house);
    let done = house.act(PATIENT, say(word));
    assert_eq!(done.last(), Some(&RosterEvent::SecondNamed(Epoch(3))));
    assert!(!house.entry().second_worn);
    assert!(is_kin(&house, OTHERS[2]) && !is_kin(&house, SECOND_KIN[0]));
    let signed = house.chain.sign(SECOND_KIN[1], body(RosterStep::Resign));
    let block = house.chain.block(1, vec![signed]);
    assert!(
        house.chain.ledger.check_block(&block).is_err(),
        "who was replaced is a stranger"
    );
    let word = accepted(&house, None, &[]);
    let done = house.act(PATIENT, say(word));
    assert_eq!(done, [RosterEvent::SecondEnded(Epoch(4))]);
    assert_eq!(house.entry().enrolment.second, None);
    assert!(!is_kin(&house, OTHERS[0]) && is_kin(&house, KIN[0]));
    let word = accepted(&house, None, &[]);
    assert_eq!(why_not(&mut house, PATIENT, word), SecondError::None);
    // What was in force at each case stays provable.
    let state = house.chain.ledger.state();
    let of = |second| {
        let epochs = Epochs {
            first: Epoch(1),
            second: Epoch(second),
            rules: Epoch(1),
        };
        let kept = state.roster_of(patient(), epochs);
        kept.map(|kept| kept.roster_of(CircleKind::Second).len())
    };
    assert_eq!([1, 2, 3, 4].map(of), [Some(0), Some(3), None, None]);
}

#[test]
fn only_the_patients_device_has_a_word_about_it() {
    let mut house = house();
    for n in [KIN[0], HOSPITAL] {
        let word = usual(&mut house);
        let role = "patient's device";
        assert_eq!(
            house.refused(n, say(word)),
            RosterError::NotAllowed { role }
        );
    }
    assert_eq!(house.entry().enrolment.second, None);
}

#[test]
fn it_does_not_change_while_a_case_is_live() {
    let mut house = house();
    let word = usual(&mut house);
    let case = house.chain.open_case();
    assert_eq!(
        why_not(&mut house, PATIENT, word.clone()),
        SecondError::Live
    );
    house.pass(EXPIRED_MS);
    assert_eq!(house.chain.phase(case), Phase::Expired);
    house.act(PATIENT, say(word));
    let case = second_asked(&mut house);
    house.pass(EXPIRED_MS - SECOND_MS);
    assert_eq!(
        house.entry().live_cases,
        1,
        "the first circle's case is over"
    );
    for circle in [None, Some(house.chain.second_circle())] {
        let word = accepted(&house, circle, &SECOND_KIN);
        assert_eq!(why_not(&mut house, PATIENT, word), SecondError::Live);
    }
    house.chain.act(PATIENT, TxBody::Veto { case });
    let word = usual(&mut house);
    house.act(PATIENT, say(word));
}

#[test]
fn it_waits_for_every_change_of_the_first_circle_but_a_refresh() {
    let recover = || Plan::Recover {
        device: key(NEW_DEVICE).verifying_key(),
        sealing: OpeningKey::from_seed(Secret32::new([NEW_DEVICE; 32])).sealing_key(),
    };
    for plan in [new_roster(), recover()] {
        let mut house = house();
        let word = usual(&mut house);
        house.propose(KIN[0], plan);
        assert!(matches!(
            house.refused(PATIENT, say(word.clone())),
            RosterError::Busy { .. }
        ));
        let handover = house.id();
        house.act(PATIENT, RosterStep::Veto { handover });
        // A new device that all kin vouch for has time for that, whatever the old one says.
        while house.chain.ledger.state().handover(patient()).is_some() {
            house.pass(1_000);
        }
        house.act(PATIENT, say(word));
    }
    let mut house = house();
    house.refresh_dealt();
    let word = usual(&mut house);
    house.act(PATIENT, say(word));
    let stale = usual(&mut house);
    for n in KIN {
        house.accept(n);
    }
    let entry = house.entry().clone();
    assert_eq!((entry.epoch, entry.second_epoch), (Epoch(2), Epoch(2)));
    assert!(entry.enrolment.second.is_some(), "it outlives the refresh");
    let (found, due) = (stale.epochs, entry.circles().next_second());
    assert_eq!(
        why_not(&mut house, PATIENT, stale),
        SecondError::Epochs { found, due }
    );
    let word = usual(&mut house);
    house.act(PATIENT, say(word));
    let case = second_asked(&mut house);
    assert_eq!(house.chain.phase(case), Phase::Requested);
}

#[test]
fn a_circle_that_could_not_be_enrolled_cannot_be_named() {
    let mut house = house();
    let foreign = TierKey::random(&mut house.chain.rng);
    let threshold = Threshold::majority(3).expect("three");
    let (foreign, _) = deal(&foreign, threshold, &mut house.chain.rng).expect("dealt");
    let first = house.entry().enrolment.tiers[0].commitments.clone();
    let good = house.chain.second_circle();
    let with = |change: &dyn Fn(&mut SecondCircle)| {
        let mut circle = good.clone();
        change(&mut circle);
        circle
    };
    let (circle, tier) = (CircleKind::Second, Tier::Summary);
    let wrong = [
        (
            with(&|circle| circle.roster.truncate(2)),
            EnrolmentError::RosterSize { circle, count: 2 },
        ),
        (
            with(&|circle| circle.roster[1] = member(KIN[2])),
            EnrolmentError::KinTwice { kin: kin(KIN[2]) },
        ),
        (
            with(&|circle| circle.roster[1] = member(SECOND_KIN[0])),
            EnrolmentError::KinTwice {
                kin: kin(SECOND_KIN[0]),
            },
        ),
        (
            with(&|circle| circle.roster[1] = member(PATIENT)),
            EnrolmentError::KinTwice { kin: kin(PATIENT) },
        ),
        (
            with(&|circle| circle.roster.push(member(OTHERS[0]))),
            EnrolmentError::Threshold {
                circle,
                tier,
                threshold: 2,
                least: 3,
                most: 4,
            },
        ),
        (
            with(&|circle| circle.commitments = foreign.clone()),
            EnrolmentError::SecondKey,
        ),
        (
            with(&|circle| circle.commitments = first.clone()),
            EnrolmentError::SecondSharing,
        ),
    ];
    for (circle, expected) in wrong {
        let word = accepted(&house, Some(circle), &SECOND_KIN);
        assert_eq!(
            why_not(&mut house, PATIENT, word),
            SecondError::Circle(expected)
        );
    }
    // Named again with the same sharing, whoever had to leave would still have a share of it.
    let word = accepted(&house, Some(good.clone()), &SECOND_KIN);
    house.act(PATIENT, say(word));
    let word = accepted(&house, Some(good), &SECOND_KIN);
    assert_eq!(why_not(&mut house, PATIENT, word), SecondError::OldSharing);
}

#[test]
fn the_new_device_names_it_again() {
    let mut house = house();
    let word = usual(&mut house);
    house.act(PATIENT, say(word.clone()));
    house.propose(
        KIN[0],
        Plan::Recover {
            device: key(NEW_DEVICE).verifying_key(),
            sealing: OpeningKey::from_seed(Secret32::new([NEW_DEVICE; 32])).sealing_key(),
        },
    );
    let handover = house.id();
    house.act(KIN[1], RosterStep::Support { handover });
    house.pass(1_000);
    let early = usual(&mut house);
    assert_eq!(
        why_not(&mut house, NEW_DEVICE, early),
        SecondError::Recovering
    );
    let keys: Vec<TierKey> = (0..3)
        .map(|_| TierKey::random(&mut house.chain.rng))
        .collect();
    let threshold = Threshold::majority(KIN.len()).expect("three kin");
    let rng = &mut house.chain.rng;
    let commitments = keys
        .iter()
        .map(|key| deal(key, threshold, rng).expect("dealt").0);
    let plan = Plan::Redeal {
        commitments: commitments.collect(),
        roster: house.entry().enrolment.roster.clone(),
        rewrap: Some(Rewrap {
            root: Digest([7; 32]),
            batches: 0,
        }),
    };
    house.propose(NEW_DEVICE, plan);
    house.pass(1);
    house.accept(KIN[0]);
    house.accept(KIN[1]);
    assert_eq!(
        house.accept(KIN[2]),
        [
            RosterEvent::Accepted(kin(KIN[2])),
            RosterEvent::SecondEnded(Epoch(3)),
            RosterEvent::Done(Epoch(2))
        ]
    );
    assert!(!word.stands(house.entry()) && !is_kin(&house, SECOND_KIN[0]));
    // A sharing of the key of before opens nothing any more.
    let old = usual(&mut house);
    assert_eq!(
        why_not(&mut house, NEW_DEVICE, old),
        SecondError::Circle(EnrolmentError::SecondKey)
    );
    let mut circle = house.chain.second_circle();
    let rng = &mut house.chain.rng;
    (circle.commitments, _) = deal(&keys[0], threshold, rng).expect("dealt");
    let lost = with_member(&circle, PATIENT);
    let word = accepted(&house, Some(lost), &SECOND_KIN);
    let kin = kin(PATIENT);
    assert_eq!(
        why_not(&mut house, NEW_DEVICE, word),
        SecondError::Circle(EnrolmentError::KinTwice { kin }),
        "whoever found the old device is nobody's kin"
    );
    let with_new = with_member(&circle, NEW_DEVICE);
    let word = accepted(&house, Some(with_new), &SECOND_KIN);
    assert!(matches!(
        why_not(&mut house, NEW_DEVICE, word),
        SecondError::Circle(EnrolmentError::KinTwice { .. })
    ));
    let word = accepted(&house, Some(circle), &SECOND_KIN);
    let done = house.act(NEW_DEVICE, say(word));
    assert_eq!(done, [RosterEvent::SecondNamed(Epoch(4))]);
    second_asked(&mut house);
}

fn with_member(circle: &SecondCircle, n: u8) -> SecondCircle {
    let mut changed = circle.clone();
    changed.roster[1] = member(n);
    changed
}

/// One change of a word that its members have accepted as it was.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    First(u32),
    Second(u32),
    Swap(usize, usize),
    Relation(usize),
    Coefficient,
    Dropped,
    Added,
    Acceptances(usize, usize),
    Bit(usize, usize),
    Fewer,
}

fn spoils() -> impl Strategy<Value = Spoil> {
    let place = || 0usize..3;
    let two = || (place(), place()).prop_filter("two places", |(a, b)| a != b);
    prop_oneof![
        (2u32..9).prop_map(Spoil::First),
        prop_oneof![Just(0u32), Just(1), 3u32..9].prop_map(Spoil::Second),
        two().prop_map(|(a, b)| Spoil::Swap(a, b)),
        place().prop_map(Spoil::Relation),
        Just(Spoil::Coefficient),
        Just(Spoil::Dropped),
        Just(Spoil::Added),
        two().prop_map(|(a, b)| Spoil::Acceptances(a, b)),
        (place(), 0usize..512).prop_map(|(a, bit)| Spoil::Bit(a, bit)),
        Just(Spoil::Fewer),
    ]
}

fn spoil(word: &mut SecondWord, other: &Commitments, spoil: Spoil) {
    let circle = word.circle.as_mut().expect("one is named");
    match spoil {
        Spoil::First(epoch) => word.epochs.first = Epoch(epoch),
        Spoil::Second(epoch) => word.epochs.second = Epoch(epoch),
        Spoil::Swap(a, b) => circle.roster.swap(a, b),
        Spoil::Relation(at) => circle.roster[at].relation = Relation::Friend,
        Spoil::Coefficient => circle.commitments = other.clone(),
        Spoil::Dropped => word.circle = None,
        Spoil::Added => {
            circle.roster.push(member(OTHERS[0]));
            let again = circle.acceptances[0];
            circle.acceptances.push(again);
        }
        Spoil::Acceptances(a, b) => circle.acceptances.swap(a, b),
        Spoil::Bit(at, bit) => circle.acceptances[at].0[bit / 8] ^= 1 << (bit % 8),
        Spoil::Fewer => drop(circle.acceptances.pop()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The members' signatures are for all of it: whatever is changed afterwards, nothing comes of it.
    #[test]
    fn nothing_of_an_accepted_word_can_be_changed(how in spoils()) {
        let mut house = house();
        let mut word = accepted_as_siblings(&mut house);
        let other = house.chain.second_circle().commitments;
        let good = word.clone();
        spoil(&mut word, &other, how);
        let before = house.entry().clone();
        house.refused(PATIENT, say(word));
        prop_assert_eq!(house.entry(), &before);
        let done = house.act(PATIENT, say(good));
        prop_assert_eq!(done, [RosterEvent::SecondNamed(Epoch(2))]);
    }
}

fn accepted_as_siblings(house: &mut House) -> SecondWord {
    let mut circle = house.chain.second_circle();
    circle.roster = SECOND_KIN.map(member).to_vec();
    accepted(house, Some(circle), &SECOND_KIN)
}
