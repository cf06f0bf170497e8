//! [`Cluster`] continued: disks that sync late, and the network behind them.

use super::Cluster;
use super::clock::Event;
use crate::consensus::Message;
use crate::ids::ValidatorId;
use crate::testing::disk::Record;
use crate::testing::trace::fingerprint;
use crate::wire;
use std::sync::Arc;

impl Cluster {
    pub(super) fn append(&mut self, place: usize, record: Record) {
        let node = &mut self.nodes[place];
        node.disk.append(record);
        node.appended += 1;
        if node.sync_ms_max == 0 && node.disk.waiting().len() == 1 {
            self.on_durable(place, 1);
            let node = &mut self.nodes[place];
            node.disk.sync(1);
            node.durable = node.appended;
        }
    }

    /// Starts a sync of everything that was written, unless one runs.
    pub(super) fn sync(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.core.is_none() || node.syncing.is_some() || node.disk.is_synced() {
            return;
        }
        node.syncing = Some(node.appended);
        let (life, most) = (node.life, node.sync_ms_max);
        let delay = self.dice.between(0, most);
        let node = u16::try_from(place).unwrap();
        self.after(delay, Event::Synced { node, life });
    }

    pub(super) fn on_synced(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let Some(reached) = node.syncing.take() else {
            return;
        };
        let count = usize::try_from(reached - node.durable).unwrap();
        self.on_durable(place, count);
        let node = &mut self.nodes[place];
        node.disk.sync(count);
        node.durable = reached;
        while let Some((_, to, message)) = {
            let node = &mut self.nodes[place];
            let free = node
                .outbox
                .front()
                .is_some_and(|(ticket, ..)| *ticket <= node.durable);
            free.then(|| node.outbox.pop_front()).flatten()
        } {
            self.leave(place, to, &message);
        }
        self.sync(place);
    }

    /// Sends a message once everything that was written before it is durable.
    pub(super) fn dispatch(
        &mut self,
        place: usize,
        to: Option<ValidatorId>,
        message: Arc<Message>,
    ) {
        let node = &mut self.nodes[place];
        if node.disk.is_synced() && node.outbox.is_empty() {
            self.leave(place, to, &message);
        } else {
            node.outbox.push_back((node.appended, to, message));
        }
    }

    pub(super) fn leave(&mut self, place: usize, to: Option<ValidatorId>, message: &Arc<Message>) {
        let node = &self.nodes[place];
        if node.is_honest() {
            self.invariants
                .on_leaving(node.identity.id, &node.disk, message);
        }
        match to {
            Some(to) => self.transmit(place, to, message),
            None => {
                for peer in 0..self.peers[place].len() {
                    let to = self.peers[place][peer];
                    self.transmit(place, to, message);
                }
            }
        }
    }

    pub(super) fn transmit(&mut self, place: usize, to: ValidatorId, message: &Arc<Message>) {
        self.messages += 1;
        let from = self.nodes[place].identity.id;
        let Some(target) = self.route(place, to) else {
            return;
        };
        if !self.nodes[target].joined {
            return;
        }
        let network = self.network;
        let lost = self.dice.percent(network.loss_percent);
        if lost || (!self.cut.is_empty() && self.cut.contains(&(from.0, to.0))) {
            return;
        }
        let fingerprint = fingerprint(message);
        let copies = 1 + u64::from(self.dice.percent(network.duplicate_percent));
        for _ in 0..copies {
            let mut delay = self
                .dice
                .between(network.delay_min_ms, network.delay_max_ms);
            if self.dice.percent(network.spike_percent) {
                delay += network.spike_ms;
            }
            let message = if self.setup.through_wire {
                Arc::new(wire::decode(&wire::encode(message.as_ref())).unwrap())
            } else {
                Arc::clone(message)
            };
            let to = u16::try_from(target).unwrap();
            let event = Event::Deliver {
                from,
                to,
                message,
                fingerprint,
            };
            self.after(delay, event);
        }
    }

    /// Which instance of `to` a message reaches; none when a twin's instance does not talk to it.
    pub(super) fn route(&self, place: usize, to: ValidatorId) -> Option<usize> {
        if self.twins.is_empty() {
            return Some(usize::from(to.0));
        }
        let from = self.nodes[place].identity.id;
        let second = |id: ValidatorId| self.twins.iter().find(|(twin, _)| *twin == id);
        if second(from).is_some() && (place >= self.sides.len()) != self.sides[usize::from(to.0)] {
            return None;
        }
        match second(to) {
            Some(&(_, instance)) if self.sides[usize::from(from.0)] => Some(instance),
            _ => Some(usize::from(to.0)),
        }
    }
}
