//! Validators and leaders as actors: real mailboxes, a real store, no other roles.

mod ahead;
mod damage;
mod memory;
mod sync;

use super::*;
use crate::clients::{ClientError, LedgerClient};
use crate::leader::Leader;
use crate::observe::{Observer, Sight};
use crate::ports::clock::{Clock as _, SystemClock};
use crate::ports::names::ActorName;
use crate::ports::network::{LinkRule, Network};
use crate::ports::random::SystemRng;
use crate::ports::store::{Store, StoreOptions};
use crate::supervisor::{
    Fault, Hold, Inject, Release, Spec, StartError, StartMany, Supervisor, SupervisorConfig,
    WhenRunning,
};
use crate::validator::Memory;
use crate::validator::messages::{Answer, Look, Prove, Submit};
use actix::Addr;
use kithkin_protocol::consensus::{Algorithm, Identity, Timing};
use kithkin_protocol::crypto::vrf::VrfSecretKey;
use kithkin_protocol::crypto::{OpeningKey, SigningKey};
use kithkin_protocol::ids::{CaseId, ValidatorId};
use kithkin_protocol::ledger::{
    AdmissionError, Genesis, HospitalInfo, Profile, State, TxBody, ValidatorInfo, Workload,
};
use kithkin_protocol::units::{Height, Millis};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const WITHIN: Duration = Duration::from_secs(30);

/// Validators with their leaders, and one hospital's key to sign transactions with.
struct House {
    genesis: Arc<Genesis>,
    network: Network,
    supervisor: Addr<Supervisor>,
    client: LedgerClient,
    sights: mpsc::UnboundedReceiver<Sight>,
    store: Store,
    /// How far validators trust their records at the next start; others do altogether.
    memories: Arc<Mutex<BTreeMap<ActorName, Memory>>>,
    _folder: tempfile::TempDir,
}

/// What differs between houses.
#[derive(Clone, Copy)]
struct Plan {
    validators: u16,
    hospitals: u16,
    workload: Workload,
    snapshots: SnapshotPolicy,
}

impl House {
    async fn open(validators: u16) -> Self {
        Self::with(Plan {
            validators,
            hospitals: 1,
            workload: Workload::Records,
            snapshots: SnapshotPolicy::default(),
        })
        .await
    }

