//! The patient's device as an actor, in a whole cluster with real hospitals and kin.

mod anew;
mod propose;

use crate::friend_relative::messages::{Decide, Decision};
use crate::hospital::Hospital;
use crate::hospital::messages::{FetchRecords, WriteRecord};
use crate::patient::Patient;
use crate::patient::messages::{PatientError, ReadAll, Source, Veto};
use crate::ports::names::ActorName;
use crate::testing::{AUTHOR, House, PATIENCE, PATIENT, SPONSOR, kin};
use crate::upload::OpenedRecord;
use kithkin_fhir::cut::join;
use kithkin_fhir::fixture::demo_bundle;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::emergency::{ClosedBy, Phase};
use kithkin_protocol::ids::{CaseId, HospitalId};
use kithkin_protocol::units::{Millis, Tier};
use std::sync::Arc;

const ALL: [u8; 5] = [0, 1, 2, 3, 4];

fn tier_keys(house: &House) -> Vec<String> {
    let mut names = house.keys_of(PATIENT).names().expect("names");
    names.retain(|name| name.starts_with("tier-"));
    names
}

fn read(tiers: &[Tier], source: Source) -> ReadAll {
    ReadAll {
        tiers: tiers.to_vec(),
        only: Vec::new(),
        source,
    }
}

fn texts(records: &[OpenedRecord]) -> Vec<&str> {
    let texts = records
        .iter()
        .map(|record| std::str::from_utf8(&record.bytes));
    texts.collect::<Result<_, _>>().expect("text")
}

#[actix::test]
async fn enrolling_deals_once_and_stands_for_good() {
    let house = House::open(4).await;
    let enrolled = house.enrol().await.expect("enrolled");
    assert_eq!((enrolled.kin, enrolled.threshold), (5, 3));
    let keys = tier_keys(&house);
    assert_eq!(keys.len(), 3);
    let on_chain = house.on_chain().await.expect("it stands");
    assert_eq!(on_chain.enrolment.roster, house.cluster.roster(0));
    for n in ALL {
        assert_eq!(house.held(n).await.shares, 3);
    }
    house.crash(PATIENT).await;
    let again = house.enrol().await.expect("it stands already");
    assert_eq!((again.kin, again.threshold), (5, 3));
    assert!(again.height >= enrolled.height);
    assert_eq!(tier_keys(&house), keys);
    assert_eq!(house.on_chain().await, Some(on_chain));
}

#[actix::test]
async fn a_threshold_above_the_majority_is_dealt() {
    let house = House::open(1).await;
    let mut wish = house.wish();
    wish.threshold = Some(4);
    let enrolled = house.ask_patient(wish).await.expect("enrolled");
    assert_eq!(enrolled.threshold, 4);
}

#[actix::test]
async fn a_kin_that_does_not_accept_is_named_and_can_be_left_out() {
    let house = House::open(1).await;
    house.hold(kin(3)).await;
    let failed = house.enrol().await.expect_err("one is away");
    let expected = house.kin(3);
    assert!(
        matches!(failed, PatientError::NotAccepted { kin, .. } if kin == expected),
        "{failed}"
    );
    assert_eq!(house.on_chain().await, None);
    let first_keys = tier_keys(&house);
    // The others may have their shares; for another roster the keys are new ones.
    let mut wish = house.wish();
    wish.roster.remove(3);
    let enrolled = house.ask_patient(wish).await.expect("enrolled");
    assert_eq!((enrolled.kin, enrolled.threshold), (4, 3));
    let keys = tier_keys(&house);
    assert_eq!((keys.len(), first_keys.len()), (3, 3));
    assert!(keys.iter().all(|key| !first_keys.contains(key)));
}

#[actix::test]
async fn an_enrolment_that_was_cut_short_goes_on_with_the_same_shares() {
    let house = House::open(1).await;
    house.hold(kin(4)).await;
    house.enrol().await.expect_err("one is away");
    let keys = tier_keys(&house);
    let shares = |n| house.keys_of(kin(n)).names().expect("names");
    let before = shares(0);
    house.crash(PATIENT).await;
    house.release(kin(4)).await;
    house.enrol().await.expect("enrolled");
    assert_eq!(tier_keys(&house), keys);
    assert_eq!(
        shares(0),
        before,
        "the first kin was offered the same again"
    );
}

#[actix::test]
async fn rosters_and_sponsors_that_cannot_be_are_refused() {
    let house = House::open(1).await;
    let mut small = house.wish();
    small.roster.truncate(2);
    let mut low = house.wish();
    low.threshold = Some(2);
    let mut twice = house.wish();
    twice.roster[1] = twice.roster[0].clone();
    for wish in [small, low, twice] {
        let refused = house.ask_patient(wish).await;
        assert!(
            matches!(refused, Err(PatientError::Roster { .. })),
            "{refused:?}"
        );
    }
    let mut stranger = house.wish();
    stranger.sponsor = HospitalId([7; 32]);
    let refused = house.ask_patient(stranger).await;
    assert!(
        matches!(refused, Err(PatientError::NotSponsored { .. })),
        "{refused:?}"
    );
    assert_eq!(house.on_chain().await, None);
}

