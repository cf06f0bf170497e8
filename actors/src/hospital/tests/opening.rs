//! From a request to plaintext, with honest kin and others.

use super::{House, house, house_of, join};
use crate::friend_relative::messages::Conduct;
use crate::hospital::messages::{CloseCase, HospitalError, Opened};
use crate::ports::names::ActorName;
use crate::ports::network::LinkRule;
use crate::validator::messages::Submit;
use kithkin_fhir::fixture::demo_bundle;
use kithkin_fhir::summary;
use kithkin_protocol::emergency::{CaseEvent, Phase};
use kithkin_protocol::ids::KinId;
use kithkin_protocol::ledger::{TxBody, What};
use kithkin_protocol::units::Tier;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const WITHIN: u64 = 30_000;

fn kin(house: &House, numbers: &[u8]) -> Vec<KinId> {
    let kin = numbers.iter().map(|n| house.cluster.kin(0, *n));
    kin.map(|kin| kin.expect("it has five")).collect()
}

/// How many records the session's keys in the vault still are.
fn session_keys(house: &House) -> usize {
    let names = house.keys_of(ActorName::Hospital(1)).names();
    let names = names.expect("readable");
    names
        .iter()
        .filter(|name| name.starts_with("session-"))
        .count()
}

#[actix::test]
async fn what_was_sealed_at_one_hospital_is_opened_at_another() {
    let house = house_of(4).await;
    let bundle = demo_bundle();
    let written = house.write(bundle, 10_000).await.expect("written");
    let records: u32 = written.batches.iter().map(|batch| batch.records).sum();

    let requested = house.request(&Tier::ALL).await;
    let case = requested.case;
    assert_eq!(session_keys(&house), 2);
    let (opened, (_, _, decided)) = tokio::join!(house.read(case, None, WITHIN), async {
        (
            house.approve(case, 0).await,
            house.approve(case, 2).await,
            house.approve(case, 4).await,
        )
    });
    assert!(decided.phase.opens());
    let opened = opened.expect("opened");
    assert_eq!(opened.records.len(), records as usize);
    assert_eq!(join(&opened.records), bundle);
    assert_eq!(opened.good, kin(&house, &[0, 2, 4]));
    assert_eq!((opened.forged, opened.unopened), (Vec::new(), Vec::new()));
    let tiers: Vec<Tier> = opened.records.iter().map(|record| record.tier).collect();
    assert!(tiers.is_sorted());
    assert_eq!(house.case(case).await.records_read(), records);

    // A second read needs nobody: what the kin sent is kept, the keys are not.
    let again = house
        .read(case, Some(Tier::Summary), WITHIN)
        .await
        .expect("again");
    assert_eq!(again.records, opened.records[..1].to_vec());
    assert!(again.height > opened.height);
    assert!(summary::counts(&again.records[0].bytes).is_ok());
    assert_eq!(house.case(case).await.records_read(), records + 1);

    house.ask(1, CloseCase(case)).await.expect("closed");
    assert_eq!(house.case(case).await.phase, Phase::Closed);
    assert_eq!(session_keys(&house), 0);
    let closed = house
        .read(case, None, 1_000)
        .await
        .expect_err("it is closed");
    assert!(
        matches!(&closed, HospitalError::NotOpened { phase, .. } if phase == "closed"),
        "{closed}"
    );
    house.close().await;
}