    async fn with(plan: Plan) -> Self {
        let validators = plan.validators;
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), StoreOptions::default()).expect("a store");
        let identities: Vec<Arc<Identity>> = (0..validators)
            .map(|n| {
                Arc::new(Identity {
                    id: ValidatorId(n),
                    vote_key: SigningKey::random(&mut SystemRng),
                    vrf_key: VrfSecretKey::random(&mut SystemRng),
                })
            })
            .collect();
        let hospital = Arc::new(SigningKey::random(&mut SystemRng));
        let genesis = Arc::new(Genesis {
            time_ms: SystemClock.now(),
            profile: Profile::Balanced,
            workload: plan.workload,
            validators: identities
                .iter()
                .map(|identity| ValidatorInfo {
                    id: identity.id,
                    vote_key: identity.vote_key.verifying_key(),
                    vrf_key: identity.vrf_key.public_key(),
                    network_key: SigningKey::random(&mut SystemRng).verifying_key(),
                    hospital: None,
                })
                .collect(),
            hospitals: (0..plan.hospitals)
                .map(|n| HospitalInfo {
                    key: match n {
                        0 => hospital.verifying_key(),
                        _ => SigningKey::random(&mut SystemRng).verifying_key(),
                    },
                    sealing: OpeningKey::random(&mut SystemRng).sealing_key(),
                    name: format!("hospital-{n}"),
                })
                .collect(),
            reviewers: Vec::new(),
            review_within_ms: Millis(1_000),
        });
        let network = Network::new(1);
        let supervisor =
            Supervisor::launch(SupervisorConfig::default(), network.clone()).expect("a supervisor");
        let (see, sights) = mpsc::unbounded_channel();
        let observer = Observer::new(move |sight| drop(see.send(sight)));
        let memories: Arc<Mutex<BTreeMap<ActorName, Memory>>> = Arc::default();
        let mut specs = Vec::new();
        for identity in identities {
            let name = ActorName::Validator(identity.id.0);
            specs.push(Spec::new(ActorName::Leader(identity.id.0), move |birth| {
                let port = birth.port();
                Ok(birth.start(|_| Leader::new(name, port)))
            }));
            let (store, genesis, observer) = (store.clone(), genesis.clone(), observer.clone());
            let memories = memories.clone();
            specs.push(Spec::new(name, move |birth| {
                let memories = memories.lock().expect("not poisoned");
                let config = ValidatorConfig {
                    identity: identity.clone(),
                    successor: None,
                    genesis: genesis.clone(),
                    timing: Timing::default(),
                    algorithm: Algorithm::default(),
                    memory: memories.get(&name).copied().unwrap_or_default(),
                    snapshots: plan.snapshots,
                    clock: Arc::new(SystemClock),
                    observer: observer.clone(),
                };
                let space = store.space(&name.to_string()).map_err(StartError::new)?;
                let validator =
                    Validator::open(config, birth.port(), space).map_err(StartError::new)?;
                Ok(birth.start(|_| validator))
            }));
        }
        supervisor
            .send(StartMany { specs })
            .await
            .expect("a supervisor")
            .expect("fresh names");
        supervisor
            .send(WhenRunning { names: Vec::new() })
            .await
            .expect("a supervisor")
            .expect("all run");
        let port = network.port(ActorName::Hospital(0));
        let client = LedgerClient::new(&genesis, port, hospital, Arc::new(SystemClock));
        Self {
            genesis,
            network,
            supervisor,
            client,
            sights,
            store,
            memories,
            _folder: folder,
        }
    }

    /// Submits something well-formed that the ledger refuses: it becomes final all the same.
    async fn submit(&self, n: u8) -> Result<(), ClientError> {
        let body = TxBody::Close {
            case: CaseId([n; 32]),
        };
        match self.client.submit(body, Instant::now() + WITHIN).await {
            Err(ClientError::Rejected { reason }) => {
                assert!(reason.contains("does not exist"), "{reason}");
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => panic!("there is no such case"),
        }
    }

    async fn hold(&self, name: ActorName) {
        let held = self.supervisor.send(Hold { name }).await;
        held.expect("a supervisor").expect("it runs");
    }

    async fn release(&self, name: ActorName) {
        let released = self.supervisor.send(Release { name }).await;
        released.expect("a supervisor").expect("it is held");
    }

    async fn height(&self) -> Height {
        match self.client.look(Look::Head, Instant::now() + WITHIN).await {
            Ok(Answer::Head(height, _)) => height,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until every one of `validators` has made a block of at least `height` durable.
    async fn all_at(&mut self, validators: &[u16], height: Height) {
        let mut heights: BTreeMap<ValidatorId, Height> = BTreeMap::new();
        let reached = async {
            while let Some(sight) = self.sights.recv().await {
                if let Sight::Block(seen, _) = sight {
                    heights.insert(seen.validator, seen.height);
                }
                let there = |n: &u16| heights.get(&ValidatorId(*n)).is_some_and(|h| *h >= height);
                if validators.iter().all(there) {
                    return;
                }
            }
        };
        tokio::time::timeout(WITHIN, reached)
            .await
            .expect("in time");
    }
}

#[actix::test]
async fn one_two_and_three_validators_agree() {
    for validators in [1, 2, 3] {
        let house = House::open(validators).await;
        for n in 0..3 {
            house.submit(n).await.expect("final");
        }
        assert!(house.height().await >= Height(3));
    }
}

#[actix::test]
async fn a_final_transaction_comes_with_a_proof_and_the_state_too() {
    let house = House::open(4).await;
    house.submit(1).await.expect("final");
    let key = State::patient_key(kithkin_protocol::ids::PatientId([1; 32]));
    let (value, head) = house
        .client
        .prove(key, Instant::now() + WITHIN)
        .await
        .expect("provable");
    assert_eq!(value, None, "nobody is enrolled");
    assert!(head.height >= Height(1));
}

#[actix::test]
async fn a_crashed_validator_comes_back_where_it_was_and_catches_up() {
    let mut house = House::open(4).await;
    house.submit(1).await.expect("final");
    let name = ActorName::Validator(2);
    house
        .supervisor
        .send(Hold { name })
        .await
        .expect("a supervisor")
        .expect("it runs");
    for n in 2..6 {
        house.submit(n).await.expect("three of four suffice");
    }
    let height = house.height().await;
    house
        .supervisor
        .send(Release { name })
        .await
        .expect("a supervisor")
        .expect("it is held");
    house.submit(7).await.expect("final");
    house.all_at(&[0, 1, 2, 3], height).await;
}

#[actix::test]
async fn panics_of_validators_and_leaders_lose_nothing() {
    let house = House::open(4).await;
    for n in 0..4u8 {
        house.submit(n).await.expect("final");
        for name in [
            ActorName::Validator(u16::from(n)),
            ActorName::Leader(u16::from(n)),
        ] {
            let fault = Fault::Panic;
            let inject = Inject { name, fault };
            house
                .supervisor
                .send(inject)
                .await
                .expect("a supervisor")
                .expect("it runs");
        }
    }
    house.submit(9).await.expect("final");
    assert!(house.height().await >= Height(5));
}

#[actix::test]
async fn without_a_quorum_nothing_becomes_final_and_with_one_again_it_does() {
    let house = House::open(4).await;
    house.submit(1).await.expect("final");
    for n in [0, 1] {
        let cut = LinkRule {
            cut: true,
            ..LinkRule::default()
        };
        house.network.set_node(ActorName::Validator(n), cut);
    }
    let body = TxBody::Close {
        case: CaseId([2; 32]),
    };
    let soon = Instant::now() + Duration::from_secs(2);
    let refused = house.client.submit(body, soon).await;
    assert!(matches!(refused, Err(ClientError::NotFinal { .. })));
    house.network.clear_links();
    house.submit(3).await.expect("final");
}

#[actix::test]
async fn strangers_are_not_admitted_and_only_validators_speak_consensus() {
    let house = House::open(1).await;
    let stranger = Arc::new(SigningKey::random(&mut SystemRng));
    let port = house.network.port(ActorName::Driver);
    let foreign = LedgerClient::new(
        &house.genesis,
        port.clone(),
        stranger,
        Arc::new(SystemClock),
    );
    let body = TxBody::Close {
        case: CaseId([1; 32]),
    };
    let soon = Instant::now() + Duration::from_millis(500);
    match foreign.submit(body, soon).await {
        Err(ClientError::NotFinal { last }) => assert!(last.contains("not known"), "{last}"),
        other => panic!("{other:?}"),
    }
    let before = house.height().await;
    let message = kithkin_protocol::consensus::Message::GetCommitted {
        from: Height(1),
        count: 1,
    };
    // Answered to nobody: the driver is no validator. The next question shows that it was handled.
    port.tell::<Validator, _>(ActorName::Validator(0), messages::Consensus(message));
    assert_eq!(house.height().await, before);
}

#[actix::test]
async fn a_validator_answers_each_question() {
    let house = House::open(1).await;
    house.submit(1).await.expect("final");
    let port = house.network.port(ActorName::Driver);
    let to = ActorName::Validator(0);
    let proved = port
        .ask::<Validator, _>(to, Prove(vec![255, 1]), WITHIN)
        .await
        .expect("asked")
        .expect("answered");
    assert_eq!(proved.proof.value, None);
    assert!(proved.proof.verify(&proved.statement.state_root).is_ok());
    let account = house.client.account();
    let answer = house
        .client
        .look(Look::Sequences(account), Instant::now() + WITHIN)
        .await;
    match answer {
        Ok(Answer::Sequences(window)) => assert_eq!(window.lowest().0, 1),
        other => panic!("{other:?}"),
    }
}

/// The same bytes again, once they are final: refused at the door.
#[actix::test]
async fn a_replayed_transaction_is_refused() {
    let house = House::open(1).await;
    let submitted: Arc<Mutex<Option<Submit>>> = Arc::default();
    let keep = submitted.clone();
    house.network.tap(move |event| {
        if let Some(submit) = event.content.downcast_ref::<Submit>() {
            *keep.lock().expect("not poisoned") = Some(submit.clone());
        }
    });
    house.submit(1).await.expect("final");
    let submit = submitted
        .lock()
        .expect("not poisoned")
        .clone()
        .expect("one went by");
    let port = house.network.port(ActorName::Driver);
    let again = port
        .ask::<Validator, _>(ActorName::Validator(0), submit, WITHIN)
        .await
        .expect("asked");
    assert!(
        matches!(again, Err(AdmissionError::Envelope(_))),
        "{again:?}"
    );
}