#[actix::test]
async fn only_the_person_at_the_screen_is_obeyed() {
    let house = House::enrolled(1).await;
    for stranger in [
        AUTHOR,
        kin(0),
        ActorName::Patient(1),
        ActorName::Validator(0),
    ] {
        let port = house.port(stranger);
        let enrol = port
            .ask::<Patient, _>(PATIENT, house.wish(), PATIENCE)
            .await;
        let read = read(&Tier::ALL, Source::Kin);
        let read = port.ask::<Patient, _>(PATIENT, read, PATIENCE).await;
        let veto = Veto(CaseId([1; 32]));
        let veto = port.ask::<Patient, _>(PATIENT, veto, PATIENCE).await;
        let forbidden = (
            matches!(enrol, Ok(Err(PatientError::Forbidden { .. }))),
            matches!(read, Ok(Err(PatientError::Forbidden { .. }))),
            matches!(veto, Ok(Err(PatientError::Forbidden { .. }))),
        );
        assert_eq!(forbidden, (true, true, true), "{stranger}");
    }
}

#[actix::test]
async fn a_file_comes_back_from_the_hospital_and_from_any_three_kin() {
    let house = House::enrolled(4).await;
    let write = WriteRecord {
        patient: house.patient(),
        bundle: Arc::new(demo_bundle().to_vec()),
        patience_ms: Millis(10_000),
    };
    let written = house.ask_hospital(SPONSOR, write).await.expect("written");
    let records: u32 = written.batches.iter().map(|batch| batch.records).sum();
    let check = |opened: Vec<OpenedRecord>| {
        assert_eq!(opened.len(), records as usize);
        let parts: Vec<Vec<u8>> = opened
            .iter()
            .filter(|record| record.tier != Tier::Summary)
            .map(|record| record.bytes.clone())
            .collect();
        assert_eq!(join(&parts).expect("the parts fit"), demo_bundle());
    };
    let from_hospital = house.ask_patient(read(&Tier::ALL, Source::Hospital)).await;
    check(from_hospital.expect("opened"));
    // Two kin and the hospital are gone: three kin have all that is needed.
    for name in [SPONSOR, kin(0), kin(3)] {
        house.hold(name).await;
    }
    let from_kin = house.ask_patient(read(&Tier::ALL, Source::Kin)).await;
    check(from_kin.expect("opened"));
    let either = house.ask_patient(read(&Tier::ALL, Source::Hospital)).await;
    check(either.expect("opened"));
    house.hold(kin(1)).await;
    let too_few = house.ask_patient(read(&[Tier::Chart], Source::Kin)).await;
    let too_few = too_few.expect_err("two kin cannot rebuild").to_string();
    assert!(too_few.contains("too few kin"), "{too_few}");
}

#[actix::test]
async fn records_come_in_order_and_uploads_can_be_picked() {
    let house = House::enrolled(1).await;
    let second = house.write(Tier::Chart, &["b", "c"], &ALL).await;
    house.write(Tier::Summary, &["a"], &ALL).await;
    house.write(Tier::Chart, &["d"], &[0, 1, 2]).await;
    let every = house
        .ask_patient(read(&[Tier::Chart, Tier::Summary], Source::Kin))
        .await;
    assert_eq!(texts(&every.expect("opened")), ["a", "b", "c", "d"]);
    let mut picked = read(&Tier::ALL, Source::Kin);
    picked.only = vec![second.root()];
    let opened = house.ask_patient(picked.clone()).await.expect("opened");
    assert_eq!(texts(&opened), ["b", "c"]);
    assert!(opened.iter().all(|record| record.root == second.root()));
    // The hospital has forgotten what it wrote: it is asked, and the kin help out.
    let root = second.root();
    let asked = house
        .port(PATIENT)
        .ask::<Hospital, _>(AUTHOR, FetchRecords { root }, PATIENCE)
        .await;
    assert!(asked.expect("it answers").is_err());
    picked.source = Source::Hospital;
    let opened = house.ask_patient(picked.clone()).await.expect("opened");
    assert_eq!(texts(&opened), ["b", "c"]);
    picked.only.push(Digest([9; 32]));
    let missing = house.ask_patient(picked).await;
    assert!(
        matches!(missing, Err(PatientError::Upload { .. })),
        "{missing:?}"
    );
}

#[actix::test]
async fn a_veto_stops_a_case_before_and_after_it_was_granted() {
    let house = House::enrolled(1).await;
    let early = house.request(&[Tier::Chart]).await;
    let height = house.ask_patient(Veto(early.case)).await.expect("final");
    assert!(height.0 > 0);
    assert_eq!(house.case(early.case).await.phase, Phase::Vetoed);
    let late = house.request(&[Tier::Chart]).await;
    for n in 0..3 {
        let decide = Decide {
            case: late.case,
            decision: Decision::Approve,
        };
        house.ask_kin(n, decide).await.expect("approved");
    }
    house.ask_patient(Veto(late.case)).await.expect("final");
    let case = house.case(late.case).await;
    assert_eq!(case.closed.map(|(_, by)| by), Some(ClosedBy::Veto));
    let again = house.ask_patient(Veto(late.case)).await;
    assert!(
        matches!(again, Err(PatientError::Ledger { .. })),
        "{again:?}"
    );
}

#[actix::test]
async fn a_patient_who_is_not_enrolled_has_nothing_to_read() {
    let house = House::open(1).await;
    let read = house.ask_patient(read(&Tier::ALL, Source::Kin)).await;
    assert!(matches!(read, Err(PatientError::Ledger { .. })), "{read:?}");
}
