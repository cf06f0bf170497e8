//! [`Cluster`] continued: validators that come, go and change their keys, by amendments that a quorum signs.

use super::Cluster;
use super::clock::Event;
use crate::consensus::Identity;
use crate::ids::ValidatorId;
use crate::ledger::{
    Amendment, Change, Ledger, SignedTransaction, Transaction, TxBody, ValidatorInfo,
};
use crate::testing::fixture;
use crate::units::{Millis, Sequence};
use std::sync::Arc;

/// The keys that a validator changes to are those of nobody else.
const NEXT_KEYS: u16 = 10_000;
/// How long an amendment may be adopted, in milliseconds.
const VALID_MS: u64 = 3_600_000;

impl Cluster {
    /// The state that the honest nodes have agreed on.
    #[must_use]
    pub fn agreed(&self) -> &Ledger {
        self.invariants.agreed()
    }

    /// Validators, and those who may be admitted later.
    #[must_use]
    pub fn people(&self) -> u16 {
        self.setup.n + self.setup.newcomers
    }

    /// Members of the newest set whose keys may change: honest ones, once each.
    #[must_use]
    pub fn rekeyable(&self) -> Vec<ValidatorId> {
        let newest = self.agreed().standings().newest_validators();
        let may = |id: &ValidatorId| {
            let node = &self.nodes[usize::from(id.0)];
            node.is_honest() && node.successor.is_none()
        };
        newest.ids().filter(may).collect()
    }

    /// The change that admits the next newcomer; none when all have come. It starts as a node that only follows.
    pub fn admission(&mut self, start_after_ms: u64) -> Option<Change> {
        let id = self.agreed().standings().next_number();
        if id.0 >= self.people() {
            return None;
        }
        let node = &mut self.nodes[usize::from(id.0)];
        let info = fixture::info(&node.identity, id.0);
        if !node.joined {
            node.joined = true;
            self.after(start_after_ms, Event::Restart { node: id.0 });
        }
        Some(Change::Admit(info))
    }

    /// The change that gives a validator other keys. Its node is started anew with both.
    pub fn change_of_keys(&mut self, id: ValidatorId, down_ms: u64) -> Change {
        let person = NEXT_KEYS + id.0;
        let place = usize::from(id.0);
        let next = match &self.nodes[place].successor {
            Some(next) => Arc::clone(next),
            None => Arc::new(fixture::identity(id.0, person)),
        };
        let info = fixture::info(&next, person);
        self.nodes[place].successor = Some(next);
        self.crash_place(place);
        self.after(down_ms, Event::Restart { node: id.0 });
        Change::Rekey(info)
    }

    /// Hands an amendment to every mempool, signed by a drawn quorum of the validators of the next height.
    pub fn amend(&mut self, changes: Vec<Change>) {
        let standings = self.agreed().standings();
        let (set, number) = (standings.validators().clone(), standings.amendments());
        let mut signers: Vec<_> = set.iter().filter_map(|info| self.keys_of(info)).collect();
        while signers.len() > set.quorum() {
            let place = self.dice.below(signers.len() as u64) as usize;
            signers.remove(place);
        }
        let until = Millis(self.now_ms + VALID_MS);
        let amendment = Amendment {
            number,
            valid_until_ms: until,
            changes,
        };
        let signatures: Vec<_> = signers
            .iter()
            .map(|keys| (keys.id, amendment.sign(self.chain, &keys.vote_key)))
            .collect();
        let by = &signers[self.dice.below(signers.len() as u64) as usize].vote_key;
        let content = Transaction {
            chain: self.chain,
            signer: by.verifying_key(),
            sequence: Sequence(self.sequence),
            valid_until_ms: until,
            body: TxBody::Governance(Box::new(amendment.combine(signatures))),
        };
        let transaction = content.sign(by);
        self.amendments += 1;
        let all: Vec<_> = (0..self.places()).collect();
        self.hand_in(transaction, &all);
    }

    /// The keys that a member has in some set.
    fn keys_of(&self, info: &ValidatorInfo) -> Option<Arc<Identity>> {
        let node = &self.nodes[usize::from(info.id.0)];
        let mut keys = std::iter::once(&node.identity).chain(&node.successor);
        keys.find(|keys| keys.vote_key.verifying_key() == info.vote_key)
            .cloned()
    }

    /// What a node puts into a block now: of what its mempool has, the first that is still valid. Amendments go before
    /// everything else.
    pub(super) fn choose(&self, place: usize, now: Millis, bytes: usize) -> Vec<SignedTransaction> {
        let node = &self.nodes[place];
        let Some(core) = &node.core else {
            return Vec::new();
        };
        let state = core.ledger().state();
        let of_kind = |amendments: bool| {
            let all = node.mempool.values();
            all.filter(move |transaction| governs(transaction) == amendments)
        };
        let first = usize::from(self.amendments == 0);
        // One transaction per block, so that heights go by.
        let mut chosen = [true, false][first..]
            .iter()
            .flat_map(|&amendments| of_kind(amendments))
            .map(|transaction| state.select([transaction], now, bytes));
        chosen.find(|chosen| !chosen.is_empty()).unwrap_or_default()
    }

    /// After a block: an amendment whose bearer votes no more is of no use, and no work.
    pub(super) fn drop_dead_amendments(&mut self, place: usize) {
        let now = self.clock(place);
        let node = &mut self.nodes[place];
        let Some(core) = &node.core else {
            return;
        };
        let state = core.ledger().state();
        node.mempool.retain(|_, transaction| {
            !governs(transaction) || !state.select([&*transaction], now, usize::MAX).is_empty()
        });
    }

    /// Whether this place has anything to do with the cluster yet: not a newcomer that nobody has proposed.
    #[must_use]
    pub fn has_joined(&self, place: u16) -> bool {
        self.nodes[usize::from(place)].joined
    }
}

fn governs(transaction: &SignedTransaction) -> bool {
    matches!(transaction.content.body, TxBody::Governance(_))
}
