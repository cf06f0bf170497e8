//! The hospital in a whole cluster: every actor is the real one.
//!
//! The patient's device is played by the tests, so that they hold the tier keys.

mod accreditation;
mod archive;
mod erasing;
mod opening;
mod refusals;
mod writing;

use crate::clients::LedgerClient;
use crate::cluster::{Cluster, ClusterConfig, QUOTA_BYTES, Shape};
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{
    Conduct, Decide, Decided, Decision, OfferShares, StoreShards,
};
use crate::hospital::Hospital;
use crate::hospital::messages::{
    HospitalError, Opened, ReadCase, RequestOpening, Requested, Sponsor, WriteRecord, Written,
};
use crate::identity::Identity;
use crate::observe::{Observer, Sight};
use crate::ports::names::ActorName;
use crate::ports::network::{AskError, Delivered, Port};
use crate::ports::objects::Objects;
use crate::ports::random::SystemRng;
use crate::ports::vault::{KeySpace, Vault};
use crate::supervisor::{Fault, Hold, Inject, Release, WhenRunning};
use crate::upload::OpenedRecord;
use actix::{Handler, Message};
use kithkin_protocol::crypto::Signature;
use kithkin_protocol::emergency::{Case, Escalation, Purpose, Reason, TierPolicy};
use kithkin_protocol::ids::{CaseId, PatientId};
use kithkin_protocol::ledger::{Enrolment, Event, TierShares, TxBody};
use kithkin_protocol::record::Quota;
use kithkin_protocol::roster::RosterRules;
use kithkin_protocol::sharing::{ShareContext, Threshold, TierKey, deal, seal_share};
use kithkin_protocol::units::{Millis, ShareIndex, Tier};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with one enrolled patient, `patient-0`, and what its device holds.
struct House {
    cluster: Cluster,
    /// What one validator saw happen, in order.
    events: mpsc::UnboundedReceiver<Event>,
    tier_keys: BTreeMap<Tier, TierKey>,
    data: TempDir,
}

/// One validator, two hospitals, two patients (one of them enrolled) with five kin each.
async fn house() -> House {
    house_of(1).await
}

async fn house_of(validators: u16) -> House {
    house_with(validators, QUOTA_BYTES, None).await
}

/// With kin that keep so many bytes for each patient, and the hospitals' ciphertexts in `archive`.
async fn house_with(validators: u16, bytes_max: u64, archive: Option<Objects>) -> House {
    let data = tempfile::tempdir().expect("a folder");
    let shape = Shape {
        validators,
        hospitals: 2,
        patients: 2,
        relatives: 5,
        ..Shape::default()
    };
    let (saw, events) = mpsc::unbounded_channel();
    let mut config = ClusterConfig::new(data.path().to_owned(), shape);
    config.quota = Quota { bytes_max };
    config.archive = archive;
    config.observer = Observer::new(move |sight| {
        if let Sight::Block(seen, events) = sight
            && seen.validator.0 == 0
        {
            for event in events.iter() {
                // Nobody listens at the end of a test.
                let _ = saw.send(event.clone());
            }
        }
    });
    let cluster = Cluster::launch(config).await.expect("it starts");
    let mut house = House {
        cluster,
        events,
        tier_keys: BTreeMap::new(),
        data,
    };
    house.enrol().await;
    house
}

impl House {
    fn keys_of(&self, name: ActorName) -> KeySpace {
        let vault = Vault::open(&self.data.path().join("keys")).expect("the vault opens");
        vault.keys_of(&name.to_string())
    }

    fn patient(&self) -> PatientId {
        self.cluster.patient(0).expect("it has one")
    }

    fn deadline() -> Instant {
        Instant::now() + PATIENCE
    }

    /// Plays the patient's device: deals, collects acceptances and the sponsor's signature, enrols.
    async fn enrol(&mut self) {
        let me = ActorName::Patient(0);
        let identity = Identity::load_or_create(&self.keys_of(me)).expect("keys");
        let (port, patient) = (self.cluster.network().port(me), self.patient());
        let roster = self.cluster.roster(0);
        let threshold = Threshold::majority(roster.len()).expect("enough kin");
        let (mut tiers, mut shares) = (Vec::new(), vec![Vec::new(); roster.len()]);
        for tier in Tier::ALL {
            let key = TierKey::random(&mut SystemRng);
            let (commitments, dealt) = deal(&key, threshold, &mut SystemRng).expect("dealt");
            let context = ShareContext {
                patient,
                tier,
                epoch: Enrolment::EPOCH,
            };
            for ((share, kin), of_kin) in dealt.iter().zip(&roster).zip(&mut shares) {
                let sealed = seal_share(share, &context, &kin.sealing, &mut SystemRng);
                of_kin.push((tier, sealed.expect("sealed")));
            }
            let policy = TierPolicy {
                openable: true,
                ..TierPolicy::default_for(tier)
            };
            tiers.push(TierShares {
                tier,
                commitments,
                policy,
            });
            self.tier_keys.insert(tier, key);
        }
        let mut enrolment = Enrolment {
            sealing: identity.opening.sealing_key(),
            roster,
            tiers,
            rules: RosterRules::default(),
            escalation: Escalation::default(),
            second: None,
            sponsor: self.cluster.hospital(0).expect("it has one"),
            sponsor_signature: Signature([0; 64]),
            acceptances: Vec::new(),
        };
        for (position, shares) in shares.into_iter().enumerate() {
            let offer = OfferShares {
                patient,
                enrolment: Arc::new(enrolment.clone()),
                index: ShareIndex::from_position(position).expect("few"),
                shares,
            };
            let name = ActorName::Kin(0, u8::try_from(position).expect("few"));
            let asked = port.ask::<FriendRelative, _>(name, offer, PATIENCE).await;
            let acceptance = asked.expect("it answers").expect("it accepts");
            enrolment.acceptances.push(acceptance);
        }
        let sponsor = Sponsor {
            patient,
            enrolment: Arc::new(enrolment.clone()),
        };
        let asked = port.ask::<Hospital, _>(ActorName::Hospital(0), sponsor, PATIENCE);
        enrolment.sponsor_signature = asked.await.expect("it answers").expect("it vouches");
        let setting = self.cluster.setting();
        let clock = setting.clock.clone();
        let client = LedgerClient::new(&setting.genesis, port, identity.signing, clock);
        let body = TxBody::Enrol(Box::new(enrolment));
        client
            .submit(body, Self::deadline())
            .await
            .expect("it stands");
    }

