//! A whole cluster for tests of single roles, in which a test can also play any actor by its name and keys.
//!
//! Everything is real: validators, store, vault, supervisor. What a test plays it
//! plays through the same network and the same ledger client.

use crate::clients::LedgerClient;
use crate::cluster::{Cluster, ClusterConfig, QUOTA_BYTES, Shape};
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{
    AboutRoster, Held, Inventory, KinError, RosterWish, StoreShards,
};
use crate::hospital::Hospital;
use crate::hospital::messages::DeliverPartials;
use crate::identity::Identity;
use crate::patient::Patient;
use crate::patient::messages::{Enrol, Enrolled, PatientError, ShowKeys};
use crate::ports::names::ActorName;
use crate::ports::network::{Delivered, Port};
use crate::ports::random::SystemRng;
use crate::ports::vault::{KeySpace, Vault};
use crate::scope::prove_at;
use crate::supervisor::{
    EventKind, Fault, Hold, Inject, Release, SupervisorEvent, Watch, WhenRunning,
};
use crate::upload::{Upload, shard_threshold};
use crate::validator::messages::{Answer, Look};
use actix::{Handler, Message};
use kithkin_protocol::crypto::{Digest, OpeningKey, Signature, SigningKey, hash};
use kithkin_protocol::emergency::{
    Case, Circle, ClinicalRole, Credential, Escalation, Purpose, Reason, Request, Scope, TierPolicy,
};
use kithkin_protocol::ids::{CaseId, ChainId, HospitalId, KinId, PatientId, RecordId};
use kithkin_protocol::ledger::{self, Enrolment, State, TxBody};
use kithkin_protocol::record::{
    BatchHeader, BatchStatus, Manifest, Quota, Receipt, ReceiptLine, SealContext, Shard,
    receipts_root, seal, shards,
};
use kithkin_protocol::roster::{Plan, RosterRules};
use kithkin_protocol::sharing::SessionSecret;
use kithkin_protocol::units::{Height, Millis, Tier};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{broadcast, watch};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The patient and the hospital that most tests are about. The test plays the hospital.
pub(crate) const PATIENT: ActorName = ActorName::Patient(0);
pub(crate) const AUTHOR: ActorName = ActorName::Hospital(1);
/// A hospital that nobody plays: it sponsors.
pub(crate) const SPONSOR: ActorName = ActorName::Hospital(0);

/// A device that is nobody yet.
pub(crate) const NEW: ActorName = ActorName::Patient(1);

/// The kin of [`PATIENT`] with that number.
pub(crate) fn kin(n: u8) -> ActorName {
    ActorName::Kin(0, n)
}

/// A running cluster.
pub(crate) struct House {
    pub(crate) cluster: Cluster,
    vault: Vault,
    /// What was sent to deliver partial openings, whether or not it arrived.
    delivered: watch::Receiver<Vec<(ActorName, DeliverPartials)>>,
    /// How often each actor has looked at the ledger.
    looks: watch::Receiver<BTreeMap<ActorName, usize>>,
    clients: Mutex<Vec<(ActorName, LedgerClient)>>,
    /// Height of the last batch.
    anchored: AtomicU64,
    folder: TempDir,
}

impl House {
    /// One patient with five kin, a second patient, two hospitals; nobody is enrolled.
    pub(crate) async fn open(validators: u16) -> Self {
        Self::open_with(validators, 5).await
    }

    /// With [`PATIENT`] enrolled, and kin that keep so many bytes for each patient.
    pub(crate) async fn with_quota(validators: u16, bytes_max: u64) -> Self {
        let house = Self::open_as(validators, 5, bytes_max).await;
        house.enrol().await.expect("enrolled");
        house
    }

    /// The same, with so many kin of each patient.
    pub(crate) async fn open_with(validators: u16, relatives: u8) -> Self {
        Self::open_as(validators, relatives, QUOTA_BYTES).await
    }

