//! Counts what was sent and what became of it, by message type.

use core::any::{TypeId, type_name};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What became of the messages of one type (requests included, replies not).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeStats {
    /// Given to the network by a port that may send.
    pub sent: u64,
    /// Put into a mailbox.
    pub delivered: u64,
    /// Swallowed by a link rule (for a request: on the way there or back).
    pub lost: u64,
    /// Dropped because the mailbox was full.
    pub refused: u64,
    /// Dropped because the name had no address of this type.
    pub no_address: u64,
    /// Dropped because the mailbox was closed: the actor had died.
    pub closed: u64,
    /// Never sent: the sender's incarnation was over.
    pub fenced: u64,
}

/// What became of all messages of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetStats {
    /// All types together.
    pub total: TypeStats,
    /// By the full Rust path of the message type.
    pub by_type: BTreeMap<&'static str, TypeStats>,
}

/// The counters of one message type.
pub(super) struct TypeCounters {
    name: &'static str,
    pub(super) sent: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) no_address: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) fenced: AtomicU64,
}

impl TypeCounters {
    fn new(name: &'static str) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            name,
            sent: zero(),
            delivered: zero(),
            lost: zero(),
            refused: zero(),
            no_address: zero(),
            closed: zero(),
            fenced: zero(),
        }
    }

    fn read(&self) -> TypeStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TypeStats {
            sent: of(&self.sent),
            delivered: of(&self.delivered),
            lost: of(&self.lost),
            refused: of(&self.refused),
            no_address: of(&self.no_address),
            closed: of(&self.closed),
            fenced: of(&self.fenced),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The counters of all message types seen so far.
#[derive(Default)]
pub(super) struct Counters(RwLock<HashMap<TypeId, Arc<TypeCounters>>>);

impl Counters {
    pub(super) fn of<M: 'static>(&self) -> Arc<TypeCounters> {
        let id = TypeId::of::<M>();
        let known = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(id)
                .or_insert_with(|| Arc::new(TypeCounters::new(type_name::<M>())))
                .clone()
        })
    }

    pub(super) fn read(&self) -> NetStats {
        let mut stats = NetStats::default();
        for counters in self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            let of_type = counters.read();
            stats.total.add(&of_type);
            stats
                .by_type
                .entry(counters.name)
                .or_default()
                .add(&of_type);
        }
        stats
    }
}

impl TypeStats {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.refused += other.refused;
        self.no_address += other.no_address;
        self.closed += other.closed;
        self.fenced += other.fenced;
    }
}
