//! The in-process transport: typed messages from mailbox to mailbox, between actors known by name.
//!
//! [`AddressBook`] says where a name lives now; every message looks it up anew,
//! so everybody who talks to a name reaches the actor that the supervisor
//! restarted. [`Port`] is what one actor holds of the [`Network`]: its `from` is
//! fixed, and it goes mute when the actor's incarnation is over. [`LinkRule`]s
//! delay, lose or cut what goes between two names.
//!
//! A name may live in another process ([`AddressBook::point_far`]): what is told to it is written as a frame, once for
//! all receivers, and handed to the transport ([`Far`]).
//!
//! Not here: the transport itself ([`crate::peer`]), retries of one-way messages
//! (consensus sends again by itself), supervision ([`crate::supervisor`]).

mod book;
mod courier;
mod far;
mod links;
mod port;
mod stats;
#[cfg(test)]
mod tests;

pub use book::{AddressBook, Life};
pub(crate) use book::{Entry, code};
pub use far::{Far, Frame};
pub use links::LinkRule;
pub use port::{AskError, AskErrorKind, Port};
pub use stats::{NetStats, TypeStats};

use crate::ports::names::ActorName;
use actix::{Actor, Context, Handler, Message};
use core::any::Any;
use courier::Courier;
use links::Links;
use stats::Counters;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

/// What arrives in a mailbox: a typed message and who sent it, as the transport vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered<M> {
    /// The sender. Set by the transport, not by the sender.
    pub from: ActorName,
    /// What was sent.
    pub message: M,
}

impl<M: actix::Message> actix::Message for Delivered<M> {
    type Result = M::Result;
}

/// One message at the moment at which it leaves an actor (or is lost on the way), as a tap sees it.
pub struct TapEvent<'a> {
    /// Who sends.
    pub from: ActorName,
    /// Who is to receive.
    pub to: ActorName,
    /// The full Rust path of the content's type.
    pub type_name: &'static str,
    /// Whether this answers an earlier request; the content then is the request's `Result`.
    pub reply: bool,
    /// Whether a link rule swallows it.
    pub lost: bool,
    /// The message itself (or the reply), for a downcast.
    pub content: &'a dyn Any,
}

type Tap = Box<dyn Fn(&TapEvent<'_>) + Send + Sync>;

/// The in-process transport of one cluster. Cloning shares it.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    book: AddressBook,
    lives: Mutex<HashMap<ActorName, Life>>,
    links: Links,
    stats: Counters,
    courier: Courier,
    taps: RwLock<Vec<Tap>>,
    tapped: AtomicBool,
    far: OnceLock<Arc<dyn Far>>,
}

impl Inner {
    /// Shows a message to the taps; costs one load when there is none.
    fn show(&self, event: &TapEvent<'_>) {
        if self.tapped.load(Ordering::Acquire) {
            for tap in self
                .taps
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
            {
                tap(event);
            }
        }
    }
}

impl Network {
    /// A network without delay and loss. `seed` drives the losses and delays of the link rules
    /// that are set later, for each link on its own, and nothing else.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                book: AddressBook::new(),
                lives: Mutex::default(),
                links: Links::new(seed),
                stats: Counters::default(),
                courier: Courier::default(),
                taps: RwLock::default(),
                tapped: AtomicBool::new(false),
                far: OnceLock::new(),
            }),
        }
    }

    /// Where the names live.
    #[must_use]
    pub fn book(&self) -> &AddressBook {
        &self.inner.book
    }

    /// The port of someone whom nobody supervises: a driver, a test. It is never fenced off.
    #[must_use]
    pub fn port(&self, me: ActorName) -> Port {
        Port::new(self.inner.clone(), me, None)
    }

    /// The port of one incarnation of a supervised actor: mute as soon as the name has a newer one.
    #[must_use]
    pub fn port_of(&self, me: ActorName, incarnation: u64) -> Port {
        Port::new(self.inner.clone(), me, Some((self.life(me), incarnation)))
    }

    /// Which incarnation of `name` may act. The supervisor moves it on; ports read it.
    #[must_use]
    pub fn life(&self, name: ActorName) -> Life {
        let mut lives = self
            .inner
            .lives
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lives.entry(name).or_default().clone()
    }

    /// The transport to other processes, set once; true when this call has set it. Names are pointed to it with
    /// [`AddressBook::point_far`].
    pub fn set_far(&self, far: Arc<dyn Far>) -> bool {
        self.inner.far.set(far).is_ok()
    }

    /// Puts what came from another process into a mailbox of this one; the caller vouches for `from`. False when there
    /// is no such actor at the moment, or no place.
    pub(crate) fn receive<A, M>(&self, from: ActorName, to: ActorName, message: M) -> bool
    where
        A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let counters = self.inner.stats.of::<M>();
        port::hand_over::<A, M>(&self.inner, &counters, from, to, message)
    }

    /// As [`Self::receive`], and waits until the message is served, at most for `within`.
    pub(crate) async fn receive_served<A, M>(
        &self,
        from: ActorName,
        to: ActorName,
        message: M,
        within: Duration,
    ) -> bool
    where
        A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let counters = self.inner.stats.of::<M>();
        let request = {
            let entry = self.inner.book.entry(to);
            let Some(addr) = entry.as_ref().and_then(|entry| entry.addr::<A>()) else {
                stats::count(&counters.no_address);
                return false;
            };
            addr.send(Delivered { from, message })
        };
        stats::count(&counters.delivered);
        let served = tokio::time::timeout(within, request).await;
        served.is_ok_and(|served| served.is_ok())
    }

    /// Sets the rule of the link from `from` to `to`, in this direction only.
    pub fn set_link(&self, from: ActorName, to: ActorName, rule: LinkRule) {
        self.inner.links.set_link(from, to, rule);
    }

    /// Sets the rule of the links between `a` and `b`, in both directions.
    pub fn set_link_both(&self, a: ActorName, b: ActorName, rule: LinkRule) {
        self.inner.links.set_link(a, b, rule.clone());
        self.inner.links.set_link(b, a, rule);
    }

    /// Sets the rule of all links from and to `node`, except of those with a rule of their own. A
    /// validator's leader runs on the validator's machine: rules of nodes leave that pair alone.
    pub fn set_node(&self, node: ActorName, rule: LinkRule) {
        self.inner.links.set_node(node, rule);
    }

    /// Sets the rule of every link that no other rule covers.
    pub fn set_default(&self, rule: LinkRule) {
        self.inner.links.set_default(rule);
    }

    /// Takes back the rule of the link from `from` to `to`.
    pub fn clear_link(&self, from: ActorName, to: ActorName) {
        self.inner.links.clear_link(from, to);
    }

    /// Takes back the rule of `node`.
    pub fn clear_node(&self, node: ActorName) {
        self.inner.links.clear_node(node);
    }

    /// Takes back all rules. What is on its way arrives when it would have.
    pub fn clear_links(&self) {
        self.inner.links.clear();
    }

    /// What was sent so far and what became of it.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.inner.stats.read()
    }

    /// Shows every message that leaves an actor, and every reply, to `tap`, on the sender's thread
    /// (a reply: on the asker's). What a fenced port refuses never left and is not shown.
    pub fn tap(&self, tap: impl Fn(&TapEvent<'_>) + Send + Sync + 'static) {
        self.inner
            .taps
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(tap));
        self.inner.tapped.store(true, Ordering::Release);
    }
}

impl core::fmt::Debug for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Network")
            .field("names", &self.inner.book.names().len())
            .finish()
    }
}
