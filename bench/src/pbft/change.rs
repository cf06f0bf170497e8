//! View changes: "I have left all views below this one, and this is the highest certificate that I prepared".

use kithkin_protocol::consensus::{Certificate, Justification, VoteKind};
use kithkin_protocol::credit::ValidatorSet;
use kithkin_protocol::crypto::{Signature, SigningKey};
use kithkin_protocol::ids::{BlockId, ChainId, ValidatorId};
use kithkin_protocol::units::{Height, View};
use std::collections::BTreeMap;

/// One validator's signed view change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// The view that it wants.
    pub to: View,
    /// View and block of its highest prepared certificate.
    pub prepared: Option<(View, BlockId)>,
    /// Who.
    pub signer: ValidatorId,
    /// Over [`Self::message`].
    pub signature: Signature,
}

impl ViewChange {
    fn message(
        chain: ChainId,
        height: Height,
        to: View,
        prepared: Option<(View, BlockId)>,
    ) -> Vec<u8> {
        let (view, id) = prepared.unwrap_or((View(0), BlockId::NONE));
        let mut message = b"kithkin-bench/pbft/view-change/1".to_vec();
        message.extend_from_slice(&chain.0);
        for number in [height.0, to.0, view.0] {
            message.extend_from_slice(&number.to_be_bytes());
        }
        message.extend_from_slice(&id.0);
        message
    }

    /// Signs one.
    #[must_use]
    pub fn sign(
        chain: ChainId,
        height: Height,
        to: View,
        prepared: Option<(View, BlockId)>,
        signer: ValidatorId,
        key: &SigningKey,
    ) -> Self {
        let signature = key.sign(&Self::message(chain, height, to, prepared));
        Self {
            to,
            prepared,
            signer,
            signature,
        }
    }

    /// Whether a member of `set` signed it.
    #[must_use]
    pub fn holds(&self, chain: ChainId, height: Height, set: &ValidatorSet) -> bool {
        let message = Self::message(chain, height, self.to, self.prepared);
        set.get(self.signer)
            .is_some_and(|info| info.vote_key.verify(&message, &self.signature).is_ok())
    }

    /// As it travels: in the shape of a certificate with one vote, whose view and block are the prepared ones.
    #[must_use]
    pub fn carried(&self, height: Height) -> Certificate {
        let (view, id) = self.prepared.unwrap_or((View(0), BlockId::NONE));
        Certificate {
            kind: VoteKind::Nullify,
            height,
            view,
            id,
            votes: vec![(self.signer, self.signature)],
        }
    }

    /// Reads one that travelled; none when it is not in that shape.
    #[must_use]
    pub fn read(carried: &Certificate, to: View) -> Option<Self> {
        let &[(signer, signature)] = carried.votes.as_slice() else {
            return None;
        };
        let prepared = (carried.view.0 > 0).then_some((carried.view, carried.id));
        Some(Self {
            to,
            prepared,
            signer,
            signature,
        })
    }
}

/// What a new primary must propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// A block of its own.
    Fresh,
    /// The block that somebody may have committed.
    Again(BlockId),
}

/// What a new-view for `to` obliges its primary to; none when it proves nothing: fewer than a quorum of distinct
/// signed view-changes, or the highest certificate missing.
#[must_use]
pub(super) fn duty(
    new_view: &Justification,
    to: View,
    chain: ChainId,
    height: Height,
    set: &ValidatorSet,
) -> Option<Duty> {
    let mut changes = BTreeMap::new();
    if new_view.nullifications.len() > set.n() {
        return None;
    }
    for carried in &new_view.nullifications {
        let change = ViewChange::read(carried, to)?;
        if carried.height != height || !change.holds(chain, height, set) {
            return None;
        }
        changes.insert(change.signer, change);
    }
    if changes.len() < set.quorum() {
        return None;
    }
    let highest = changes.values().filter_map(|change| change.prepared).max();
    let Some((view, id)) = highest else {
        return Some(Duty::Fresh);
    };
    let cert = new_view.base.as_ref()?;
    let fits = cert.view == view && cert.id == id && view < to;
    (fits && is_prepared(cert, chain, height, set)).then_some(Duty::Again(id))
}

/// Whether a certificate proves that its block was prepared at `height`.
#[must_use]
pub(super) fn is_prepared(
    cert: &Certificate,
    chain: ChainId,
    height: Height,
    set: &ValidatorSet,
) -> bool {
    cert.kind == VoteKind::Notarize && cert.height == height && cert.verify(chain, set).is_ok()
}
