//! Starting and stopping a cluster.

use crate::clients::LedgerClient;
use crate::cluster::founding::{Founded, FoundingError, Shape, ShapeError, found};
use crate::cluster::liar::Lies;
use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::OnInvitation;
use crate::hospital::Hospital;
use crate::identity::{Identity, Setting};
use crate::leader::Leader;
use crate::observe::Observer;
use crate::patient::Patient;
use crate::ports::clock::{SharedClock, SystemClock};
use crate::ports::names::ActorName;
use crate::ports::network::{Network, Port};
use crate::ports::objects::{Objects, ObjectsError, Place};
use crate::ports::random::SystemRng;
use crate::ports::store::{Store, StoreError, StoreOptions};
use crate::ports::vault::Vault;
use crate::supervisor::{
    Shutdown, ShutdownReport, Spec, StartError, StartMany, Supervisor, SupervisorConfig,
    SupervisorError, WhenRunning,
};
use crate::validator::{Memory, SnapshotPolicy, Validator, ValidatorConfig};
use actix::Addr;
use kithkin_protocol::consensus::{self, Algorithm, Timing};
use kithkin_protocol::crypto::SigningKey;
use kithkin_protocol::ids::{HospitalId, KinId, PatientId};
use kithkin_protocol::ledger::Member;
use kithkin_protocol::record::Quota;
use kithkin_protocol::roster::Relation;
use kithkin_protocol::units::Millis;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Most validators of one process: every one sends every other each vote.
pub const VALIDATORS_IN_PROCESS_MAX: u16 = 200;

/// Name of the folder of ciphertexts in the data folder, unless another place is named.
pub const ARCHIVE: &str = "archive";

/// What the kin of a patient of this cluster are to it, in their order.
const RELATIONS: [Relation; 6] = [
    Relation::Spouse,
    Relation::Child,
    Relation::Sibling,
    Relation::Friend,
    Relation::Neighbour,
    Relation::Extended,
];

/// Least timeout of the first view for each validator in the process, in milliseconds.
const VIEW_MS_PER_VALIDATOR: u64 = 25;

/// How much a friend or relative keeps for each patient, unless told otherwise: a phone's free space.
pub const QUOTA_BYTES: u64 = 16 << 30;

/// How long all actors together may take to start, at least; large clusters get more.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How a cluster is launched.
#[derive(Clone)]
pub struct ClusterConfig {
    /// The data folder; made when it is not there.
    pub data: PathBuf,
    /// How many of each.
    pub shape: Shape,
    /// Timing of consensus.
    pub timing: Timing,
    /// How supervision works.
    pub supervisor: SupervisorConfig,
    /// Drives losses and delays of links, never keys.
    pub seed: u64,
    /// How long after the closing of a case its review may take; only used when the folder is founded.
    pub review_within_ms: Millis,
    /// How much a friend or relative keeps for each patient.
    pub quota: Quota,
    /// Where hospitals keep ciphertexts; none means the folder [`ARCHIVE`] in the data folder.
    pub archive: Option<Objects>,
    /// What the devices of friends and relatives do with invitations: accept, as nobody sits in front of them.
    pub invitations: OnInvitation,
    /// The clock.
    pub clock: SharedClock,
    /// Who is told what validators see.
    pub observer: Observer,
    /// Validators that lie, to be watched; none in a cluster that is meant to be used.
    pub lies: Option<Lies>,
}

impl ClusterConfig {
    /// A cluster of this shape in this folder, everything else as usual.
    ///
    /// All validators share the machine's cores, and each checks the votes of all others: the timeout of the first
    /// view grows with their number.
    #[must_use]
    pub fn new(data: PathBuf, shape: Shape) -> Self {
        let usual = Timing::default();
        let timing = Timing {
            base_ms: usual
                .base_ms
                .max(VIEW_MS_PER_VALIDATOR * u64::from(shape.validators)),
            ..usual
        };
        Self {
            data,
            shape,
            timing,
            supervisor: SupervisorConfig::default(),
            seed: 0,
            review_within_ms: Millis(7 * 24 * 3_600_000),
            quota: Quota {
                bytes_max: QUOTA_BYTES,
            },
            archive: None,
            invitations: OnInvitation::Accept,
            clock: Arc::new(SystemClock),
            observer: Observer::none(),
            lies: None,
        }
    }
}