    async fn open_as(validators: u16, relatives: u8, bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shape = Shape {
            validators,
            hospitals: 2,
            patients: 2,
            relatives,
            ..Shape::default()
        };
        let mut config = ClusterConfig::new(folder.path().to_owned(), shape);
        config.quota = Quota { bytes_max };
        let cluster = Cluster::launch(config).await.expect("it starts");
        let (deliveries, delivered) = watch::channel(Vec::new());
        let (look, looks) = watch::channel(BTreeMap::new());
        cluster.network().tap(move |event| {
            if event.content.is::<Look>() {
                look.send_modify(|looks| *looks.entry(event.from).or_default() += 1);
            }
            if let Some(content) = event.content.downcast_ref::<DeliverPartials>() {
                deliveries.send_modify(|all| all.push((event.from, content.clone())));
            }
        });
        Self {
            vault: Vault::open(&folder.path().join("keys")).expect("the vault opens"),
            cluster,
            delivered,
            looks,
            clients: Mutex::default(),
            anchored: AtomicU64::new(0),
            folder,
        }
    }

    /// The same, with [`PATIENT`] enrolled.
    pub(crate) async fn enrolled(validators: u16) -> Self {
        let house = Self::open(validators).await;
        house.enrol().await.expect("enrolled");
        house
    }

    /// Enrols [`PATIENT`] with all kin, the sensitive tier openable too.
    pub(crate) async fn enrol(&self) -> Result<Enrolled, PatientError> {
        self.ask_patient(self.wish()).await
    }

    /// What [`Self::enrol`] asks for.
    pub(crate) fn wish(&self) -> Enrol {
        let policy = TierPolicy {
            openable: true,
            ..TierPolicy::default_for(Tier::Sensitive)
        };
        Enrol {
            roster: self.cluster.roster(0),
            sponsor: self.hospital(SPONSOR),
            threshold: None,
            policies: vec![(Tier::Sensitive, policy)],
            rules: RosterRules::default(),
            escalation: Escalation::default(),
            second: None,
        }
    }

    pub(crate) fn deadline() -> Instant {
        Instant::now() + PATIENCE
    }

    /// The cluster's data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the cluster; what it leaves on the disk.
    pub(crate) async fn close(self) -> TempDir {
        let Self {
            cluster, folder, ..
        } = self;
        let report = cluster.shutdown().await;
        assert!(report.abandoned.is_empty(), "{report:?}");
        folder
    }

    pub(crate) fn keys_of(&self, name: ActorName) -> KeySpace {
        self.vault.keys_of(&name.to_string())
    }

    pub(crate) fn identity(&self, name: ActorName) -> Identity {
        Identity::load_or_create(&self.keys_of(name)).expect("keys")
    }

    /// Speaks as `name`.
    pub(crate) fn port(&self, name: ActorName) -> Port {
        self.cluster.network().port(name)
    }

    /// Signs as `name`. One for each, so that sequence numbers are given out once.
    pub(crate) fn client(&self, name: ActorName) -> LedgerClient {
        let mut clients = self.clients.lock().expect("not poisoned");
        if let Some((_, client)) = clients.iter().find(|(of, _)| *of == name) {
            return client.clone();
        }
        let setting = self.cluster.setting();
        let (key, clock) = (self.identity(name).signing, setting.clock.clone());
        let client = LedgerClient::new(&setting.genesis, self.port(name), key, clock);
        clients.push((name, client.clone()));
        client
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.cluster.setting().genesis.chain_id()
    }

    pub(crate) fn now(&self) -> Millis {
        self.cluster.setting().clock.now()
    }

    pub(crate) fn patient(&self) -> PatientId {
        self.cluster.patient(0).expect("it has one")
    }

    pub(crate) fn hospital(&self, name: ActorName) -> HospitalId {
        self.identity(name).account().into()
    }

    pub(crate) fn kin(&self, n: u8) -> KinId {
        self.identity(kin(n)).account().into()
    }

