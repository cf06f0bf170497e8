//! Who gets nothing, and for what reason.

use super::{House, house};
use crate::hospital::messages::{
    DeliverPartials, FetchRecords, HospitalError, ReadCase, RequestOpening, Sponsor, WriteRecord,
};
use crate::ports::names::ActorName;
use kithkin_fhir::fixture::demo_bundle;
use kithkin_protocol::crypto::{Digest, Sealed};
use kithkin_protocol::emergency::{Purpose, Reason};
use kithkin_protocol::ids::CaseId;
use kithkin_protocol::ledger::{Enrolment, State};
use kithkin_protocol::units::{Millis, Tier};
use std::sync::Arc;

async fn enrolment(house: &House) -> Enrolment {
    let client = house.cluster.client();
    let key = State::patient_key(house.patient());
    let (value, _) = client.prove(key, House::deadline()).await.expect("proved");
    let value = value.expect("enrolled");
    let patient: kithkin_protocol::ledger::Patient = State::decode_value(&value).expect("readable");
    patient.enrolment
}

fn is_forbidden<T: core::fmt::Debug>(answer: Result<T, HospitalError>) {
    assert!(
        matches!(answer, Err(HospitalError::Forbidden { .. })),
        "{answer:?}"
    );
}

/// Only the patient's own device is vouched for, and only by the hospital that the enrolment names.
#[actix::test]
async fn strangers_are_not_vouched_for() {
    let house = house().await;
    let enrolment = Arc::new(enrolment(&house).await);
    let sponsor = Sponsor {
        patient: house.patient(),
        enrolment: Arc::clone(&enrolment),
    };
    for from in [
        ActorName::Driver,
        ActorName::Patient(1),
        ActorName::Kin(0, 0),
    ] {
        let port = house.cluster.network().port(from);
        is_forbidden(house.ask_as(port, 0, sponsor.clone()).await);
    }
    let patient = house.cluster.network().port(ActorName::Patient(0));
    is_forbidden(house.ask_as(patient.clone(), 1, sponsor.clone()).await);
    let mut misshapen = (*enrolment).clone();
    misshapen.roster.truncate(2);
    let sponsor = Sponsor {
        enrolment: Arc::new(misshapen),
        ..sponsor
    };
    is_forbidden(house.ask_as(patient, 0, sponsor).await);
    house.close().await;
}

#[actix::test]
async fn bad_bundles_and_unknown_patients_are_refused() {
    let house = house().await;
    for bad in [
        b"".as_slice(),
        b"{",
        b"{\"resourceType\":\"Patient\"}",
        b"{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[]}",
    ] {
        let answer = house.write(bad, 1_000).await;
        assert!(
            matches!(answer, Err(HospitalError::Bundle { .. })),
            "{answer:?}"
        );
    }
    let stranger = house.cluster.patient(1).expect("it has two");
    let write = WriteRecord {
        patient: stranger,
        bundle: Arc::new(demo_bundle().to_vec()),
        patience_ms: Millis(1_000),
    };
    let unknown = HospitalError::UnknownPatient { patient: stranger };
    assert_eq!(house.ask(0, write.clone()).await, Err(unknown.clone()));
    let request = RequestOpening {
        patient: stranger,
        tiers: vec![Tier::Summary],
        purpose: Purpose::BreakGlass,
        reason: Reason::Stroke,
        encounter: String::new(),
        expires_in_ms: Millis(1_000),
        session_ms: Millis(1_000),
        credential: None,
        after: None,
    };
    assert_eq!(house.ask(1, request.clone()).await, Err(unknown));
    let no_tier = RequestOpening {
        tiers: Vec::new(),
        ..request.clone()
    };
    is_forbidden(house.ask(1, no_tier).await);
    let long = RequestOpening {
        encounter: "x".repeat(1_000),
        ..request.clone()
    };
    is_forbidden(house.ask(1, long).await);
    // Neither kin nor patients sit at the hospital's screens.
    for from in [ActorName::Kin(0, 0), ActorName::Patient(0)] {
        let port = house.cluster.network().port(from);
        is_forbidden(house.ask_as(port.clone(), 0, write.clone()).await);
        is_forbidden(house.ask_as(port, 0, request.clone()).await);
    }
    house.close().await;
}

#[actix::test]
async fn deliveries_and_questions_about_other_cases_are_refused() {
    let house = house().await;
    let case = CaseId([7; 32]);
    let unknown = HospitalError::UnknownCase { case };
    let read = ReadCase {
        case,
        tier: None,
        within_ms: Millis(100),
    };
    assert_eq!(house.ask(1, read).await.expect_err("unknown"), unknown);

    let requested = house.request(&[Tier::Summary]).await;
    let sealed = |bytes| Sealed {
        enc: vec![0; 32],
        ciphertext: vec![0; bytes],
    };
    let deliver = |case, partials| DeliverPartials { case, partials };
    let kin = house.cluster.network().port(ActorName::Kin(0, 0));
    let small = deliver(requested.case, vec![(Tier::Summary, sealed(100))]);
    let stranger = house.cluster.network().port(ActorName::Kin(1, 0));
    is_forbidden(house.ask_as(stranger, 1, small.clone()).await);
    is_forbidden(house.ask(1, small.clone()).await);
    for partials in [
        Vec::new(),
        vec![(Tier::Chart, sealed(100))],
        vec![(Tier::Summary, sealed(1 << 20))],
        vec![(Tier::Summary, sealed(100)), (Tier::Summary, sealed(100))],
    ] {
        let message = deliver(requested.case, partials);
        is_forbidden(house.ask_as(kin.clone(), 1, message).await);
    }
    let elsewhere = house.ask_as(kin.clone(), 0, small.clone()).await;
    let case = requested.case;
    assert_eq!(elsewhere, Err(HospitalError::UnknownCase { case }));
    // The same again is no new delivery; new ones run out.
    for _ in 0..10 {
        let answer = house.ask_as(kin.clone(), 1, small.clone()).await;
        assert_eq!(answer, Ok(()));
    }
    let mut taken = 1;
    for bytes in 101..110 {
        let message = deliver(case, vec![(Tier::Summary, sealed(bytes))]);
        taken += u32::from(house.ask_as(kin.clone(), 1, message).await.is_ok());
    }
    assert_eq!(taken, 4);
    house.close().await;
}

#[actix::test]
async fn only_the_patient_fetches_records() {
    let house = house().await;
    let written = house.write(demo_bundle(), 10_000).await.expect("written");
    let root = written.batches[0].root;
    for from in [
        ActorName::Driver,
        ActorName::Patient(1),
        ActorName::Kin(0, 1),
        ActorName::Hospital(1),
    ] {
        let port = house.cluster.network().port(from);
        is_forbidden(house.ask_as(port, 0, FetchRecords { root }).await);
    }
    let patient = house.cluster.network().port(ActorName::Patient(0));
    let nowhere = Digest([9; 32]);
    for (hospital, root) in [(0, nowhere), (1, root)] {
        let question = FetchRecords { root };
        let answer = house.ask_as(patient.clone(), hospital, question).await;
        assert_eq!(
            answer.expect_err("unknown"),
            HospitalError::UnknownUpload { root }
        );
    }
    house.close().await;
}