/// Why a cluster does not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The numbers.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder was founded, but its database is gone.
    #[error(
        "the data folder {} has the keys of a cluster, but its database (db) is gone: validators that have forgotten what they signed must not sign again; restore db from a backup, or start with an empty folder",
        dir.display()
    )]
    LostDatabase {
        /// The folder.
        dir: PathBuf,
    },
    /// The place of the hospitals' ciphertexts.
    #[error(transparent)]
    Archive(#[from] ObjectsError),
    /// Keys, genesis or `cluster.toml`.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The supervisor has no thread.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// An actor was given up while starting.
    #[error("an actor does not start; the log says why")]
    Start(#[from] SupervisorError),
    /// The supervisor does not answer, or the actors take too long.
    #[error("the actors did not start within {seconds} s")]
    TooSlow {
        /// How long they had.
        seconds: u64,
    },
}

/// A running cluster.
pub struct Cluster {
    shape: Shape,
    setting: Setting,
    network: Network,
    supervisor: Addr<Supervisor>,
    store: Store,
    archive: Objects,
    members: Vec<(ActorName, Member)>,
    /// Their keys sign amendments.
    pub(super) validators: Vec<Arc<consensus::Identity>>,
    reviewer: Arc<SigningKey>,
    failure: watch::Receiver<Option<StoreError>>,
}

impl Cluster {
    /// Starts everything and returns when every actor runs. Needs an actix system on this thread.
    ///
    /// # Errors
    /// Every [`LaunchError`]; nothing is left running.
    pub async fn launch(config: ClusterConfig) -> Result<Self, LaunchError> {
        config.shape.validate()?;
        // `cluster.toml` is written after the database was made (design, consensus section 5: never vote again
        // without the log).
        let dir = &config.data;
        if Shape::of_folder(dir)?.is_some() && !dir.join("db").exists() {
            return Err(LaunchError::LostDatabase { dir: dir.clone() });
        }
        let store = Store::open(&config.data, StoreOptions::default())?;
        let archive = match &config.archive {
            Some(archive) => archive.clone(),
            None => Objects::open(&Place::Folder(dir.join(ARCHIVE)))?,
        };
        tracing::info!(%archive, "where the hospitals' ciphertexts are");
        let (failed, failure) = watch::channel(None);
        store.on_failure(move |error| {
            failed.send_replace(Some(error.clone()));
        });
        let founded = found(
            &config.data,
            config.shape,
            config.review_within_ms,
            &config.clock,
        )?;
        let setting = Setting {
            genesis: founded.genesis.clone(),
            directory: founded.directory.clone(),
            clock: config.clock.clone(),
            quota: config.quota,
            invitations: config.invitations,
        };
        let network = Network::new(config.seed);
        let supervisor = Supervisor::launch(config.supervisor.clone(), network.clone())?;
        let members = founded
            .identities
            .iter()
            .map(|(name, identity)| (*name, identity.member()))
            .collect();
        let cluster = Self {
            shape: config.shape,
            setting,
            network,
            supervisor,
            store,
            archive,
            members,
            validators: founded.validators.clone(),
            reviewer: founded.reviewer.signing.clone(),
            failure,
        };
        let specs = cluster.specs(founded, &config);
        let count = specs.len();
        let mut failure = cluster.failure();
        let started = tokio::select! {
            // Whatever actors say then, it is the disk.
            Ok(error) = failure.wait_for(Option::is_some) => {
                error.clone().map_or(Ok(()), |error| Err(error.into()))
            }
            started = cluster.start(specs, count) => started,
        };
        if let Err(error) = started {
            cluster.shutdown().await;
            return Err(error);
        }
        Ok(cluster)
    }

    async fn start(&self, specs: Vec<Spec>, count: usize) -> Result<(), LaunchError> {
        let within = START_WITHIN + Duration::from_millis(50) * u32::try_from(count).unwrap_or(0);
        let too_slow = || LaunchError::TooSlow {
            seconds: within.as_secs(),
        };
        let started = async {
            self.supervisor
                .send(StartMany { specs })
                .await
                .map_err(|_| too_slow())??;
            self.supervisor
                .send(WhenRunning { names: Vec::new() })
                .await
                .map_err(|_| too_slow())??;
            Ok(())
        };
        tokio::time::timeout(within, started)
            .await
            .map_err(|_| too_slow())?
    }

    fn specs(&self, founded: Founded, config: &ClusterConfig) -> Vec<Spec> {
        let mut specs = Vec::new();
        for identity in founded.validators {
            let leader = ActorName::Leader(identity.id.0);
            let validator = ActorName::Validator(identity.id.0);
            specs.push(Spec::new(leader, move |birth| {
                let port = birth.port();
                Ok(birth.start(|_| Leader::new(validator, port)))
            }));
            specs.push(self.validator(identity, config));
        }
        for (name, identity) in founded.identities {
            specs.push(self.role(name, identity, &founded.vault));
        }
        specs
    }

    fn validator(&self, identity: Arc<consensus::Identity>, config: &ClusterConfig) -> Spec {
        let name = ActorName::Validator(identity.id.0);
        let (store, setting) = (self.store.clone(), self.setting.clone());
        let (timing, observer) = (config.timing, config.observer.clone());
        let algorithm = match &config.lies {
            Some(lies) => lies.algorithm(),
            None => Algorithm::default(),
        };
        Spec::new(name, move |birth| {
            let space = store.space(&name.to_string()).map_err(StartError::new)?;
            let config = ValidatorConfig {
                identity: identity.clone(),
                successor: None,
                genesis: setting.genesis.clone(),
                timing,
                algorithm: algorithm.clone(),
                memory: Memory::Trusted,
                snapshots: SnapshotPolicy::default(),
                clock: setting.clock.clone(),
                observer: observer.clone(),
            };
            let validator =
                Validator::open(config, birth.port(), space).map_err(StartError::new)?;
            Ok(birth.start(|_| validator))
        })
    }

    /// The spec of a hospital, patient or kin: all are opened alike.
    fn role(&self, name: ActorName, identity: Identity, vault: &Vault) -> Spec {
        let keys = vault.keys_of(&name.to_string());
        let (store, setting) = (self.store.clone(), self.setting.clone());
        let archive = self.archive.clone();
        Spec::new(name, move |birth| {
            let space = store.space(&name.to_string()).map_err(StartError::new)?;
            let (setting, identity, keys) = (setting.clone(), identity.clone(), keys.clone());
            let port = birth.port();
            match name {
                ActorName::Hospital(_) => {
                    let shelf = archive.shelf(&name.to_string()).map_err(StartError::new)?;
                    let hospital = Hospital::open(setting, identity, keys, port, space, shelf)
                        .map_err(StartError::new)?;
                    Ok(birth.start(|_| hospital))
                }
                ActorName::Patient(_) => {
                    let patient = Patient::open(setting, identity, keys, port, space)
                        .map_err(StartError::new)?;
                    Ok(birth.start(|_| patient))
                }
                ActorName::Kin(..) => {
                    let kin = FriendRelative::open(setting, identity, keys, port, space)
                        .map_err(StartError::new)?;
                    Ok(birth.start(|_| kin))
                }
                ActorName::Validator(_) | ActorName::Leader(_) | ActorName::Driver => {
                    Err(StartError::new("this name has no role with keys"))
                }
            }
        })
    }

    /// How many of each there are.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Genesis, directory, clock.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// The transport, with its link rules and taps.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The supervisor.
    #[must_use]
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        &self.supervisor
    }

    /// The database's counters live here.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What whoever sits in front of the program speaks through.
    #[must_use]
    pub fn driver(&self) -> Port {
        self.network.port(ActorName::Driver)
    }

    /// A ledger client for looking and proving; its key has no role on the ledger.
    #[must_use]
    pub fn client(&self) -> LedgerClient {
        let key = Arc::new(SigningKey::random(&mut SystemRng));
        let clock = self.setting.clock.clone();
        LedgerClient::new(&self.setting.genesis, self.driver(), key, clock)
    }

    /// The ledger client of the accredited reviewer, a person at a desk of her own.
    #[must_use]
    pub fn reviewer(&self) -> LedgerClient {
        let clock = self.setting.clock.clone();
        LedgerClient::new(
            &self.setting.genesis,
            self.driver(),
            self.reviewer.clone(),
            clock,
        )
    }

    /// The roster of a patient: all of its kin.
    #[must_use]
    pub fn roster(&self, patient: u16) -> Vec<Member> {
        self.members
            .iter()
            .filter(|(name, _)| matches!(name, ActorName::Kin(of, _) if *of == patient))
            .zip(RELATIONS.into_iter().cycle())
            .map(|((_, member), relation)| Member {
                relation,
                ..member.clone()
            })
            .collect()
    }

    /// The identifier of a hospital; none for a number that there is not.
    #[must_use]
    pub fn hospital(&self, n: u16) -> Option<HospitalId> {
        self.setting.directory.hospital(ActorName::Hospital(n))
    }

    /// The identifier of a patient; none for a number that there is not.
    #[must_use]
    pub fn patient(&self, n: u16) -> Option<PatientId> {
        self.setting.directory.patient(ActorName::Patient(n))
    }

    /// The identifier of a kin; none for numbers that there are not.
    #[must_use]
    pub fn kin(&self, patient: u16, n: u8) -> Option<KinId> {
        self.setting.directory.kin(ActorName::Kin(patient, n))
    }

    /// Changes once, when the database can no longer be written: a full disk, a failed one.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<StoreError>> {
        self.failure.clone()
    }

    /// Stops every actor in order and closes the database.
    pub async fn shutdown(self) -> ShutdownReport {
        let report = self.supervisor.send(Shutdown).await.unwrap_or_default();
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "the database did not close cleanly");
        }
        report
    }
}