    /// Asks a kin in the name of `from`; again while it restarts.
    pub(crate) async fn ask_kin_as<M>(&self, from: ActorName, n: u8, message: M) -> M::Result
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        FriendRelative: Handler<Delivered<M>>,
    {
        let port = self.port(from);
        let asked =
            port.ask_until::<FriendRelative, _>(kin(n), message, PATIENCE, Self::deadline());
        asked.await.expect("it answers")
    }

    /// Asks a kin from in front of its screen.
    pub(crate) async fn ask_kin<M>(&self, n: u8, message: M) -> M::Result
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        FriendRelative: Handler<Delivered<M>>,
    {
        self.ask_kin_as(ActorName::Driver, n, message).await
    }

    /// Asks [`PATIENT`]'s device from in front of its screen.
    pub(crate) async fn ask_patient<M>(&self, message: M) -> M::Result
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        Patient: Handler<Delivered<M>>,
    {
        let port = self.cluster.driver();
        let asked = port.ask_until::<Patient, _>(PATIENT, message, PATIENCE, Self::deadline());
        asked.await.expect("it answers")
    }

    /// Asks patient 1, who in this house is a device that is nobody yet.
    pub(crate) async fn ask_new_device<M>(&self, message: M) -> M::Result
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        Patient: Handler<Delivered<M>>,
    {
        let port = self.cluster.driver();
        let asked = port.ask_until::<Patient, _>(NEW, message, PATIENCE, Self::deadline());
        asked.await.expect("it answers")
    }

    /// Three kin vouch for [`NEW`] as the patient's device.
    pub(crate) async fn vouch_for_new_device(&self) {
        let keys = self.ask_new_device(ShowKeys).await.expect("shown");
        let plan = Plan::Recover {
            device: keys.signing,
            sealing: keys.sealing,
        };
        let mut wish = RosterWish::Propose(Box::new(plan));
        for n in 0..3 {
            let patient = self.patient();
            let about = AboutRoster { patient, wish };
            self.ask_kin(n, about).await.expect("final");
            wish = RosterWish::Support;
        }
    }

    /// Waits until the patient stands on chain as expected. Each try is a block: time moves with blocks.
    pub(crate) async fn until_on_chain(
        &self,
        is: impl Fn(&ledger::Patient) -> bool,
    ) -> ledger::Patient {
        let until = Self::deadline();
        loop {
            let entry = self.on_chain().await.expect("enrolled");
            if is(&entry) {
                return entry;
            }
            assert!(Instant::now() < until, "still {entry:?}");
            self.pass_a_block().await;
        }
    }

    /// Waits for one more block, by submitting something that is refused.
    pub(crate) async fn pass_a_block(&self) {
        let case = CaseId([9; 32]);
        let client = self.client(AUTHOR);
        let refused = client.submit(TxBody::Close { case }, Self::deadline());
        refused.await.expect_err("there is no such case");
    }

    /// Asks a hospital from in front of its screen.
    pub(crate) async fn ask_hospital<M>(&self, name: ActorName, message: M) -> M::Result
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        Hospital: Handler<Delivered<M>>,
    {
        let port = self.cluster.driver();
        let asked = port.ask_until::<Hospital, _>(name, message, PATIENCE, Self::deadline());
        asked.await.expect("it answers")
    }

    pub(crate) async fn held(&self, n: u8) -> Held {
        self.ask_kin(n, Inventory).await.expect("it can count")
    }

    /// Stops an actor until [`Self::release`].
    pub(crate) async fn hold(&self, name: ActorName) {
        let held = self.cluster.supervisor().send(Hold { name }).await;
        held.expect("a supervisor").expect("it runs");
    }

    pub(crate) async fn release(&self, name: ActorName) {
        let released = self.cluster.supervisor().send(Release { name }).await;
        released.expect("a supervisor").expect("it was held");
        self.running(name).await;
    }

