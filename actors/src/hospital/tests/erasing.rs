//! Copies that the patient has ordered to be erased.

use super::{House, house};
use crate::clients::LedgerClient;
use crate::hospital::messages::{EraseCopies, FetchRecords, HospitalError};
use crate::identity::Identity;
use crate::ports::names::ActorName;
use crate::validator::messages::{Answer, Look};
use kithkin_fhir::fixture::demo_bundle;
use kithkin_protocol::ledger::{BatchEntry, BatchPlace, TxBody};
use kithkin_protocol::units::{Height, Tier};

const ME: ActorName = ActorName::Patient(0);

/// The only batch of the summary, and where it stands.
async fn summary(house: &House) -> (BatchPlace, BatchEntry) {
    let look = Look::Batches(house.patient(), Tier::Summary, Height(u64::MAX));
    let client = house.cluster.client();
    let Ok(Answer::Batches(batches)) = client.look(look, House::deadline()).await else {
        panic!("the validator does not answer");
    };
    let ((height, index), entry) = batches.into_iter().next().expect("one was written");
    ((house.patient(), Tier::Summary, height, index), entry)
}

#[actix::test]
async fn copies_go_by_the_patients_order_and_the_hospital_signs() {
    let house = house().await;
    let written = house.write(demo_bundle(), 30_000).await;
    let written = written.expect("written");
    let (place, entry) = summary(&house).await;
    let port = house.cluster.network().port(ME);
    let mut erase = EraseCopies {
        place,
        ordered: Height(0),
    };
    let forbidden = |answer: Result<_, HospitalError>| {
        assert!(
            matches!(answer, Err(HospitalError::Forbidden { .. })),
            "{answer:?}"
        );
    };
    forbidden(house.ask_as(port.clone(), 0, erase).await);

    let key = Identity::load_or_create(&house.keys_of(ME))
        .expect("keys")
        .signing;
    let setting = house.cluster.setting();
    let client = LedgerClient::new(&setting.genesis, port.clone(), key, setting.clock.clone());
    let batch = entry.id;
    let ordered = client
        .submit(TxBody::Erase { batch }, House::deadline())
        .await;
    erase.ordered = ordered.expect("it stands").proof.header.height;
    for stranger in [
        ActorName::Driver,
        ActorName::Patient(1),
        ActorName::Kin(0, 0),
    ] {
        let stranger = house.cluster.network().port(stranger);
        forbidden(house.ask_as(stranger, 0, erase).await);
    }
    let receipt = house.ask_as(port.clone(), 0, erase).await.expect("erased");
    let hospital = &house.cluster.setting().genesis.hospitals[0];
    assert_eq!(receipt.verify(&hospital.key), Ok(()));
    assert_eq!((receipt.body.batch, receipt.body.records), (batch, 1));
    let root = entry.header.manifest_root;
    let gone = Err(HospitalError::UnknownUpload { root });
    let fetch = FetchRecords { root };
    let fetched = house.ask_as(port.clone(), 0, fetch).await.map(|_| ());
    assert_eq!(fetched, gone);
    // The same receipt after a crash, and nothing came back; the other tiers are as they were.
    house.panic(ActorName::Hospital(0)).await;
    assert_eq!(house.ask_as(port.clone(), 0, erase).await, Ok(receipt));
    let fetched = house.ask_as(port.clone(), 0, fetch).await.map(|_| ());
    assert_eq!(fetched, gone);
    for other in written.batches.iter().filter(|batch| batch.root != root) {
        let fetch = FetchRecords { root: other.root };
        let fetched = house.ask_as(port.clone(), 0, fetch).await;
        assert_eq!(
            fetched.expect("kept").ciphertexts.len(),
            other.records as usize
        );
    }
    house.close().await;
}
