//! The votes that this node has signed on one height, and the rule that keeps it honest (spec section 2, `sign`).
//!
//! A pure table. Making a vote durable and sending it is in `transition`.

use crate::consensus::vote::{Vote, VoteKind};
use crate::ids::BlockId;
use crate::units::View;
use std::collections::BTreeMap;

/// What may be done about a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// Nothing stands against signing it.
    Sign,
    /// It was signed before.
    Signed(Vote),
    /// Another vote stands against it: it must never be signed.
    Never,
}

/// Own votes by view and kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Book(BTreeMap<(View, VoteKind), Vote>);

impl Book {
    /// The votes read back after a restart.
    pub(super) fn restore(votes: BTreeMap<(View, VoteKind), Vote>) -> Self {
        Self(votes)
    }

    /// Whether a vote may be signed, as far as other votes of the same view are concerned.
    pub(super) fn permit(&self, kind: VoteKind, view: View, id: BlockId) -> Permit {
        match self.permit_once(kind, view, id) {
            Permit::Sign if self.is_opposed(kind, view) => Permit::Never,
            permit => permit,
        }
    }

    /// spec 2, sign: a kind is signed once per view.
    pub(super) fn permit_once(&self, kind: VoteKind, view: View, id: BlockId) -> Permit {
        match self.0.get(&(view, kind)) {
            None => Permit::Sign,
            Some(vote) if vote.id == id => Permit::Signed(vote.clone()),
            Some(_) => Permit::Never,
        }
    }

    /// spec 2, sign: never both NUL and FIN in one view.
    fn is_opposed(&self, kind: VoteKind, view: View) -> bool {
        let opposite = match kind {
            VoteKind::Notarize => None,
            VoteKind::Nullify => Some(VoteKind::Finalize),
            VoteKind::Finalize => Some(VoteKind::Nullify),
        };
        opposite.is_some_and(|opposite| self.0.contains_key(&(view, opposite)))
    }

    pub(super) fn record(&mut self, vote: Vote) {
        self.0.entry((vote.view, vote.kind)).or_insert(vote);
    }

    pub(super) fn has(&self, view: View, kind: VoteKind) -> bool {
        self.0.contains_key(&(view, kind))
    }

    /// The latest votes, oldest first, at most `count`.
    pub(super) fn latest(&self, count: usize) -> Vec<Vote> {
        let mut votes: Vec<_> = self.0.values().rev().take(count).cloned().collect();
        votes.reverse();
        votes
    }

    pub(super) fn votes(&self) -> impl Iterator<Item = &Vote> {
        self.0.values()
    }
}