/// The reply with the plaintext leaves the hospital after the read is final, not before.
#[actix::test]
async fn a_read_stands_on_chain_before_the_plaintext_leaves() {
    let mut house = house().await;
    house.write(demo_bundle(), 10_000).await.expect("written");
    let case = house.request(&[Tier::Summary, Tier::Chart]).await.case;
    for n in 0..3 {
        house.approve(case, n).await;
    }
    let left = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&left);
    house.cluster.network().tap(move |event| {
        let content = event
            .content
            .downcast_ref::<Result<Opened, HospitalError>>();
        if let (true, Some(Ok(_))) = (event.reply, content) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let reader = house.cluster.driver();
    let message = crate::hospital::messages::ReadCase {
        case,
        tier: None,
        within_ms: kithkin_protocol::units::Millis(WITHIN),
    };
    let mut reading = std::pin::pin!(reader.ask::<crate::hospital::Hospital, _>(
        ActorName::Hospital(1),
        message,
        super::PATIENCE
    ));
    let mut logged = 0;
    let opened = loop {
        tokio::select! {
            biased;
            event = house.events.recv() => {
                let event = event.expect("the validator runs");
                if let What::Case { step: CaseEvent::Read(records), .. } = event.what {
                    assert_eq!(left.load(Ordering::SeqCst), 0);
                    logged += records;
                }
            }
            opened = &mut reading => break opened.expect("it answers").expect("opened"),
        }
    };
    assert_eq!(logged as usize, opened.records.len());
    assert_eq!(left.load(Ordering::SeqCst), 1);
    house.close().await;
}

#[actix::test]
async fn a_forger_is_named_and_the_others_suffice() {
    let house = house().await;
    house.write(demo_bundle(), 10_000).await.expect("written");
    house.conduct(1, Conduct::Forge).await;
    let case = house.request(&[Tier::Summary, Tier::Chart]).await.case;
    for n in 0..3 {
        house.approve(case, n).await;
    }
    let shut = house
        .read(case, None, 3_000)
        .await
        .expect_err("two good ones are not enough");
    let HospitalError::NotOpened {
        good,
        needed,
        forged,
        ..
    } = shut
    else {
        panic!("{shut}");
    };
    assert_eq!((good, needed), (2, 3));
    assert_eq!(forged, kin(&house, &[1]));

    // Who forged is written down: it is known after a restart too, and one more kin is enough.
    house.panic(ActorName::Hospital(1)).await;
    house.approve(case, 3).await;
    let opened = house.read(case, None, WITHIN).await.expect("opened");
    assert_eq!(opened.forged, kin(&house, &[1]));
    assert_eq!(opened.good, kin(&house, &[0, 2, 3]));
    assert!(opened.unopened.is_empty());
    house.close().await;
}

#[actix::test]
async fn below_the_threshold_it_stays_shut() {
    let house = house().await;
    house.write(demo_bundle(), 10_000).await.expect("written");
    let case = house.request(&[Tier::Summary]).await.case;
    house.approve(case, 0).await;
    house.approve(case, 1).await;
    let shut = HospitalError::NotOpened {
        good: 0,
        needed: 3,
        phase: "requested".to_owned(),
        forged: Vec::new(),
    };
    let answer = house.read(case, None, 500).await;
    assert_eq!(answer.expect_err("two are too few"), shut);
    // Granted, but one of three keeps its partial opening back.
    house.conduct(2, Conduct::Withhold).await;
    house.approve(case, 2).await;
    let answer = house.read(case, None, 2_000).await;
    let shut = answer.expect_err("two are too few");
    let HospitalError::NotOpened { good, needed, .. } = shut else {
        panic!("{shut}");
    };
    assert_eq!((good, needed), (2, 3));
    assert_eq!(house.case(case).await.records_read(), 0);
    house.close().await;
}

#[actix::test]
async fn a_restart_between_request_and_read_loses_nothing() {
    let mut house = house().await;
    house.write(demo_bundle(), 10_000).await.expect("written");
    let case = house.request(&[Tier::Summary]).await.case;
    house.panic(ActorName::Hospital(1)).await;
    for n in 0..3 {
        house.approve(case, n).await;
    }
    let mut released = BTreeSet::new();
    while released.len() < 3 {
        let event = house
            .until(|event| {
                let What::Case { step, .. } = &event.what else {
                    return false;
                };
                matches!(step, CaseEvent::Released(..))
            })
            .await;
        if let What::Case {
            step: CaseEvent::Released(kin, _),
            ..
        } = event.what
        {
            released.insert(kin);
        }
    }
    // Again, with or without the deliveries: the kin send what was not acknowledged.
    house.panic(ActorName::Hospital(1)).await;
    let opened = house.read(case, None, WITHIN).await.expect("opened");
    assert_eq!(opened.records.len(), 1);
    house.close().await;
}

/// As long as the ledger does not confirm the read, nothing leaves.
#[actix::test]
async fn without_the_read_on_chain_nothing_leaves() {
    let house = house().await;
    house.write(demo_bundle(), 10_000).await.expect("written");
    let case = house.request(&[Tier::Summary]).await.case;
    let (hospital, validator) = (ActorName::Hospital(1), ActorName::Validator(0));
    let network = house.cluster.network().clone();
    let seen = Arc::new(tokio::sync::Notify::new());
    let (tell, first) = (Arc::clone(&seen), AtomicBool::new(true));
    house.cluster.network().tap(move |event| {
        if let Some(Submit(transaction)) = event.content.downcast_ref()
            && let TxBody::Read { .. } = transaction.content.body
            && first.swap(false, Ordering::SeqCst)
        {
            network.set_link_both(hospital, validator, LinkRule::severed());
            tell.notify_one();
        }
    });
    let mut reading = Box::pin(house.read(case, None, WITHIN));
    let cut_off = async {
        for n in 0..3 {
            house.approve(case, n).await;
        }
        seen.notified().await;
    };
    tokio::select! {
        opened = &mut reading => panic!("too early: {opened:?}"),
        () = cut_off => {}
    }
    let early = tokio::time::timeout(Duration::from_secs(3), &mut reading).await;
    assert!(early.is_err(), "{early:?}");
    house.cluster.network().clear_links();
    let opened = (&mut reading).await.expect("the ledger is back");
    drop(reading);
    assert_eq!(opened.records.len(), 1);
    assert!(house.case(case).await.records_read() >= 1);
    house.close().await;
}
