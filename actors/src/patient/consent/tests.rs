//! Consent from the patient's wish to the hospital's reading, in a whole cluster with real hospitals and kin.

use super::messages::{DescribeGrant, GrantAccess, Granted, RenewGrant, RevokeGrant};
use crate::friend_relative::messages::{FetchShards, FetchUpload, Ground, KinError};
use crate::hospital::consent::messages::{
    DeliverKeys, GiveBack, GrantOpened, MisuseGrant, ProposeGrant, ReadGranted, TakeGrants,
};
use crate::hospital::messages::HospitalError;
use crate::patient::messages::PatientError;
use crate::ports::names::ActorName;
use crate::ports::network::LinkRule;
use crate::scope::batch_places;
use crate::testing::{AUTHOR, House, PATIENCE, PATIENT, SPONSOR, TestUpload, kin};
use crate::validator::messages::Submit;
use kithkin_protocol::consent::{Bundle, Grant, GrantPurpose, RevokedBy, Standing};
use kithkin_protocol::emergency::Scope;
use kithkin_protocol::ids::{GrantId, RecordId};
use kithkin_protocol::ledger::{BatchPlace, State, TxBody};
use kithkin_protocol::units::{Height, Millis, Tier};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

const ALL: [u8; 5] = [0, 1, 2, 3, 4];

/// Three records of two tiers, and a wish to let [`SPONSOR`] read the summary and the second record of the chart.
async fn written() -> (House, TestUpload, GrantAccess) {
    let house = House::enrolled(1).await;
    house.write(Tier::Summary, &["sum"], &ALL).await;
    let chart = house.write(Tier::Chart, &["one", "two"], &ALL).await;
    let second = chart.upload.manifest.entries()[1].record;
    let wish = GrantAccess {
        hospital: house.hospital(SPONSOR),
        scopes: BTreeMap::from([
            (Tier::Summary, BTreeSet::new()),
            (Tier::Chart, BTreeSet::from([second])),
        ]),
        purpose: GrantPurpose::Treatment,
        begins_in_ms: Millis(0),
        ends_in_ms: Millis(600_000),
    };
    (house, chart, wish)
}

async fn given(house: &House, wish: &GrantAccess) -> Granted {
    let granted = house.ask_patient(wish.clone()).await;
    granted.expect("both sign")
}

async fn read(house: &House, grant: GrantId) -> Result<GrantOpened, HospitalError> {
    let read = ReadGranted {
        grant,
        tiers: BTreeSet::new(),
        within_ms: Millis(10_000),
    };
    house.ask_hospital(SPONSOR, read).await
}

fn texts(opened: &GrantOpened) -> Vec<String> {
    assert!(opened.unopened.is_empty() && opened.shut.is_empty());
    let texts = opened.records.iter().map(|record| record.bytes.clone());
    texts
        .map(|text| String::from_utf8(text).expect("text"))
        .collect()
}

async fn on_chain(house: &House, grant: GrantId) -> Grant {
    let key = State::grant_key(grant);
    let proved = house.client(AUTHOR).prove(key, House::deadline()).await;
    let value = proved.expect("proved").0.expect("it stands");
    State::decode_value(&value).expect("a grant")
}

fn keys_left(house: &House) -> usize {
    let names = house.keys_of(SPONSOR).names().expect("names");
    names
        .iter()
        .filter(|name| name.starts_with("grant-"))
        .count()
}

/// Until the hospital has noticed that the grant has ended.
async fn until_keys_are_destroyed(house: &House) {
    let until = Instant::now() + PATIENCE;
    while keys_left(house) > 0 {
        assert!(Instant::now() < until, "the keys are still there");
        let _ = house.ask_patient(DescribeGrant(GrantId([0; 32]))).await;
    }
}

