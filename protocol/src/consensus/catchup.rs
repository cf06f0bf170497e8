//! Whom to ask when others are ahead, whom to answer how often, and what to keep of messages from the future.
//!
//! A peer's claim to be ahead is not believed, only tried: finalizations prove
//! themselves. A peer that does not deliver loses its claim, and the next one is
//! asked. Bounded: one entry per peer, [`PEERS_MAX`] peers, a few messages each.

use crate::consensus::message::Message;
use crate::ids::ValidatorId;
use crate::ledger::VALIDATORS_MAX;
use crate::units::{Height, Millis};
use std::collections::{BTreeMap, VecDeque};

/// Most peers that anything is remembered of.
pub(super) const PEERS_MAX: usize = VALIDATORS_MAX;
/// Most messages of one peer kept for the next height.
pub(super) const FUTURE_PER_PEER: usize = 16;
/// Most proposals kept for the next height, over all peers. Up to 4 MiB each.
const FUTURE_PROPOSALS_MAX: usize = 8;

/// Who says to be ahead, and who was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct CatchUp {
    claims: BTreeMap<ValidatorId, Height>,
    asked: Option<ValidatorId>,
    last: Option<ValidatorId>,
}

impl CatchUp {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    /// A message of `height` came from `peer`, which therefore says to have finalized all heights below.
    pub(super) fn claim(&mut self, peer: ValidatorId, height: Height) {
        if self.claims.len() < PEERS_MAX || self.claims.contains_key(&peer) {
            let claim = self.claims.entry(peer).or_insert(height);
            *claim = height.max(*claim);
        }
    }

    /// Whether somebody is waited for.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether `peer` is waited for.
    pub(super) fn was_asked(&self, peer: ValidatorId) -> bool {
        self.asked == Some(peer)
    }

    /// The next peer to ask for `height`, in turn; none when nobody claims to have it.
    pub(super) fn next(&mut self, height: Height) -> Option<ValidatorId> {
        self.claims.retain(|_, &mut claim| claim > height);
        let after = self.claims.keys().find(|&&peer| Some(peer) > self.last);
        let peer = *after.or_else(|| self.claims.keys().next())?;
        self.asked = Some(peer);
        self.last = Some(peer);
        Some(peer)
    }

    /// The peer that was asked did not deliver, or delivered rubbish.
    pub(super) fn failed(&mut self, peer: ValidatorId) {
        self.claims.remove(&peer);
        if self.asked == Some(peer) {
            self.asked = None;
        }
    }

    /// Whoever was asked, and asked no longer.
    pub(super) fn take_asked(&mut self) -> Option<ValidatorId> {
        self.asked.take()
    }

    /// `peer` delivered and is asked for more.
    pub(super) fn asked_again(&mut self, peer: ValidatorId) {
        self.asked = Some(peer);
    }
}

/// What is answered or repeated only so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// Finalized blocks to a peer that votes on an old height.
    Committed,
    /// Finalized blocks to a peer that asks for them.
    AskedCommitted,
    /// A page of certificates to a peer in an old view.
    Page,
    /// Our own view to a peer in a later one.
    AskPage,
    /// A block body.
    Body,
    /// Own votes of a peer that has just started.
    Recall,
    /// A stored vote, when the same proposal comes again.
    Resend,
}

impl Service {
    /// The shortest pause between two services to one peer, in milliseconds.
    fn pause_ms(self) -> u64 {
        match self {
            // Somebody who catches up asks again as soon as it has executed the last answer; refused, it would wait for
            // its patience to end.
            Self::AskedCommitted => 2,
            // spec 2, on Vote: 1 per peer per 100 ms
            Self::Committed | Self::Page | Self::AskPage | Self::Body | Self::Resend => 100,
            Self::Recall => 100,
        }
    }
}

/// Most services that are remembered.
const SERVED_MAX: usize = PEERS_MAX * 7;

/// When each peer was last served.
#[derive(Clone, Debug, Default)]
pub(super) struct Limiter(BTreeMap<(ValidatorId, Service), Millis>);

impl Limiter {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `peer` may be served now; notes it if so.
    pub(super) fn allow(&mut self, peer: ValidatorId, service: Service, now: Millis) -> bool {
        let last = self.0.get(&(peer, service)).copied();
        // A clock that was set back must not silence a service.
        let allowed =
            last.is_none_or(|last| now < last || now.minus(last.0).0 >= service.pause_ms());
        if last.is_none() && self.0.len() >= SERVED_MAX {
            // Of those whose pause is over nothing needs to be known; some of them may be validators no more.
            self.0.retain(|(_, service), &mut last| {
                last <= now && now.minus(last.0).0 < service.pause_ms()
            });
        }
        let room = last.is_some() || self.0.len() < SERVED_MAX;
        if allowed && room {
            self.0.insert((peer, service), now);
        }
        allowed && room
    }
}

/// Messages of the next height, kept until the present one is finalized.
#[derive(Clone, Debug, Default)]
pub(super) struct Future {
    height: Height,
    messages: BTreeMap<ValidatorId, VecDeque<Message>>,
    proposals: usize,
}

impl Future {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.messages.values().map(VecDeque::len).sum()
    }

    /// Keeps a message of `height`; what does not fit is dropped, and its sender will repeat it.
    pub(super) fn keep(&mut self, height: Height, from: ValidatorId, message: Message) {
        if self.height != height {
            *self = Self {
                height,
                ..Self::default()
            };
        }
        if self.messages.len() >= PEERS_MAX && !self.messages.contains_key(&from) {
            return;
        }
        let queue = self.messages.entry(from).or_default();
        let is_proposal = matches!(message, Message::Proposal(_));
        let one_already = queue
            .iter()
            .any(|kept| matches!(kept, Message::Proposal(_)));
        let full = queue.len() >= FUTURE_PER_PEER;
        if full || (is_proposal && (one_already || self.proposals >= FUTURE_PROPOSALS_MAX)) {
            return;
        }
        self.proposals = self.proposals.saturating_add(usize::from(is_proposal));
        queue.push_back(message);
    }

    /// One kept message of `height`, if there is any; of lower heights nothing is kept.
    pub(super) fn take(&mut self, height: Height) -> Option<(ValidatorId, Message)> {
        if self.height != height {
            return None;
        }
        let (&from, queue) = self.messages.iter_mut().next()?;
        let message = queue.pop_front();
        if queue.is_empty() {
            self.messages.remove(&from);
        }
        let message = message?;
        self.proposals = self
            .proposals
            .saturating_sub(usize::from(matches!(message, Message::Proposal(_))));
        Some((from, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Validators come and go, and numbers are never given twice.
    #[test]
    fn who_was_served_long_ago_takes_up_no_room() {
        let mut limiter = Limiter::default();
        let all = u16::try_from(SERVED_MAX).unwrap();
        for id in (0..all).map(ValidatorId) {
            assert!(limiter.allow(id, Service::Body, Millis(1_000)));
        }
        assert!(!limiter.allow(ValidatorId(all), Service::Body, Millis(1_099)));
        assert!(limiter.allow(ValidatorId(all), Service::Body, Millis(1_100)));
        assert_eq!(limiter.len(), 1);
        assert!(!limiter.allow(ValidatorId(all), Service::Body, Millis(1_101)));
    }
}
