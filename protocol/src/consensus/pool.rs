//! Evidence that waits for a block of ours (spec section 4, rule 3).

use crate::consensus::vote::Evidence;
use crate::credit::{EVIDENCE_MAX, Standings};
use crate::ids::ValidatorId;
use crate::units::Height;
use std::collections::BTreeMap;

/// Most proofs that wait.
pub(super) const WAITING_MAX: usize = 64;

/// Verified proofs, one per validator and height.
#[derive(Clone, Debug, Default)]
pub(super) struct EvidencePool(BTreeMap<(ValidatorId, Height), Evidence>);

impl EvidencePool {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the pool has a proof of this offence already, or no room for one.
    pub(super) fn is_settled(&self, evidence: &Evidence) -> bool {
        self.0.len() >= WAITING_MAX
            || self
                .0
                .contains_key(&(evidence.accused(), evidence.height()))
    }

    pub(super) fn keep(&mut self, evidence: Evidence) {
        if !self.is_settled(&evidence) {
            self.0
                .insert((evidence.accused(), evidence.height()), evidence);
        }
    }

    /// For the block after `standings`, sorted, at most [`EVIDENCE_MAX`].
    pub(super) fn for_block(&self, standings: &Standings) -> Vec<Evidence> {
        let height = standings.height().plus(1);
        let mut chosen: Vec<_> = self
            .0
            .values()
            .filter(|evidence| standings.check_offence(evidence, height).is_ok())
            .take(EVIDENCE_MAX)
            .cloned()
            .collect();
        chosen.sort();
        chosen
    }

    /// Forgets what no later block after `standings` can punish.
    pub(super) fn prune(&mut self, standings: &Standings) {
        let next = standings.height().plus(1);
        self.0
            .retain(|_, evidence| standings.check_punishable(evidence, next).is_ok());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Evidence> {
        self.0.values()
    }
}
