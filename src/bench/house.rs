//! Validators of one process, with nothing else around: real mailboxes, one store with synced commits in a temporary
//! folder, the in-process transport. And a watch that tells which transactions became durable when.

use crate::bench::load::{Final, Target};
use anyhow::Context as _;
use kithkin_actors::leader::Leader;
use kithkin_actors::observe::{Observer, Sight};
use kithkin_actors::ports::clock::{Clock as _, SystemClock};
use kithkin_actors::ports::names::ActorName;
use kithkin_actors::ports::network::Network;
use kithkin_actors::ports::random::SystemRng;
use kithkin_actors::ports::store::{Store, StoreOptions};
use kithkin_actors::supervisor::{
    Spec, StartError, StartMany, Supervisor, SupervisorConfig, WhenRunning,
};
use kithkin_actors::validator::messages::Gossip;
use kithkin_actors::validator::{Memory, SnapshotPolicy, Validator, ValidatorConfig};
use kithkin_protocol::consensus::{
    Agreement, Algorithm, Certificate, Identity, Input, Message, Output, Timer, TimerKind, Timing,
};
use kithkin_protocol::credit::Standings;
use kithkin_protocol::crypto::vrf::VrfSecretKey;
use kithkin_protocol::crypto::{OpeningKey, SigningKey};
use kithkin_protocol::ids::{TxId, ValidatorId};
use kithkin_protocol::ledger::{
    Genesis, HospitalInfo, Ledger, Profile, SignedTransaction, ValidatorInfo, Workload,
};
use kithkin_protocol::units::{Height, Millis, View};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How many hospitals sign transactions.
pub const SENDERS: usize = 16;

/// What goes wrong with validator 0, the first primary of a fixed rotation, when the warm-up is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It sends its proposals this much late, in milliseconds; everything else is in time.
    Slow(u64),
    /// Its core takes and says nothing any more, as if its machine had stopped.
    Silent,
}

/// What is set up.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Validators.
    pub validators: u16,
    /// How masters are ordered.
    pub profile: Profile,
    /// What transactions are.
    pub workload: Workload,
    /// What decides on blocks.
    pub algorithm: Algorithm,
    /// What is wrong with validator 0.
    pub fault: Fault,
    /// Local timing policy.
    pub timing: Timing,
}

/// Running validators.
pub struct House {
    /// What the ledger started from.
    pub genesis: Arc<Genesis>,
    /// The transport, which counts messages.
    pub network: Network,
    /// Keys that may sign transactions.
    pub senders: Vec<SigningKey>,
    /// Every block of the watching validator, in order.
    pub finals: mpsc::UnboundedReceiver<Final>,
    /// Set when validator 0 is to fail.
    struck: Arc<AtomicBool>,
    supervisor: actix::Addr<Supervisor>,
    store: Store,
    _folder: tempfile::TempDir,
}

/// The validator at which a transaction counts as final: the last one, which is never at fault.
fn watching(shape: &Shape) -> u16 {
    shape.validators.saturating_sub(1)
}

impl House {
    /// Starts all validators.
    ///
    /// # Errors
    /// When the store cannot be opened or an actor does not start.
    pub async fn open(shape: &Shape) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let store = Store::open(folder.path(), StoreOptions::default())?;
        let identities: Vec<Arc<Identity>> = (0..shape.validators).map(identity).collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| SigningKey::random(&mut SystemRng))
            .collect();
        let genesis = Arc::new(genesis(shape, &identities, &senders));
        let network = Network::new(1);
        let config = SupervisorConfig {
            // A saturated machine is no stalled actor.
            stall_after: Duration::from_secs(120),
            ..SupervisorConfig::default()
        };
        let supervisor = Supervisor::launch(config, network.clone())?;
        let (tell, finals) = mpsc::unbounded_channel();
        let watch = Watch::new(ValidatorId(watching(shape)), tell);
        let struck = Arc::new(AtomicBool::new(false));
        let mut specs = Vec::new();
        for identity in identities {
            let name = ActorName::Validator(identity.id.0);
            specs.push(Spec::new(ActorName::Leader(identity.id.0), move |birth| {
                let port = birth.port();
                Ok(birth.start(|_| Leader::new(name, port)))
            }));
            specs.push(validator(
                shape, identity, &genesis, &store, &watch, &struck,
            ));
        }
        supervisor.send(StartMany { specs }).await??;
        supervisor.send(WhenRunning { names: Vec::new() }).await??;
        Ok(Self {
            genesis,
            network,
            senders,
            finals,
            struck,
            supervisor,
            store,
            _folder: folder,
        })
    }

    /// Names of all validators.
    #[must_use]
    pub fn validators(&self) -> Vec<ActorName> {
        let ids = self.genesis.validators.iter();
        ids.map(|info| ActorName::Validator(info.id.0)).collect()
    }

    /// Stops everything and removes the folder.
    ///
    /// # Errors
    /// When the store does not close.
    pub async fn close(self) -> anyhow::Result<()> {
        let _ = self
            .supervisor
            .send(kithkin_actors::supervisor::Shutdown)
            .await;
        drop(self.network);
        self.store.close().context("the store does not close")
    }
}

