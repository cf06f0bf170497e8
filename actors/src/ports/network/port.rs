//! What one actor holds of the network: a sender whose name is fixed.

use super::book::Life;
use super::links::Passage;
use super::stats::{TypeCounters, count};
use super::{Delivered, Far, Frame, Inner, TapEvent};
use crate::ports::names::ActorName;
use actix::dev::SendError;
use actix::{Actor, Addr, Context, Handler, Message};
use core::any::type_name;
use kithkin_protocol::credit::Company;
use kithkin_protocol::ids::ValidatorId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until, timeout_at};

/// Most requests that may be on their way to one actor at a time; more are refused as [`AskErrorKind::Full`].
const ASKS_MAX: usize = 1024;
/// First and longest pause between two tries of [`Port::ask_until`].
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// Why a request has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{to} gave no reply: {kind}")]
pub struct AskError {
    /// Who was asked.
    pub to: ActorName,
    /// What went wrong.
    pub kind: AskErrorKind,
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskErrorKind {
    /// The name has no address: not started, being restarted, held or given up.
    #[error("it has no address at the moment")]
    NoAddress,
    /// The actor died before it answered.
    #[error("it stopped before it answered")]
    Closed,
    /// Too many requests wait for this actor.
    #[error("too many requests wait for it")]
    Full,
    /// No reply within the time limit; the request may have been carried out.
    #[error("the time limit passed")]
    Timeout,
    /// The asker's own incarnation is over: a newer one of the same name runs.
    #[error("the asker's own incarnation is over")]
    Fenced,
}

impl AskError {
    /// Whether asking again can help: true unless the asker itself was replaced.
    #[must_use]
    pub fn retriable(&self) -> bool {
        self.kind != AskErrorKind::Fenced
    }
}

/// One actor's access to the network. Cloning is cheap.
#[derive(Clone)]
pub struct Port {
    net: Arc<Inner>,
    me: ActorName,
    life: Option<(Life, u64)>,
}

impl Port {
    pub(super) fn new(net: Arc<Inner>, me: ActorName, life: Option<(Life, u64)>) -> Self {
        Self { net, me, life }
    }

    /// The name that receivers see as the sender.
    #[must_use]
    pub fn me(&self) -> ActorName {
        self.me
    }

    /// Whether this port may still send: false once the supervisor replaced its owner.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.life
            .as_ref()
            .is_none_or(|(life, incarnation)| life.is(*incarnation))
    }

