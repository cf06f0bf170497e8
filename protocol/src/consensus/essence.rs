//! What of a node can still matter to the height that is being agreed on; for the model check, which takes two nodes
//! with the same essence for one. What is left out, and why, is in [`crate::testing::model`].

use crate::consensus::core::Consensus;
use crate::consensus::vote::{Certificate, SignedProposalId, VoteKind};
use crate::consensus::wal::Wal;
use crate::ids::BlockId;
use crate::units::View;
use std::collections::BTreeMap;

/// Views, votes, proposals and certificates of one height, without signatures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Essence {
    pub(crate) view: View,
    pub(crate) base: Option<View>,
    pub(crate) notarizations: BTreeMap<View, BlockId>,
    pub(crate) votes: BTreeMap<(View, VoteKind), BlockId>,
    pub(crate) proposals: BTreeMap<View, (BlockId, Option<View>)>,
}

impl Essence {
    fn new<'a>(
        (view, base): (View, Option<View>),
        notarizations: impl Iterator<Item = &'a Certificate>,
        votes: impl Iterator<Item = ((View, VoteKind), BlockId)>,
        proposals: &BTreeMap<View, (SignedProposalId, Option<View>)>,
    ) -> Self {
        Self {
            view,
            base,
            notarizations: notarizations.map(|cert| (cert.view, cert.id)).collect(),
            votes: votes.collect(),
            proposals: proposals
                .iter()
                .map(|(&view, (signed, base))| (view, (signed.id, *base)))
                .collect(),
        }
    }
}

impl Consensus {
    /// What this node knows and has done.
    pub(crate) fn essence(&self) -> Essence {
        let round = &self.round;
        Essence::new(
            (round.views.current(), round.views.base()),
            round.views.notarizations(),
            round
                .book
                .votes()
                .map(|vote| ((vote.view, vote.kind), vote.id)),
            &round.proposals,
        )
    }
}

impl Wal {
    /// What a node would know and have done after a restart.
    pub(crate) fn essence(&self) -> Essence {
        Essence::new(
            self.view.unwrap_or((View(1), None)),
            self.notarizations.values(),
            self.votes.iter().map(|(&place, vote)| (place, vote.id)),
            &self.proposals,
        )
    }
}