    pub(crate) async fn running(&self, name: ActorName) {
        let names = vec![name];
        let wait = self.cluster.supervisor().send(WhenRunning { names });
        let running = tokio::time::timeout(PATIENCE, wait).await;
        let running = running.expect("in time").expect("a supervisor");
        running.expect("it runs");
    }

    /// Makes an actor panic and waits until its successor runs.
    pub(crate) async fn crash(&self, name: ActorName) {
        let supervisor = self.cluster.supervisor();
        let mut events: broadcast::Receiver<SupervisorEvent> =
            supervisor.send(Watch).await.expect("a supervisor");
        let fault = Fault::Panic;
        let injected = supervisor.send(Inject { name, fault }).await;
        injected.expect("a supervisor").expect("it runs");
        let restarted = async {
            loop {
                let event = events.recv().await.expect("events");
                let again = matches!(event.kind, EventKind::Restarted { .. });
                if event.name == name && again {
                    return;
                }
            }
        };
        let restarted = tokio::time::timeout(PATIENCE, restarted).await;
        restarted.expect("in time");
    }

    /// Every sending of partial openings so far, also of what was lost on the way.
    pub(crate) fn sent(&self) -> Vec<(ActorName, DeliverPartials)> {
        self.delivered.borrow().clone()
    }

    /// Waits until so many partial openings were sent.
    pub(crate) async fn until_sent(&self, count: usize) -> Vec<(ActorName, DeliverPartials)> {
        self.until_sent_so(|all| all.len() >= count).await
    }

    /// Waits until the partial openings that were sent are as expected.
    pub(crate) async fn until_sent_so(
        &self,
        mut expected: impl FnMut(&[(ActorName, DeliverPartials)]) -> bool,
    ) -> Vec<(ActorName, DeliverPartials)> {
        let mut delivered = self.delivered.clone();
        let enough = delivered.wait_for(|all| expected(all));
        let enough = tokio::time::timeout(PATIENCE, enough).await;
        let enough = enough.expect("in time").expect("a network");
        enough.clone()
    }

    /// Waits until an actor has looked at the ledger so many times from now on: whatever it would have done by
    /// itself, it has done.
    pub(crate) async fn until_looked(&self, name: ActorName, times: usize) {
        let mut looks = self.looks.clone();
        let of = |looks: &BTreeMap<ActorName, usize>| looks.get(&name).copied().unwrap_or(0);
        let wanted = of(&looks.borrow()) + times;
        let looked = looks.wait_for(|looks| of(looks) >= wanted);
        let looked = tokio::time::timeout(PATIENCE, looked).await;
        drop(looked.expect("in time").expect("a network"));
    }

    /// The patient as it stands on chain.
    pub(crate) async fn on_chain(&self) -> Option<ledger::Patient> {
        let key = State::patient_key(self.patient());
        let proved = self.client(AUTHOR).prove(key, Self::deadline()).await;
        let (value, _) = proved.expect("proved");
        value.map(|value| State::decode_value(&value).expect("a patient"))
    }

    pub(crate) async fn case(&self, id: CaseId) -> Case {
        let proved = self.client(AUTHOR).prove_case(id, Self::deadline()).await;
        proved.expect("proved").expect("there is one")
    }

    /// Waits until a case is as expected.
    pub(crate) async fn until_case(&self, id: CaseId, wanted: impl Fn(&Case) -> bool) -> Case {
        let until = Self::deadline();
        loop {
            let case = self.case(id).await;
            if wanted(&case) {
                return case;
            }
            assert!(Instant::now() < until, "still {case:?}");
        }
    }
}

/// An upload that a test has sealed, with everybody's shards.
pub(crate) struct TestUpload {
    pub(crate) upload: Arc<Upload>,
    pub(crate) plaintexts: Vec<Vec<u8>>,
    /// By record, then by share index.
    shards: Vec<Vec<Shard>>,
}

impl TestUpload {
    pub(crate) fn root(&self) -> Digest {
        self.upload.root()
    }

