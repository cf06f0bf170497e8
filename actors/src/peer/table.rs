//! Who may connect, who each of them is, and what it may say.
//!
//! Two lists make it up. The ledger's state says who the members are, and who has been one until lately
//! ([`Company`](kithkin_protocol::credit::Company)); the operator says who else may follow ([`Guest`]). A guest has a name of its own on
//! this node, a number that no member has, so that nothing it says is ever taken for a member's word.

use super::outbox::Outbox;
use super::{PeerId, peer_id};
use kithkin_protocol::credit::Company;
use kithkin_protocol::crypto::VerifyingKey;
use kithkin_protocol::ids::ValidatorId;
use libp2p::Multiaddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most guests of one node.
pub const GUESTS_MAX: usize = 64;

/// Somebody whom the operator lets in beside the members: it may ask for blocks and snapshots, and be asked for them.
/// What it hands over proves itself; votes, proposals and transactions of it are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Who it is on the network.
    pub network_key: VerifyingKey,
    /// Where it can be reached; none for one that calls.
    pub addresses: Vec<Multiaddr>,
}

/// What a peer may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Member,
    /// What belongs to following the chain.
    Guest,
}

/// Who a peer is on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: ValidatorId,
    pub(super) role: Role,
}

/// Who this process talks to.
pub(super) struct Table {
    me: ValidatorId,
    own: PeerId,
    company: Company,
    guests: Vec<Guest>,
    /// The numbers that guests have here, for as long as they are guests.
    aliases: BTreeMap<PeerId, ValidatorId>,
    peers: BTreeMap<PeerId, (Known, Arc<Outbox>)>,
    /// The queues of each name: more than one while a validator changes its keys.
    by_name: BTreeMap<ValidatorId, Vec<Arc<Outbox>>>,
    /// Where members can be reached.
    pub(super) addresses: BTreeMap<ValidatorId, Vec<Multiaddr>>,
}

/// What has changed.
pub(super) struct Changes {
    /// No more.
    pub(super) gone: Vec<PeerId>,
    /// From now on.
    pub(super) new: Vec<(PeerId, Arc<Outbox>)>,
    /// Names that nobody has any more, and names that somebody has now.
    pub(super) names_gone: Vec<ValidatorId>,
    pub(super) names_new: Vec<ValidatorId>,
}

impl Table {
    pub(super) fn new(
        me: ValidatorId,
        own: PeerId,
        addresses: BTreeMap<ValidatorId, Vec<Multiaddr>>,
    ) -> Self {
        Self {
            me,
            own,
            company: Company {
                members: Vec::new(),
                former: Vec::new(),
                until: None,
            },
            guests: Vec::new(),
            aliases: BTreeMap::new(),
            peers: BTreeMap::new(),
            by_name: BTreeMap::new(),
            addresses,
        }
    }

    pub(super) fn known(&self, peer: &PeerId) -> Option<Known> {
        self.peers.get(peer).map(|(known, _)| *known)
    }

    /// The queues to whoever has this name.
    pub(super) fn outboxes(&self, id: ValidatorId) -> &[Arc<Outbox>] {
        self.by_name.get(&id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Known, &Arc<Outbox>)> {
        self.peers.values().map(|(known, outbox)| (*known, outbox))
    }

    /// The names of the operator's guests that are no members.
    pub(super) fn guests(&self) -> Vec<ValidatorId> {
        let is_guest = |id: &ValidatorId| self.by_name.contains_key(id);
        self.aliases.values().copied().filter(is_guest).collect()
    }

    /// Where a peer may be reached.
    pub(super) fn addresses_of(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let known = self.known(peer);
        let mut all = known
            .and_then(|known| self.addresses.get(&known.id))
            .cloned()
            .unwrap_or_default();
        for guest in &self.guests {
            if peer_id(&guest.network_key) == Some(*peer) {
                all.extend(guest.addresses.iter().cloned());
            }
        }
        all
    }

    pub(super) fn set_company(&mut self, company: Company) -> Option<Changes> {
        self.company = company;
        self.rebuild()
    }

    pub(super) fn set_guests(&mut self, guests: Vec<Guest>) -> Option<Changes> {
        self.guests = guests;
        self.guests.truncate(GUESTS_MAX);
        self.rebuild()
    }

    /// Who is wanted: a member that is somebody's guest as well is a member.
    fn wanted(&mut self) -> BTreeMap<PeerId, Known> {
        let mut wanted = BTreeMap::new();
        let company = &self.company;
        let lists = [
            (&company.former, Role::Guest),
            (&company.members, Role::Member),
        ];
        for (list, role) in lists {
            for info in list.iter().filter(|info| info.id != self.me) {
                let id = info.id;
                match peer_id(&info.network_key) {
                    Some(peer) => drop(wanted.insert(peer, Known { id, role })),
                    None => {
                        tracing::error!(validator = %id, "its network key is none: it cannot be reached");
                    }
                }
            }
        }
        wanted.remove(&self.own);
        let mut taken: BTreeSet<ValidatorId> = wanted.values().map(|known| known.id).collect();
        taken.insert(self.me);
        let before = std::mem::take(&mut self.aliases);
        let guests = self
            .guests
            .iter()
            .filter_map(|guest| peer_id(&guest.network_key));
        let guests: BTreeSet<PeerId> = guests.filter(|peer| *peer != self.own).collect();
        taken.extend(guests.iter().filter_map(|peer| before.get(peer)));
        for peer in guests {
            if wanted.contains_key(&peer) {
                continue;
            }
            // Numbers are given in ascending order, so the highest ones are free.
            let kept = before.get(&peer).copied().filter(|id| {
                !self
                    .company
                    .members
                    .iter()
                    .chain(&self.company.former)
                    .any(|info| info.id == *id)
            });
            let free = || {
                (0..=u16::MAX)
                    .rev()
                    .map(ValidatorId)
                    .find(|id| !taken.contains(id))
            };
            let Some(id) = kept.or_else(free) else {
                continue;
            };
            taken.insert(id);
            self.aliases.insert(peer, id);
            let role = Role::Guest;
            wanted.insert(peer, Known { id, role });
        }
        wanted
    }

    fn rebuild(&mut self) -> Option<Changes> {
        let wanted = self.wanted();
        if self.peers.len() == wanted.len()
            && wanted
                .iter()
                .all(|(peer, known)| self.known(peer) == Some(*known))
        {
            return None;
        }
        let mut gone = Vec::new();
        self.peers.retain(|peer, (_, outbox)| {
            let stays = wanted.contains_key(peer);
            if !stays {
                outbox.close();
                gone.push(*peer);
            }
            stays
        });
        let mut new = Vec::new();
        for (peer, known) in wanted {
            let entry = self.peers.entry(peer).or_insert_with(|| {
                let outbox = Arc::new(Outbox::default());
                new.push((peer, outbox.clone()));
                (known, outbox)
            });
            entry.0 = known;
        }
        let before = std::mem::take(&mut self.by_name);
        for (known, outbox) in self.peers.values() {
            let queues = self.by_name.entry(known.id).or_default();
            queues.push(outbox.clone());
        }
        let lacks = |map: &BTreeMap<ValidatorId, _>, id: &&ValidatorId| !map.contains_key(*id);
        let names_gone = before.keys().filter(|id| lacks(&self.by_name, id));
        let names_new = self.by_name.keys().filter(|id| lacks(&before, id));
        Some(Changes {
            gone,
            new,
            names_gone: names_gone.copied().collect(),
            names_new: names_new.copied().collect(),
        })
    }
}