    /// Whether messages to this port's own name arrive at its owner by now. A restarted actor is looked up under its
    /// name only when its factory has returned; whoever asks for replies waits for that.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.net
            .book
            .entry(self.me)
            .is_some_and(|entry| entry.is_current())
    }

    /// Sends one way. The address is looked up at delivery; a full or closed mailbox, a missing
    /// address and a lossy link drop the message and count it: who needs certainty sends again or asks.
    pub fn tell<A, M>(&self, to: ActorName, message: M)
    where
        A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        if self.is_far(to) {
            self.tell_far([to], &message);
            return;
        }
        let counters = self.net.stats.of::<M>();
        if !self.is_current() {
            count(&counters.fenced);
            return;
        }
        match self.depart(to, &counters, &message) {
            Passage::Lost => count(&counters.lost),
            Passage::Now => {
                hand_over::<A, M>(&self.net, &counters, self.me, to, message);
            }
            Passage::After(delay) => {
                let (net, from) = (self.net.clone(), self.me);
                self.net.courier.post(delay, move || {
                    hand_over::<A, M>(&net, &counters, from, to, message);
                });
            }
        }
    }

    /// Sends a copy of `message` to each name; put an `Arc` into a large one. For names in other processes it is written
    /// once.
    pub fn tell_all<A, M>(&self, to: impl IntoIterator<Item = ActorName>, message: &M)
    where
        A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
        M: Message + Clone + Send + 'static,
        M::Result: Send,
    {
        let mut far = Vec::new();
        for name in to {
            if self.is_far(name) {
                far.push(name);
            } else {
                self.tell::<A, M>(name, message.clone());
            }
        }
        self.tell_far(far, message);
    }

    /// Says who the validators are from now on, so that their processes are talked to and no others. Nothing happens
    /// where all live in one process.
    pub fn admit(&self, company: Company) {
        if let Some(far) = self.net.far.get()
            && self.is_current()
        {
            far.admit(company);
        }
    }

    /// The names of those whom the operator lets follow; nobody where all live in one process.
    #[must_use]
    pub fn guests(&self) -> Vec<ValidatorId> {
        self.net.far.get().map_or_else(Vec::new, |far| far.guests())
    }

    /// Holds against `author` that it has said what nobody honest says: in another process it is listened to more slowly
    /// from now on. True when the log has not told of it lately; always, where all live in one process.
    #[must_use]
    pub fn blame(&self, author: ActorName) -> bool {
        let far = self.net.far.get().filter(|_| self.is_far(author));
        far.is_none_or(|far| far.blame(author))
    }

    fn is_far(&self, to: ActorName) -> bool {
        self.net.far.get().is_some() && self.net.book.entry(to).is_some_and(|entry| entry.is_far())
    }

    fn tell_far<M: 'static>(&self, to: impl IntoIterator<Item = ActorName>, message: &M) {
        let Some(far) = self.net.far.get() else {
            return;
        };
        let counters = self.net.stats.of::<M>();
        let mut now = Vec::new();
        let mut written = None;
        for to in to {
            if !self.is_current() {
                count(&counters.fenced);
                continue;
            }
            let passage = self.depart(to, &counters, message);
            if passage == Passage::Lost {
                count(&counters.lost);
                continue;
            }
            let Some(frame) = written.get_or_insert_with(|| far.write(message)).clone() else {
                tracing::error!(%to, message = type_name::<M>(), "a message that does not leave its process");
                count(&counters.no_address);
                continue;
            };
            if let Passage::After(delay) = passage {
                let (far, counters) = (far.clone(), counters.clone());
                self.net.courier.post(delay, move || {
                    post(far.as_ref(), &counters, &[to], &frame);
                });
            } else {
                now.push(to);
            }
        }
        if let Some(Some(frame)) = written
            && !now.is_empty()
        {
            post(far.as_ref(), &counters, &now, &frame);
        }
    }

    /// Asks and waits for the reply, at most for `within`. Link rules hold on the way there and on
    /// the way back; what is lost shows as a timeout. Runs on any thread of any tokio runtime.
    ///
    /// # Errors
    ///
    /// [`AskError`]; after `Closed` and `Timeout` the request may have been carried out.
    pub async fn ask<A, M>(
        &self,
        to: ActorName,
        message: M,
        within: Duration,
    ) -> Result<M::Result, AskError>
    where
        A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ask_by::<A, M>(to, message, Instant::now() + within)
            .await
            .map_err(|kind| AskError { to, kind })
    }

    /// Asks, and asks again with growing pauses (10 to 500 ms) while the failure may pass, for
    /// example while the supervisor restarts the actor. Each try waits `within`, all end at
    /// `deadline`. The actor may see the request more than once.
    ///
    /// # Errors
    ///
    /// [`AskError`]: the last try's.
    pub async fn ask_until<A, M>(
        &self,
        to: ActorName,
        message: M,
        within: Duration,
        deadline: Instant,
    ) -> Result<M::Result, AskError>
    where
        A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
        M: Message + Clone + Send + 'static,
        M::Result: Send,
    {
        let mut pause = RETRY_FIRST;
        loop {
            let end = deadline.min(Instant::now() + within);
            let kind = match self.ask_by::<A, M>(to, message.clone(), end).await {
                Ok(reply) => return Ok(reply),
                Err(kind) => kind,
            };
            let error = AskError { to, kind };
            if !error.retriable() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn ask_by<A, M>(
        &self,
        to: ActorName,
        message: M,
        end: Instant,
    ) -> Result<M::Result, AskErrorKind>
    where
        A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let counters = self.net.stats.of::<M>();
        if !self.is_current() {
            count(&counters.fenced);
            return Err(AskErrorKind::Fenced);
        }
        let passage = self.depart(to, &counters, &message);
        travel(passage, &counters, end).await?;

        let Some(entry) = self.net.book.entry(to) else {
            count(&counters.no_address);
            return Err(AskErrorKind::NoAddress);
        };
        if entry.is_far() {
            count(&counters.no_address);
            return Err(AskErrorKind::NoAddress);
        }
        let Some(_place) = Place::take(&entry.asks) else {
            count(&counters.refused);
            return Err(AskErrorKind::Full);
        };
        let request = {
            let Some(addr) = entry.addr::<A>() else {
                wrong_type::<A, M>(to, &counters);
                return Err(AskErrorKind::NoAddress);
            };
            addr.send(Delivered {
                from: self.me,
                message,
            })
        };
        count(&counters.delivered);
        let reply = match timeout_at(end.into(), request).await {
            Ok(Ok(reply)) if entry.is_current() => reply,
            // What an instance answers that was replaced meanwhile does not count.
            Ok(_) => {
                count(&counters.closed);
                return Err(AskErrorKind::Closed);
            }
            Err(_) => return Err(AskErrorKind::Timeout),
        };

        let passage = self.net.links.passage(to, self.me);
        self.net.show(&TapEvent {
            from: to,
            to: self.me,
            type_name: type_name::<M::Result>(),
            reply: true,
            lost: passage == Passage::Lost,
            content: &reply,
        });
        travel(passage, &counters, end).await?;
        Ok(reply)
    }

    /// Counts a message that leaves, decides what the link does to it and shows it to the taps.
    fn depart<M: 'static>(&self, to: ActorName, counters: &TypeCounters, message: &M) -> Passage {
        count(&counters.sent);
        let passage = self.net.links.passage(self.me, to);
        self.net.show(&TapEvent {
            from: self.me,
            to,
            type_name: type_name::<M>(),
            reply: false,
            lost: passage == Passage::Lost,
            content: message,
        });
        passage
    }
}