#[actix::test]
async fn what_is_granted_is_read_until_it_is_taken_back() {
    let (house, _, wish) = written().await;
    let granted = given(&house, &wish).await;
    let id = granted.grant;
    assert!(granted.delivered && granted.left_out.is_empty());
    assert_eq!((granted.keys, keys_left(&house)), (2, 1));
    house.crash(SPONSOR).await;
    let opened = read(&house, id).await.expect("granted");
    assert_eq!(texts(&opened), ["sum", "two"]);
    let stands = on_chain(&house, id).await;
    assert_eq!(
        (stands.records_read, stands.until_ms),
        (2, granted.until_ms)
    );
    let described = house.ask_patient(DescribeGrant(id)).await.expect("proved");
    let consent: serde_json::Value = serde_json::from_str(&described.json).expect("JSON");
    assert_eq!(consent["resourceType"], "Consent");
    assert_eq!(consent["status"], "active");
    let permits = consent["provision"]["provision"].as_array();
    let permits = permits.expect("one for each tier");
    assert_eq!(permits.len(), 2);
    assert!(permits[0].get("data").is_none(), "the whole summary");
    assert_eq!(permits[1]["data"].as_array().map(Vec::len), Some(1));

    let renew = RenewGrant {
        grant: id,
        ends_in_ms: Millis(7_200_000),
    };
    let renewed = house.ask_patient(renew).await.expect("both sign");
    assert!(renewed.until_ms > granted.until_ms);
    assert_eq!(texts(&read(&house, id).await.expect("renewed")).len(), 2);

    house.ask_patient(RevokeGrant(id)).await.expect("revoked");
    let stands = on_chain(&house, id).await;
    let by_patient = |standing| matches!(standing, Standing::Revoked(_, RevokedBy::Patient));
    assert!(by_patient(stands.standing) && stands.renewals == 1);
    let refused = read(&house, id).await;
    assert!(
        matches!(&refused, Err(HospitalError::Grant { reason, .. }) if reason.contains("revoked"))
    );
    let misused = house.ask_hospital(SPONSOR, MisuseGrant(id)).await;
    for one in misused.expect("all are asked") {
        assert!(one.refused.expect("refused").contains("revoked"));
    }
    until_keys_are_destroyed(&house).await;
    let again = house.ask_patient(renew).await;
    assert!(
        matches!(again, Err(PatientError::Grant { .. })),
        "{again:?}"
    );
    let described = house.ask_patient(DescribeGrant(id)).await.expect("proved");
    assert!(described.json.contains("\"inactive\""));
}

/// Where the upload's batch stands.
async fn place(house: &House, upload: &TestUpload) -> BatchPlace {
    let (client, port) = (house.client(AUTHOR), house.port(AUTHOR));
    let (patient, tier) = (house.patient(), upload.upload.tier);
    let key = State::patient_key(patient);
    let (_, head) = client.prove(key, House::deadline()).await.expect("proved");
    let places = batch_places(
        &client,
        &port,
        (patient, tier, head.height),
        head.height,
        House::deadline(),
    );
    *places.await.expect("listed").last().expect("one")
}

