//! Proposals of one height: which signatures of masters were seen, and which proposals wait for something.
//!
//! Bounded: two signatures per view within reach (the second convicts the
//! master), and a few whole proposals.

use crate::consensus::VIEWS_AHEAD_MAX;
use crate::consensus::vote::{Evidence, SignedProposalId};
use crate::crypto::Signature;
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::Block;
use crate::units::View;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most proposals that wait: for their view, a certificate, or their time. Up to 4 MiB each.
pub(super) const PENDING_MAX: usize = 4;

/// Verified signatures of masters under proposals, by view and block.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(BTreeMap<View, BTreeMap<BlockId, SignedProposalId>>);

impl Seen {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    pub(super) fn contains(&self, view: View, id: BlockId) -> bool {
        self.0.get(&view).is_some_and(|seen| seen.contains_key(&id))
    }

    /// Whether one more signature of this view is of use: the second convicts, a third adds nothing.
    pub(super) fn wants(&self, view: View, id: BlockId) -> bool {
        self.0
            .get(&view)
            .is_none_or(|seen| seen.len() < 2 && !seen.contains_key(&id))
    }

    /// Notes a verified signature; two for different blocks in one view are an offence (spec section 2).
    pub(super) fn note(&mut self, signed: SignedProposalId) -> Option<Evidence> {
        if !self.wants(signed.view, signed.id) {
            return None;
        }
        let seen = self.0.entry(signed.view).or_default();
        let evidence = seen
            .values()
            .find_map(|other| Evidence::from_proposals(other.clone(), signed.clone()));
        seen.insert(signed.id, signed);
        evidence
    }

    /// The master's signature under a block, to go along with a vote for it.
    pub(super) fn signature(&self, view: View, id: BlockId) -> Option<Signature> {
        Some(self.0.get(&view)?.get(&id)?.signature)
    }

    /// All signatures.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SignedProposalId> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// Forgets signatures of views beyond `newest`.
    pub(super) fn limit(&mut self, newest: View) {
        self.0.retain(|&view, _| view <= newest);
    }

    pub(super) fn prune(&mut self, current: View) {
        let oldest = current.minus(VIEWS_AHEAD_MAX);
        self.0.retain(|&view, _| view >= oldest);
    }
}

/// A proposal with a good signature that cannot be judged yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) leader: ValidatorId,
    pub(super) id: BlockId,
    pub(super) block: Arc<Block>,
    /// The base that its master claims.
    pub(super) base: Option<View>,
}

/// Proposals that wait, one per view.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(BTreeMap<View, Waiting>);

impl Pending {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps a proposal. The first of a view stays, unless the same block comes again with another justification.
    /// When there are too many the farthest view goes.
    pub(super) fn put(&mut self, view: View, waiting: Waiting) {
        if self
            .0
            .get(&view)
            .is_some_and(|present| present.id != waiting.id)
        {
            return;
        }
        self.0.insert(view, waiting);
        while self.0.len() > PENDING_MAX {
            self.0.pop_last();
        }
    }

    pub(super) fn get(&self, view: View) -> Option<&Waiting> {
        self.0.get(&view)
    }

    pub(super) fn remove(&mut self, view: View) {
        self.0.remove(&view);
    }

    pub(super) fn prune(&mut self, current: View) {
        self.0.retain(|&view, _| view >= current);
    }
}