impl core::fmt::Debug for Port {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Port")
            .field("me", &self.me)
            .field(
                "incarnation",
                &self.life.as_ref().map(|(_, incarnation)| incarnation),
            )
            .finish_non_exhaustive()
    }
}

/// Spends the time of one leg of a request. Who lost a message notices by the time limit only.
async fn travel(
    passage: Passage,
    counters: &TypeCounters,
    end: Instant,
) -> Result<(), AskErrorKind> {
    let arrival = match passage {
        Passage::Now => return Ok(()),
        Passage::After(delay) => Instant::now() + delay,
        Passage::Lost => {
            count(&counters.lost);
            end
        }
    };
    sleep_until(arrival.min(end).into()).await;
    if arrival < end {
        Ok(())
    } else {
        Err(AskErrorKind::Timeout)
    }
}

fn post(far: &dyn Far, counters: &TypeCounters, to: &[ActorName], frame: &Frame) {
    let sent = far.send_all(to, frame);
    counters.delivered.fetch_add(sent as u64, Ordering::Relaxed);
    let refused = to.len() - sent;
    counters
        .refused
        .fetch_add(refused as u64, Ordering::Relaxed);
}

/// Whether it is in the mailbox now.
pub(super) fn hand_over<A, M>(
    net: &Inner,
    counters: &TypeCounters,
    from: ActorName,
    to: ActorName,
    message: M,
) -> bool
where
    A: Actor<Context = Context<A>> + Handler<Delivered<M>>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    let Some(entry) = net.book.entry(to) else {
        count(&counters.no_address);
        return false;
    };
    let Some(addr): Option<&Addr<A>> = entry.addr() else {
        wrong_type::<A, M>(to, counters);
        return false;
    };
    match addr.try_send(Delivered { from, message }) {
        Ok(()) => {
            count(&counters.delivered);
            return true;
        }
        Err(SendError::Full(_)) => count(&counters.refused),
        Err(SendError::Closed(_)) => count(&counters.closed),
    }
    false
}

/// A mistake in the program, not in the cluster.
fn wrong_type<A, M>(to: ActorName, counters: &TypeCounters) {
    tracing::error!(%to, actor = type_name::<A>(), message = type_name::<M>(), "the actor of this name has another type");
    count(&counters.no_address);
}

/// One of the places for requests to an actor; free again when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize) -> Option<Self> {
        let place = Self(taken);
        (taken.fetch_add(1, Ordering::Relaxed) < ASKS_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
