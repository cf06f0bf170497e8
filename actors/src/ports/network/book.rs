//! Where each name lives now, and which incarnation of it may act.

use crate::ports::names::ActorName;
use actix::{Actor, Addr, Context};
use core::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::watch;

/// Which incarnation of one name may act; moved on by the supervisor, read by the ports.
///
/// The number only grows. An instance of an older number is fenced off: it may
/// still run (a blocked thread cannot be killed), but it can neither send nor answer. The store has
/// numbers of its own: it refuses the writes of all but the last who opened a key space.
#[derive(Clone, Debug)]
pub struct Life(Arc<AtomicU64>);

impl Default for Life {
    /// The first incarnation is number 1.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }
}

impl Life {
    /// The incarnation that may act.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether `incarnation` may act.
    #[must_use]
    pub fn is(&self, incarnation: u64) -> bool {
        self.current() == incarnation
    }

    /// Fences the current incarnation off; answers the number of the next.
    pub(crate) fn advance(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// One address with what is known of its owner.
pub(crate) struct Entry {
    /// An `Addr<A>`. All senders share this one: actix parks each sender by itself, so a clone for
    /// each message would always find a free place and the mailbox would have no limit.
    addr: Box<dyn Any + Send + Sync>,
    life: Option<(Life, u64)>,
    /// Requests on their way to this address or waiting for its reply.
    pub(super) asks: AtomicUsize,
}

impl Entry {
    pub(crate) fn new<A: Actor<Context = Context<A>>>(
        addr: Addr<A>,
        life: Option<(Life, u64)>,
    ) -> Self {
        Self {
            addr: Box::new(addr),
            life,
            asks: AtomicUsize::new(0),
        }
    }

    /// Somebody in another process: the network's transport knows the way.
    fn far() -> Self {
        Self {
            addr: Box::new(Elsewhere),
            life: None,
            asks: AtomicUsize::new(0),
        }
    }

    pub(super) fn addr<A: Actor<Context = Context<A>>>(&self) -> Option<&Addr<A>> {
        self.addr.downcast_ref()
    }

    pub(super) fn is_far(&self) -> bool {
        self.addr.is::<Elsewhere>()
    }

    /// Whether the owner may act: what a fenced instance answers does not count.
    pub(super) fn is_current(&self) -> bool {
        self.life
            .as_ref()
            .is_none_or(|(life, incarnation)| life.is(*incarnation))
    }
}

/// In place of an address: the name lives in another process.
struct Elsewhere;

struct Shelf {
    entries: RwLock<HashMap<ActorName, Arc<Entry>>>,
    /// Ticks at every change, for who waits for a name.
    changed: watch::Sender<()>,
}

/// Where each name lives now. Cloning shares the book.
#[derive(Clone)]
pub struct AddressBook(Arc<Shelf>);

impl AddressBook {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shelf {
            entries: RwLock::default(),
            changed: watch::channel(()).0,
        }))
    }

    /// Points `name` to `addr`, in place of whatever it pointed to.
    pub fn point<A: Actor<Context = Context<A>>>(&self, name: ActorName, addr: Addr<A>) {
        self.point_entry(name, Arc::new(Entry::new(addr, None)));
    }

    /// Points `name` to another process, which the network's transport reaches. Who asks there finds no address: only
    /// what is told travels.
    pub fn point_far(&self, name: ActorName) {
        self.point_entry(name, Arc::new(Entry::far()));
    }

    pub(crate) fn point_entry(&self, name: ActorName, entry: Arc<Entry>) {
        let old = self.write(|entries| entries.insert(name, entry));
        // Dropped outside of the lock: it may be the last address of an actor.
        drop(old);
        self.0.changed.send_replace(());
    }

    /// The address of `name`, if it is of this type. For one message through [`super::Port`] not
    /// needed; a clone of an address has a guaranteed place in a mailbox even when it is full.
    #[must_use]
    pub fn addr<A: Actor<Context = Context<A>>>(&self, name: ActorName) -> Option<Addr<A>> {
        self.entry(name)?.addr().cloned()
    }

    /// Whether `name` has an address.
    #[must_use]
    pub fn contains(&self, name: ActorName) -> bool {
        self.entry(name).is_some()
    }

    /// Forgets the address of `name`.
    pub fn remove(&self, name: ActorName) {
        let old = self.write(|entries| entries.remove(&name));
        drop(old);
        self.0.changed.send_replace(());
    }

    /// All names that have an address, in order.
    #[must_use]
    pub fn names(&self) -> Vec<ActorName> {
        let entries = self
            .0
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = entries.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Waits until `name` has an address; false when it has none at the deadline. Needs a tokio runtime.
    pub async fn wait_for(&self, name: ActorName, deadline: Instant) -> bool {
        let mut changed = self.0.changed.subscribe();
        let found = changed.wait_for(|()| self.contains(name));
        tokio::time::timeout_at(deadline.into(), found)
            .await
            .is_ok_and(|found| found.is_ok())
    }

    pub(super) fn entry(&self, name: ActorName) -> Option<Arc<Entry>> {
        let entries = self
            .0
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        entries.get(&name).cloned()
    }

    fn write<R>(&self, change: impl FnOnce(&mut HashMap<ActorName, Arc<Entry>>) -> R) -> R {
        change(
            &mut self
                .0
                .entries
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl core::fmt::Debug for AddressBook {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A name as one number, never 0.
pub(crate) fn code(name: ActorName) -> u64 {
    let of = |kind: u64, a: u16, b: u8| kind << 32 | u64::from(a) << 8 | u64::from(b);
    match name {
        ActorName::Validator(n) => of(1, n, 0),
        ActorName::Leader(n) => of(2, n, 0),
        ActorName::Hospital(n) => of(3, n, 0),
        ActorName::Patient(n) => of(4, n, 0),
        ActorName::Kin(patient, n) => of(5, patient, n),
        ActorName::Driver => of(6, 0, 0),
    }
}