    /// What the kin at `position` is to store.
    pub(crate) fn of_kin(&self, position: u8) -> StoreShards {
        let of_record = |shards: &Vec<Shard>| shards[usize::from(position)].clone();
        StoreShards {
            upload: self.upload.clone(),
            shards: self.shards.iter().map(of_record).collect(),
        }
    }
}

impl House {
    /// Seals records as [`AUTHOR`] does.
    pub(crate) async fn seal(&self, tier: Tier, plaintexts: &[&str]) -> TestUpload {
        let patient = self.on_chain().await.expect("enrolled");
        let enrolment: Enrolment = patient.enrolment;
        let commitments = &enrolment.tier(tier).expect("all tiers").commitments;
        let threshold = shard_threshold(&enrolment).expect("a roster");
        let (mut entries, mut capsules, mut cut) = (Vec::new(), Vec::new(), Vec::new());
        for text in plaintexts {
            let context = SealContext {
                chain: self.chain(),
                patient: self.patient(),
                record: RecordId(*SigningKey::random(&mut SystemRng).seed().expose()),
                tier,
                author: self.hospital(AUTHOR),
            };
            let key = commitments.public_key();
            let sealed = seal(text.as_bytes(), &context, key, &mut SystemRng).expect("sealed");
            let set = shards(&sealed.ciphertext, threshold).expect("cut");
            entries.push(sealed.entry(set.root));
            capsules.push(sealed.capsule);
            cut.push(set.shards);
        }
        let upload = Upload {
            chain: self.chain(),
            patient: self.patient(),
            tier,
            author: self.hospital(AUTHOR),
            epoch: Enrolment::EPOCH,
            manifest: Manifest::new(entries).expect("a manifest"),
            capsules,
        };
        TestUpload {
            upload: Arc::new(upload),
            plaintexts: plaintexts
                .iter()
                .map(|text| text.as_bytes().to_vec())
                .collect(),
            shards: cut,
        }
    }

    /// Hands a kin its shards as [`AUTHOR`] does.
    pub(crate) async fn store(&self, upload: &TestUpload, n: u8) -> Result<Receipt, KinError> {
        self.ask_kin_as(AUTHOR, n, upload.of_kin(n)).await
    }

    /// Has the upload stand on chain, with the receipts of those kin.
    pub(crate) async fn anchor(&self, upload: &TestUpload, receipts: &[Receipt]) -> Height {
        let patient = self.on_chain().await.expect("enrolled");
        let kin = patient.enrolment.roster.len();
        let header = BatchHeader {
            chain: upload.upload.chain,
            patient: upload.upload.patient,
            tier: upload.upload.tier,
            author: upload.upload.author,
            epoch: upload.upload.epoch,
            manifest_root: upload.root(),
            records: u32::try_from(upload.plaintexts.len()).expect("few"),
            bytes: upload.upload.manifest.bytes(),
            receipts_root: receipts_root(receipts).expect("receipts"),
            receipts: u8::try_from(receipts.len()).expect("few"),
            status: BatchStatus::of(receipts.len(), kin).expect("more than half"),
        };
        let body = TxBody::Batch {
            header: Box::new(header),
            receipts: receipts.iter().map(ReceiptLine::from).collect(),
        };
        let submitted = self.client(AUTHOR).submit(body, Self::deadline()).await;
        let height = submitted.expect("it stands").proof.header.height;
        self.anchored.fetch_max(height.0, Ordering::SeqCst);
        height
    }

    /// The patient orders an upload that stands on chain to be erased.
    pub(crate) async fn order(&self, upload: &TestUpload) {
        let tier = upload.upload.tier;
        let look = Look::Batches(self.patient(), tier, Height(u64::MAX));
        let answer = self.client(PATIENT).look(look, Self::deadline()).await;
        let Ok(Answer::Batches(batches)) = answer else {
            panic!("{answer:?}");
        };
        let mut entries = batches.into_iter().map(|(_, entry)| entry);
        let entry = entries.find(|entry| entry.header.manifest_root == upload.root());
        let body = TxBody::Erase {
            batch: entry.expect("on chain").id,
        };
        let submitted = self.client(PATIENT).submit(body, Self::deadline()).await;
        submitted.expect("it stands");
    }

