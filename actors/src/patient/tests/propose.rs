//! A proposal of a new device whose end nobody has seen. The test runs the flows beside the actor, over a store of its own.

use super::anew::{house, replaced};
use crate::patient::anew::rebuild;
use crate::patient::device::Device;
use crate::patient::messages::{AboutRoster, PatientError};
use crate::patient::roster::{about, under_way};
use crate::patient::storage::Redealt;
use crate::ports::store::{Store, StoreOptions};
use crate::testing::NEW;
use crate::testing::{House, kin};
use kithkin_protocol::roster::Plan;
use kithkin_protocol::units::{Millis, Tier};
use std::sync::Arc;

/// A new device for which the kin have vouched. One of them is away, so that what is dealt does not come to its end.
async fn recovering(store: &Store) -> (House, Arc<Device>) {
    let house = house(1).await;
    house.vouch_for_new_device().await;
    replaced(&house).await;
    house.hold(kin(3)).await;
    let device = Device::open(
        house.cluster.setting().clone(),
        house.identity(NEW),
        house.keys_of(NEW),
        house.port(NEW),
        store.space("patient").expect("a space"),
    );
    let device = device.expect("opens").speaking_for(house.patient());
    (house, Arc::new(device))
}

/// The proposal comes to nothing, and this device has seen no end of it; it may stand until then.
async fn lose(device: &Arc<Device>, until: Millis) -> Redealt {
    let vetoed = about(device.clone(), AboutRoster::Veto).await;
    vetoed.expect("it stood");
    let mut redealt = device.redealt().expect("read").expect("dealt");
    redealt.may_stand_until = Some(until);
    device.put_redealt(&redealt).await.expect("durable");
    redealt
}

async fn proposed(device: &Device) -> Plan {
    let handover = under_way(device).await.expect("proved");
    handover.expect("one is under way").plan
}

/// How many of the keys of a plan are in the vault.
fn keys_here(device: &Device, plan: &Plan) -> usize {
    let Plan::Redeal { commitments, .. } = plan else {
        panic!("not dealt by the patient: {plan:?}");
    };
    let tiers = Tier::ALL.into_iter().zip(commitments);
    tiers
        .filter(|(tier, dealt)| device.tier_key(*tier, dealt.public_key()).is_ok())
        .count()
}

#[actix::test]
async fn a_proposal_that_may_still_become_final_is_made_again_and_keeps_its_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), StoreOptions::default()).expect("opens");
    let (house, device) = recovering(&store).await;
    rebuild(device.clone()).await.expect("rebuilt");
    let built = [device.tree(), device.tree()].map(|tree| tree.expect("read").expect("dealt"));
    assert!(Arc::ptr_eq(&built[0], &built[1]), "built once");
    let in_a_while = house.now().plus(600_000);
    let first = lose(&device, in_a_while).await;
    let again = rebuild(device.clone()).await.expect("proposed again");
    assert_eq!(again.batches, first.rebuilt.batches);
    assert_eq!(proposed(&device).await, first.plan);
    assert_eq!(keys_here(&device, &first.plan), 3);
    // This proposal was seen to its end, the one before it was not.
    let kept = device.redealt().expect("read").expect("dealt");
    assert_eq!(kept.may_stand_until, Some(in_a_while));
    // A record has come since: refused, but what was proposed may still come to stand.
    lose(&device, in_a_while).await;
    house.write(Tier::Chart, &["d"], &[0, 1, 2]).await;
    let refused = rebuild(device.clone()).await.expect_err("another record");
    assert!(
        matches!(&refused, PatientError::Roster { reason } if reason.contains("may still become final")),
        "{refused}"
    );
    assert_eq!(keys_here(&device, &first.plan), 3);
    // Its time is over.
    let mut late = device.redealt().expect("read").expect("dealt");
    late.may_stand_until = Some(house.now());
    device.put_redealt(&late).await.expect("durable");
    let fresh = rebuild(device.clone()).await.expect("dealt anew");
    assert_eq!(fresh.batches, first.rebuilt.batches + 1);
    let second = proposed(&device).await;
    let tree = device.tree().expect("read").expect("dealt");
    assert!(matches!(&second, Plan::Redeal { rewrap, .. } if *rewrap == Some(tree.rewrap())));
    assert_eq!(
        (keys_here(&device, &first.plan), keys_here(&device, &second)),
        (0, 3)
    );
}
