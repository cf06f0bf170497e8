//! Erasing by the patient's order, and how much a kin keeps.

use crate::friend_relative::messages::{EraseBatch, FetchShards, KinError};
use crate::ports::names::ActorName;
use crate::testing::{AUTHOR, House, PATIENT, SPONSOR, TestUpload, kin};
use kithkin_protocol::ledger::BatchPlace;
use kithkin_protocol::record::Erased;
use kithkin_protocol::units::{Height, Tier};

const ALL: [u8; 5] = [0, 1, 2, 3, 4];

/// An upload that all kin hold, and where it stands.
async fn written(house: &House) -> (TestUpload, BatchPlace) {
    let upload = house.seal(Tier::Chart, &["one", "two"]).await;
    let mut receipts = Vec::new();
    for n in ALL {
        receipts.push(house.store(&upload, n).await.expect("stored"));
    }
    let height = house.anchor(&upload, &receipts).await;
    (upload, (house.patient(), Tier::Chart, height, 0))
}

async fn erase(
    house: &House,
    from: ActorName,
    place: BatchPlace,
) -> Result<Vec<kithkin_protocol::record::Erasure>, KinError> {
    let ordered = Height(0);
    house
        .ask_kin_as(from, 0, EraseBatch { place, ordered })
        .await
}

/// One upload is left at the first kin, with one record, and one is erased.
async fn gone(house: &House) {
    let held = house.held(0).await;
    assert_eq!((held.uploads, held.shards, held.erased), (1, 1, 1));
}

#[actix::test]
async fn nothing_is_erased_without_an_order_on_chain_or_for_anybody_else() {
    let house = House::enrolled(1).await;
    let (upload, place) = written(&house).await;
    for stranger in [
        AUTHOR,
        SPONSOR,
        kin(1),
        ActorName::Patient(1),
        ActorName::Driver,
    ] {
        let refused = erase(&house, stranger, place).await;
        assert!(
            matches!(refused, Err(KinError::Forbidden { .. })),
            "{refused:?}"
        );
    }
    let (height, index) = (place.2, place.3);
    let refused = erase(&house, PATIENT, place).await;
    assert_eq!(refused, Err(KinError::NotOrdered { height, index }));
    let elsewhere = (place.0, place.1, place.2.plus(1), 0);
    let refused = erase(&house, PATIENT, elsewhere).await;
    assert!(
        matches!(refused, Err(KinError::NotOrdered { .. })),
        "{refused:?}"
    );
    assert_eq!(house.held(0).await.uploads, 1);
    assert!(house.store(&upload, 0).await.is_ok());
}

#[actix::test]
async fn what_is_ordered_is_gone_is_signed_for_and_is_not_taken_again() {
    let house = House::enrolled(1).await;
    let (upload, place) = written(&house).await;
    let receipt = house.store(&upload, 0).await.expect("signed again");
    let other = house.write(Tier::Summary, &["stays"], &ALL).await;
    house.order(&upload).await;
    let erased = erase(&house, PATIENT, place).await.expect("erased");
    let key = house.identity(kin(0)).signing.verifying_key();
    assert_eq!(erased.len(), 1);
    assert_eq!(erased[0].verify(&key), Ok(()));
    assert!(
        erased[0].body.ends(&receipt.body),
        "it ends what the storage receipt promised"
    );
    assert_eq!(erased[0].body.erased, Erased::Batch);
    gone(&house).await;
    // Asked again, also after a crash, it says the same.
    house.crash(kin(0)).await;
    assert_eq!(erase(&house, PATIENT, place).await, Ok(erased));
    gone(&house).await;
    let root = upload.root();
    assert_eq!(
        house.store(&upload, 0).await,
        Err(KinError::Erased { root })
    );
    let (only, ground) = (Vec::new(), None);
    let fetched = house
        .ask_kin_as(PATIENT, 0, FetchShards { root, only, ground })
        .await;
    assert_eq!(fetched, Err(KinError::Unknown { root }));
    // A kin that only heard of it from the ledger does it too, and nobody makes the pieces anew.
    house.until_erased(4, 1).await;
    let root = other.root();
    let (only, ground) = (Vec::new(), None);
    let fetched = house
        .ask_kin_as(PATIENT, 0, FetchShards { root, only, ground })
        .await;
    assert_eq!(fetched.expect("the other one is here").len(), 1);
}

#[actix::test]
async fn a_kin_keeps_as_much_as_it_was_given_and_says_so() {
    // Room for one small upload: a record of its size and its overhead.
    let house = House::with_quota(1, 2_000).await;
    let first = house.seal(Tier::Chart, &["one"]).await;
    house.store(&first, 0).await.expect("it fits");
    let second = house.seal(Tier::Chart, &["two"]).await;
    let refused = house.store(&second, 0).await;
    let Err(KinError::Full {
        adds,
        used,
        bytes_max,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(bytes_max, 2_000);
    assert!(adds > 1_000 && used > 1_000, "{adds} {used}");
    let held = house.held(0).await;
    assert_eq!(held.uploads, 1);
    // What it has signed for stays, and the count survives a restart.
    house.crash(kin(0)).await;
    assert!(matches!(
        house.store(&second, 0).await,
        Err(KinError::Full { .. })
    ));
    assert!(house.store(&first, 0).await.is_ok());
}