    /// Waits until a kin has erased so many uploads.
    pub(crate) async fn until_erased(&self, n: u8, count: usize) {
        let until = Self::deadline();
        while self.held(n).await.erased < count {
            assert!(Instant::now() < until, "kin {n} has not erased it");
            self.until_looked(kin(n), 1).await;
        }
    }

    /// Seals, spreads over the kin in `with`, and anchors.
    pub(crate) async fn write(&self, tier: Tier, plaintexts: &[&str], with: &[u8]) -> TestUpload {
        let upload = self.seal(tier, plaintexts).await;
        let mut receipts = Vec::new();
        for n in with {
            receipts.push(self.store(&upload, *n).await.expect("stored"));
        }
        self.anchor(&upload, &receipts).await;
        upload
    }

    /// The word of [`AUTHOR`] for a clinician of its own.
    fn vouch(&self, clinician: &SigningKey) -> Credential {
        let credential = Credential {
            clinician: clinician.verifying_key(),
            issuer: self.hospital(AUTHOR).into(),
            role: ClinicalRole::Physician,
            hospital: self.hospital(AUTHOR),
            valid_until_ms: self.now().plus(600_000),
            signature: Signature([0; Signature::LEN]),
        };
        credential.signed(self.chain(), &self.identity(AUTHOR).signing)
    }

    /// Requests as [`AUTHOR`] does.
    pub(crate) async fn request(&self, tiers: &[Tier]) -> TestRequest {
        self.request_with(tiers, |_| {}).await
    }

    /// Requests something else than usual.
    pub(crate) async fn request_with(
        &self,
        tiers: &[Tier],
        change: impl FnOnce(&mut Request),
    ) -> TestRequest {
        let (session, opening) = (
            SessionSecret::random(&mut SystemRng),
            OpeningKey::random(&mut SystemRng),
        );
        let clinician = SigningKey::random(&mut SystemRng);
        let client = self.client(AUTHOR);
        let (chain, hospital) = (self.chain(), self.hospital(AUTHOR));
        let key = State::patient_key(self.patient());
        let height = Height(self.anchored.load(Ordering::SeqCst));
        let (_, head) = prove_at(&client, key, height, PATIENCE, Self::deadline())
            .await
            .expect("proved");
        let scope = |tier: &Tier| Scope {
            tier: *tier,
            up_to: head.height,
            only: Vec::new(),
        };
        let mut request = Request {
            patient: self.patient(),
            epoch: Enrolment::EPOCH,
            circle: Circle::First,
            scopes: tiers.iter().map(scope).collect(),
            purpose: Purpose::BreakGlass,
            reason: Reason::Unconscious,
            encounter: hash("test", &[b"encounter"]),
            clinician: clinician.verifying_key(),
            credential: Some(self.vouch(&clinician)),
            // Made anew when everything that it covers is there.
            session: session.prove(&hash("test", &[]), &mut SystemRng),
            session_key: opening.sealing_key(),
            expires_ms: self.now().plus(600_000),
            session_ms: Millis(600_000),
            clinician_signature: Signature([0; Signature::LEN]),
        };
        change(&mut request);
        request.session = session.prove(&request.binding(chain, hospital), &mut SystemRng);
        let request = request.signed(chain, hospital, &clinician);
        let body = TxBody::Request(Box::new(request));
        let submitted = client.submit(body, Self::deadline()).await;
        let proof = submitted.expect("it stands").proof;
        TestRequest {
            case: CaseId(proof.transaction.id().0),
            opening,
            session,
        }
    }
}

/// A request that a test has made, with its secrets.
pub(crate) struct TestRequest {
    pub(crate) case: CaseId,
    pub(crate) opening: OpeningKey,
    pub(crate) session: SessionSecret,
}