#[actix::test]
async fn kin_serve_a_grant_to_its_hospital_within_its_scope_and_nothing_else() {
    let (house, chart, wish) = written().await;
    let id = given(&house, &wish).await.grant;
    let at = place(&house, &chart).await;
    let (first, second) = (
        chart.upload.manifest.entries()[0].record,
        chart.upload.manifest.entries()[1].record,
    );
    let ask = async |from: ActorName, root, only: Vec<RecordId>, ground| {
        let ground = Some(ground);
        let question = FetchShards { root, only, ground };
        house.ask_kin_as(from, 3, question).await
    };
    let (root, ground) = (chart.root(), Ground::Grant(id, at));
    let served = ask(SPONSOR, root, Vec::new(), ground)
        .await
        .expect("granted");
    let records: Vec<RecordId> = served.iter().map(|(record, _)| *record).collect();
    assert_eq!(records, [second]);
    let upload = FetchUpload {
        root,
        ground: Some(ground),
    };
    assert!(house.ask_kin_as(SPONSOR, 3, upload).await.is_ok());
    let refusals = [
        (
            "a record that is not named",
            ask(SPONSOR, root, vec![first], ground).await,
        ),
        (
            "another hospital",
            ask(AUTHOR, root, Vec::new(), ground).await,
        ),
        (
            "another patient",
            ask(ActorName::Patient(1), root, Vec::new(), ground).await,
        ),
        (
            "another place",
            ask(
                SPONSOR,
                root,
                Vec::new(),
                Ground::Grant(id, (at.0, at.1, Height(1), 0)),
            )
            .await,
        ),
        (
            "another tier's place",
            ask(
                SPONSOR,
                root,
                Vec::new(),
                Ground::Grant(id, (at.0, Tier::Summary, at.2, at.3)),
            )
            .await,
        ),
        (
            "no such grant",
            ask(
                SPONSOR,
                root,
                Vec::new(),
                Ground::Grant(GrantId([7; 32]), at),
            )
            .await,
        ),
    ];
    for (what, answer) in refusals {
        assert!(answer.is_err(), "{what}");
    }
    // What came on chain later is for a new grant.
    let later = house.write(Tier::Chart, &["three"], &ALL).await;
    let place = place(&house, &later).await;
    let answer = ask(SPONSOR, later.root(), Vec::new(), Ground::Grant(id, place)).await;
    let later =
        matches!(&answer, Err(KinError::Grant { reason, .. }) if reason.contains("not covered"));
    assert!(later, "{answer:?}");
}

#[actix::test]
async fn kin_and_hospital_stop_at_the_end_by_their_own_clocks() {
    let (house, chart, mut wish) = written().await;
    wish.ends_in_ms = Millis(8_000);
    wish.scopes = BTreeMap::from([(Tier::Chart, BTreeSet::new())]);
    let granted = given(&house, &wish).await;
    let at = place(&house, &chart).await;
    let question = FetchShards {
        root: chart.root(),
        only: Vec::new(),
        ground: Some(Ground::Grant(granted.grant, at)),
    };
    // Three kin are away: what the hospital waits for does not come before the end.
    for n in 0..3 {
        let severed = LinkRule::severed();
        house.cluster.network().set_node(kin(n), severed);
    }
    let early = house.ask_kin_as(SPONSOR, 3, question.clone()).await;
    assert_eq!(early.expect("before the end").len(), 2);
    let wait = ReadGranted {
        grant: granted.grant,
        tiers: BTreeSet::new(),
        within_ms: Millis(50_000),
    };
    let ended = house.ask_hospital(SPONSOR, wait).await;
    let over = |reason: &str| reason.contains("was good until") || reason.contains("expired");
    assert!(
        matches!(&ended, Err(HospitalError::Grant { reason, .. }) if over(reason)),
        "{ended:?}"
    );
    assert!(house.now() >= granted.until_ms);
    let late = house.ask_kin_as(SPONSOR, 3, question).await;
    assert!(
        matches!(&late, Err(KinError::Grant { reason, .. }) if over(reason)),
        "{late:?}"
    );
    assert_eq!(on_chain(&house, granted.grant).await.records_read, 0);
}