impl Target for House {
    fn sender(&self) -> Box<dyn FnMut(Vec<SignedTransaction>) + Send> {
        // A validator outside of the set: as little authority as a client has, and the same message.
        let port = self.network.port(ActorName::Validator(u16::MAX));
        let targets = self.validators();
        Box::new(move |batch| {
            let gossip = Gossip(Arc::new(batch));
            port.tell_all::<Validator, _>(targets.iter().copied(), &gossip);
        })
    }

    async fn next(&mut self) -> Option<Final> {
        self.finals.recv().await
    }

    fn counting_begins(&mut self) {
        self.struck.store(true, Ordering::Relaxed);
    }

    fn messages(&self) -> Option<u64> {
        let stats = self.network.stats();
        let name = std::any::type_name::<kithkin_actors::validator::messages::Consensus>();
        stats.by_type.get(name).map(|stats| stats.sent)
    }

    fn cpu_ticks(&self) -> Option<u64> {
        None
    }
}

pub(super) fn identity(id: u16) -> Arc<Identity> {
    Arc::new(Identity {
        id: ValidatorId(id),
        vote_key: SigningKey::random(&mut SystemRng),
        vrf_key: VrfSecretKey::random(&mut SystemRng),
    })
}

fn genesis(shape: &Shape, identities: &[Arc<Identity>], senders: &[SigningKey]) -> Genesis {
    let infos = identities.iter().map(|identity| info(identity));
    founded(shape, infos.collect(), senders)
}

/// What the genesis says of a validator.
pub(super) fn info(identity: &Identity) -> ValidatorInfo {
    ValidatorInfo {
        id: identity.id,
        vote_key: identity.vote_key.verifying_key(),
        vrf_key: identity.vrf_key.public_key(),
        network_key: SigningKey::random(&mut SystemRng).verifying_key(),
        hospital: None,
    }
}

/// A ledger for measuring: these validators, and a hospital for each sender.
pub(super) fn founded(
    shape: &Shape,
    validators: Vec<ValidatorInfo>,
    senders: &[SigningKey],
) -> Genesis {
    let hospital = |(n, key): (usize, &SigningKey)| HospitalInfo {
        key: key.verifying_key(),
        sealing: OpeningKey::random(&mut SystemRng).sealing_key(),
        name: format!("hospital-{n}"),
    };
    Genesis {
        time_ms: SystemClock.now(),
        profile: shape.profile,
        workload: shape.workload,
        validators,
        hospitals: senders.iter().enumerate().map(hospital).collect(),
        reviewers: Vec::new(),
        review_within_ms: Millis(86_400_000),
    }
}

fn validator(
    shape: &Shape,
    identity: Arc<Identity>,
    genesis: &Arc<Genesis>,
    store: &Store,
    watch: &Watch,
    struck: &Arc<AtomicBool>,
) -> Spec {
    let name = ActorName::Validator(identity.id.0);
    let (store, genesis, timing) = (store.clone(), genesis.clone(), shape.timing);
    let fault = if identity.id == ValidatorId(0) {
        shape.fault
    } else {
        Fault::None
    };
    let watch = (identity.id == watch.who).then(|| watch.clone());
    let observer = watch.as_ref().map_or_else(Observer::none, Watch::observer);
    let (inner, struck) = (shape.algorithm.clone(), struck.clone());
    let algorithm = Algorithm::new(inner.name(), move |config, ledger, wal, now| {
        let (core, outputs) = inner.start(config, ledger, wal, now);
        let mut staged = Staged {
            core,
            fault,
            struck: struck.clone(),
            watch: watch.clone(),
            held: BTreeMap::new(),
            serial: 0,
        };
        let outputs = staged.stage(outputs);
        (Box::new(staged), outputs)
    });
    Spec::new(name, move |birth| {
        let config = ValidatorConfig {
            identity: identity.clone(),
            successor: None,
            genesis: genesis.clone(),
            timing,
            algorithm: algorithm.clone(),
            memory: Memory::Trusted,
            snapshots: SnapshotPolicy::default(),
            clock: Arc::new(SystemClock),
            observer: observer.clone(),
        };
        let space = store.space(&name.to_string()).map_err(StartError::new)?;
        let validator = Validator::open(config, birth.port(), space).map_err(StartError::new)?;
        Ok(birth.start(|_| validator))
    })
}