    /// Asks a hospital in the name of `from`; again while it restarts.
    async fn ask_as<M>(&self, from: Port, hospital: u16, message: M) -> M::Result
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        Hospital: Handler<Delivered<M>>,
    {
        let name = ActorName::Hospital(hospital);
        let asked = from.ask_until::<Hospital, _>(name, message, PATIENCE, Self::deadline());
        asked.await.expect("it answers")
    }

    async fn ask<M>(&self, hospital: u16, message: M) -> M::Result
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        Hospital: Handler<Delivered<M>>,
    {
        self.ask_as(self.cluster.driver(), hospital, message).await
    }

    async fn write(&self, bundle: &[u8], patience_ms: u64) -> Result<Written, HospitalError> {
        let message = WriteRecord {
            patient: self.patient(),
            bundle: Arc::new(bundle.to_vec()),
            patience_ms: Millis(patience_ms),
        };
        self.ask(0, message).await
    }

    /// Is told of shards that leave for a kin from now on.
    fn spreading(&self) -> Arc<Notify> {
        let spreading = Arc::new(Notify::new());
        let tell = Arc::clone(&spreading);
        self.cluster.network().tap(move |event| {
            if event.content.is::<StoreShards>() {
                tell.notify_one();
            }
        });
        spreading
    }

    /// Hospital 1 asks to open these tiers.
    async fn request(&self, tiers: &[Tier]) -> Requested {
        let message = RequestOpening {
            patient: self.patient(),
            tiers: tiers.to_vec(),
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            encounter: "A-2026-17".to_owned(),
            expires_in_ms: Millis(600_000),
            session_ms: Millis(600_000),
            credential: None,
            after: None,
        };
        self.ask(1, message).await.expect("it stands")
    }

    async fn read(
        &self,
        case: CaseId,
        tier: Option<Tier>,
        within_ms: u64,
    ) -> Result<Opened, HospitalError> {
        let within_ms = Millis(within_ms);
        let message = ReadCase {
            case,
            tier,
            within_ms,
        };
        self.ask(1, message).await
    }

    async fn ask_kin<M>(&self, n: u8, message: M) -> Result<M::Result, AskError>
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        FriendRelative: Handler<Delivered<M>>,
    {
        let port = self.cluster.driver();
        let name = ActorName::Kin(0, n);
        port.ask_until::<FriendRelative, _>(name, message, PATIENCE, Self::deadline())
            .await
    }

    async fn approve(&self, case: CaseId, n: u8) -> Decided {
        let decide = Decide {
            case,
            decision: Decision::Approve,
        };
        let decided = self.ask_kin(n, decide).await;
        decided.expect("it answers").expect("it approves")
    }

    async fn conduct(&self, n: u8, conduct: Conduct) {
        self.ask_kin(n, conduct).await.expect("it listens");
    }

    /// Stops a kin until [`House::bring_back`].
    async fn send_away(&self, n: u8) {
        let name = ActorName::Kin(0, n);
        let held = self.cluster.supervisor().send(Hold { name }).await;
        held.expect("it listens").expect("it is held");
    }

    async fn bring_back(&self, n: u8) {
        let name = ActorName::Kin(0, n);
        let released = self.cluster.supervisor().send(Release { name }).await;
        released.expect("it listens").expect("it is released");
    }

    async fn panic(&self, name: ActorName) {
        let fault = Fault::Panic;
        // It may still be on its way back from the last one.
        let names = vec![name];
        let runs = self.cluster.supervisor().send(WhenRunning { names }).await;
        runs.expect("it listens").expect("it runs");
        let injected = self.cluster.supervisor().send(Inject { name, fault }).await;
        injected.expect("it listens").expect("it suffers");
    }

    /// Waits until an event happens that is wanted.
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let seen = async {
            loop {
                let event = self.events.recv().await.expect("the validator runs");
                if wanted(&event) {
                    return event;
                }
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        seen.expect("it happens in time")
    }

    async fn case(&self, case: CaseId) -> Case {
        let client = self.cluster.client();
        let proved = client.prove_case(case, Self::deadline()).await;
        proved.expect("proved").expect("there")
    }

    async fn close(self) {
        self.cluster.shutdown().await;
    }
}

/// The file of which these are the opened chart and sensitive records.
fn join<'a>(records: impl IntoIterator<Item = &'a OpenedRecord>) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = records
        .into_iter()
        .filter(|record| record.tier != Tier::Summary)
        .map(|record| record.bytes.clone())
        .collect();
    kithkin_fhir::cut::join(&parts).expect("the parts fit")
}