#[actix::test]
async fn keys_that_did_not_arrive_are_sent_again() {
    let (house, _, wish) = written().await;
    let network = house.cluster.network().clone();
    // From the moment at which the grant goes to the ledger the hospital cannot be reached.
    house.cluster.network().tap(move |event| {
        let submitted = event.content.downcast_ref::<Submit>();
        let is_grant = |Submit(sent): &Submit| matches!(sent.content.body, TxBody::Grant(_));
        if submitted.is_some_and(is_grant) {
            network.set_link_both(PATIENT, SPONSOR, LinkRule::severed());
        }
    });
    let granted = given(&house, &wish).await;
    assert!(!granted.delivered);
    let early = read(&house, granted.grant).await;
    assert!(
        matches!(&early, Err(HospitalError::Grant { reason, .. }) if reason.contains("not come")),
        "{early:?}"
    );
    house.cluster.network().clear_links();
    house.crash(PATIENT).await;
    let until = Instant::now() + PATIENCE;
    loop {
        match read(&house, granted.grant).await {
            Ok(opened) => break assert_eq!(texts(&opened), ["sum", "two"]),
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
}

#[actix::test]
async fn a_hospital_signs_what_it_takes_and_gives_back_what_it_does_not_need() {
    let (house, _, wish) = written().await;
    let only = BTreeSet::from([GrantPurpose::Compliance]);
    let take = house.ask_hospital(SPONSOR, TakeGrants(only)).await;
    take.expect("noted");
    house.crash(SPONSOR).await;
    let declined = house.ask_patient(wish.clone()).await;
    assert!(
        matches!(&declined, Err(PatientError::NotAgreed { reason, .. }) if reason.contains("TREAT")),
        "{declined:?}"
    );
    assert_eq!(keys_left(&house), 0);
    let all = TakeGrants(GrantPurpose::ALL.into());
    house.ask_hospital(SPONSOR, all).await.expect("noted");
    let backwards = GrantAccess {
        begins_in_ms: Millis(600_000),
        ..wish.clone()
    };
    let declined = house.ask_patient(backwards).await;
    assert!(
        matches!(declined, Err(PatientError::NotAgreed { .. })),
        "{declined:?}"
    );
    let id = given(&house, &wish).await.grant;
    house
        .ask_hospital(SPONSOR, GiveBack(id))
        .await
        .expect("given back");
    let standing = on_chain(&house, id).await.standing;
    assert!(matches!(
        standing,
        Standing::Revoked(_, RevokedBy::Hospital)
    ));
    assert_eq!(keys_left(&house), 0);
    assert!(read(&house, id).await.is_err());
}

#[actix::test]
async fn only_the_patient_proposes_and_only_the_keys_on_chain_are_taken() {
    let (house, _, wish) = written().await;
    let propose = ProposeGrant {
        scopes: vec![Scope {
            tier: Tier::Summary,
            up_to: Height(1),
            only: Vec::new(),
        }],
        purpose: GrantPurpose::Treatment,
        from_ms: house.now(),
        until_ms: house.now().plus(60_000),
    };
    let ask = async |from: ActorName, message: ProposeGrant| {
        let port = house.port(from);
        let asked = port.ask::<crate::hospital::Hospital, _>(SPONSOR, message, PATIENCE);
        asked.await.expect("it answers")
    };
    for stranger in [kin(0), AUTHOR, ActorName::Driver] {
        let refused = ask(stranger, propose.clone()).await;
        assert!(
            matches!(refused, Err(HospitalError::Forbidden { .. })),
            "{stranger}"
        );
    }
    let unenrolled = ask(ActorName::Patient(1), propose.clone()).await;
    assert!(matches!(
        unenrolled,
        Err(HospitalError::UnknownPatient { .. })
    ));
    let offer = ask(PATIENT, propose).await.expect("offered");
    // The hospital's signature alone is nothing: without the patient's there is no grant.
    let deed = kithkin_protocol::consent::GrantDeed {
        encapsulation: Bundle::default().digest(offer.terms.id(house.chain())),
        hospital_signature: offer.signature,
        terms: offer.terms,
    };
    let alone = TxBody::Grant(Box::new(deed));
    let alone = house.client(AUTHOR).submit(alone, House::deadline()).await;
    assert!(alone.is_err());

    let id = given(&house, &wish).await.grant;
    let forged = DeliverKeys {
        grant: id,
        keys: Bundle::default(),
    };
    let port = house.port(PATIENT);
    let asked = port.ask::<crate::hospital::Hospital, _>(SPONSOR, forged, PATIENCE);
    let refused = asked.await.expect("it answers");
    assert!(
        matches!(refused, Err(HospitalError::Grant { .. })),
        "{refused:?}"
    );
    assert_eq!(
        texts(&read(&house, id).await.expect("the right keys stay")).len(),
        2
    );
    let port = house.port(kin(0));
    let asked = port.ask::<crate::patient::Patient, _>(PATIENT, wish, PATIENCE);
    let refused = asked.await.expect("it answers");
    assert!(matches!(refused, Err(PatientError::Forbidden { .. })));
}