/// Pairs what the core committed with the moment at which it was durable.
#[derive(Clone)]
struct Watch {
    who: ValidatorId,
    blocks: Arc<Mutex<BTreeMap<Height, Vec<TxId>>>>,
    tell: mpsc::UnboundedSender<Final>,
}

impl Watch {
    fn new(who: ValidatorId, tell: mpsc::UnboundedSender<Final>) -> Self {
        let blocks = Arc::default();
        Self { who, blocks, tell }
    }

    fn observer(&self) -> Observer {
        let watch = self.clone();
        Observer::new(move |sight| {
            if let Sight::Block(seen, _) = sight {
                let mut blocks = watch.blocks.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(ids) = blocks.remove(&seen.height) {
                    let at = Instant::now();
                    // Nobody listens any more when the measurement is over.
                    let _ = watch.tell.send(Final { ids, at });
                }
            }
        })
    }
}

/// Serial numbers of our own timers lie above all that a core ever counts to.
const OWN_SERIALS: u64 = 1 << 62;

/// A core on a stage: watched, or with a fault played upon it. The core itself is the real one.
struct Staged {
    core: Box<dyn Agreement>,
    fault: Fault,
    /// Whether it has come.
    struck: Arc<AtomicBool>,
    watch: Option<Watch>,
    /// Proposals that wait until they are late enough.
    held: BTreeMap<u64, Output>,
    serial: u64,
}

impl Staged {
    fn present_fault(&self) -> Fault {
        if self.struck.load(Ordering::Relaxed) {
            self.fault
        } else {
            Fault::None
        }
    }

    fn stage(&mut self, outputs: Vec<Output>) -> Vec<Output> {
        let mut staged = Vec::with_capacity(outputs.len());
        let fault = self.present_fault();
        for output in outputs {
            if let (Output::Commit { block, .. }, Some(watch)) = (&output, &self.watch) {
                let ids = block.transactions.iter().map(|tx| tx.id()).collect();
                let mut blocks = watch.blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.insert(block.header.height, ids);
            }
            match (fault, output) {
                (Fault::Slow(late_ms), output @ Output::Broadcast(Message::Proposal(_))) => {
                    self.serial += 1;
                    self.held.insert(self.serial, output);
                    let timer = Timer {
                        kind: TimerKind::Recheck,
                        serial: OWN_SERIALS + self.serial,
                    };
                    let after = Millis(late_ms);
                    staged.push(Output::SetTimer { timer, after });
                }
                (_, output) => staged.push(output),
            }
        }
        staged
    }
}

impl Agreement for Staged {
    fn step(&mut self, now: Millis, input: Input) -> Vec<Output> {
        if let Input::TimerFired(timer) = &input
            && timer.serial > OWN_SERIALS
        {
            // A timer replaces the one before.
            let later = self.held.split_off(&(timer.serial - OWN_SERIALS + 1));
            let due = std::mem::replace(&mut self.held, later);
            return due.into_values().collect();
        }
        if self.present_fault() == Fault::Silent {
            return Vec::new();
        }
        let outputs = self.core.step(now, input);
        self.stage(outputs)
    }

    fn ledger(&self) -> &Ledger {
        self.core.ledger()
    }

    fn height(&self) -> Height {
        self.core.height()
    }

    fn view(&self) -> View {
        self.core.view()
    }

    fn leader(&self) -> Option<ValidatorId> {
        self.core.leader()
    }

    fn head_certificate(&self) -> Option<Certificate> {
        self.core.head_certificate()
    }

    fn is_halted(&self) -> bool {
        self.core.is_halted()
    }

    fn next_master(&self, standings: &Standings) -> Option<ValidatorId> {
        self.core.next_master(standings)
    }
}
