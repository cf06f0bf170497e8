//! The durable records of one height: what must be on disk before a message leaves (spec sections 1 and 5).
//!
//! Records are written in order and never changed. A crash may lose any number
//! of the last ones, together with everything that was to be sent after them.

use crate::consensus::message::shared;
use crate::consensus::vote::{Certificate, SignedProposalId, Vote, VoteKind};
use crate::ids::BlockId;
use crate::ledger::{Block, Ledger};
use crate::units::{Height, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One durable record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WalEntry {
    /// A view was entered. Its justification are records before this one: the notarization of `base`, and the
    /// nullifications of every view between.
    View {
        /// Height.
        height: Height,
        /// The view.
        view: View,
        /// View of the notarization that it builds on.
        base: Option<View>,
    },
    /// A notarization was seen.
    Notarization(Certificate),
    /// A nullification was seen.
    Nullification(Certificate),
    /// A block that this node votes for, proposes or needs.
    Body(#[serde(with = "shared")] Arc<Block>),
    /// This node proposed.
    Proposal {
        /// What it signed.
        signed: SignedProposalId,
        /// The base of the proposal's justification.
        base: Option<View>,
    },
    /// This node voted.
    Vote(Vote),
}

impl WalEntry {
    /// The height that the record belongs to, and with which it is deleted.
    #[must_use]
    pub fn height(&self) -> Height {
        match self {
            Self::View { height, .. } => *height,
            Self::Notarization(cert) | Self::Nullification(cert) => cert.height,
            Self::Body(block) => block.header.height,
            Self::Proposal { signed, .. } => signed.height,
            Self::Vote(vote) => vote.height,
        }
    }
}

/// Durable records that do not fit together: the store is damaged or was restored from an old copy. A node must not
/// vote on it (spec section 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    /// Records of a height that the chain has not come to.
    #[error(
        "there is a record of height {found}, but the chain ends at {head}: the chain was restored from an old copy"
    )]
    Ahead {
        /// Height of the record.
        found: Height,
        /// Height of the chain's head.
        head: Height,
    },
    /// The finalization of the head is missing or belongs to another block.
    #[error("the finalization of height {head} is missing or belongs to another height")]
    HeadCertificate {
        /// Height of the chain's head.
        head: Height,
    },
    /// A signature that does not hold.
    #[error(
        "a signature in a record of view {view} at height {height} does not hold: the record is damaged"
    )]
    Signature {
        /// Height.
        height: Height,
        /// View.
        view: View,
    },
    /// Two different votes or proposals of ours in one view.
    #[error("two different records of view {view} at height {height} contradict each other")]
    Contradiction {
        /// Height.
        height: Height,
        /// View.
        view: View,
    },
    /// A view without the certificates that justify it.
    #[error("a certificate that justifies view {view} at height {height} is missing")]
    Unjustified {
        /// Height.
        height: Height,
        /// View.
        view: View,
    },
}

/// The durable records of the height after the head, read back.
#[derive(Clone, Debug, Default)]
pub struct Wal {
    pub(super) head_certificate: Option<Certificate>,
    pub(super) view: Option<(View, Option<View>)>,
    pub(super) notarizations: BTreeMap<View, Certificate>,
    pub(super) nullifications: BTreeMap<View, Certificate>,
    pub(super) bodies: BTreeMap<BlockId, Arc<Block>>,
    pub(super) proposals: BTreeMap<View, (SignedProposalId, Option<View>)>,
    pub(super) votes: BTreeMap<(View, VoteKind), Vote>,
}

impl Wal {
    /// Reads records back, in the order of writing. Records of the head or below are left over from a crash after a
    /// commit and are skipped. `head_certificate` finalizes the head; none at height 0.
    ///
    /// # Errors
    /// [`WalError`] when the records do not fit together.
    pub fn load(
        head: Height,
        head_certificate: Option<Certificate>,
        entries: impl IntoIterator<Item = WalEntry>,
    ) -> Result<Self, WalError> {
        let fits = match &head_certificate {
            Some(cert) => cert.kind == VoteKind::Finalize && cert.height == head && head.0 > 0,
            None => head.0 == 0,
        };
        if !fits {
            return Err(WalError::HeadCertificate { head });
        }
        let mut wal = Self {
            head_certificate,
            ..Self::default()
        };
        let height = head.plus(1);
        for entry in entries {
            let found = entry.height();
            if found > height {
                return Err(WalError::Ahead { found, head });
            }
            if found == height {
                wal.add(entry)?;
            }
        }
        wal.check_justified(height)?;
        Ok(wal)
    }

    fn add(&mut self, entry: WalEntry) -> Result<(), WalError> {
        match entry {
            WalEntry::View { view, base, .. } => {
                if self.view.is_none_or(|(last, _)| last < view) {
                    self.view = Some((view, base));
                }
            }
            WalEntry::Notarization(cert) => {
                self.notarizations.insert(cert.view, cert);
            }
            WalEntry::Nullification(cert) => {
                self.nullifications.insert(cert.view, cert);
            }
            WalEntry::Body(block) => {
                self.bodies.insert(block.id(), block);
            }
            WalEntry::Proposal { signed, base } => {
                let (height, view) = (signed.height, signed.view);
                let id = signed.id;
                let before = self.proposals.insert(view, (signed, base));
                if before.is_some_and(|(before, _)| before.id != id) {
                    return Err(WalError::Contradiction { height, view });
                }
            }
            WalEntry::Vote(vote) => {
                let (height, view, id) = (vote.height, vote.view, vote.id);
                let before = self.votes.insert((view, vote.kind), vote);
                if before.is_some_and(|before| before.id != id) {
                    return Err(WalError::Contradiction { height, view });
                }
            }
        }
        Ok(())
    }

    fn check_justified(&self, height: Height) -> Result<(), WalError> {
        let Some((view, base)) = self.view else {
            return Ok(());
        };
        let based = base.is_none_or(|base| base < view && self.notarizations.contains_key(&base));
        let lowest = base.map_or(1, |base| base.0.saturating_add(1));
        let complete =
            (lowest..view.0).all(|between| self.nullifications.contains_key(&View(between)));
        if based && complete {
            Ok(())
        } else {
            Err(WalError::Unjustified { height, view })
        }
    }

    /// Checks all signatures, and that the head's finalization is the head's: a record that was damaged on disk must not
    /// count, nor be missed. `ledger` stands at the head.
    ///
    /// # Errors
    /// [`WalError::HeadCertificate`] and [`WalError::Signature`].
    pub fn verify(&self, ledger: &Ledger) -> Result<(), WalError> {
        let (chain, head, standings) = (ledger.chain(), ledger.height(), ledger.standings());
        if let Some(cert) = &self.head_certificate {
            let set = standings.validators_at(head);
            if cert.id != ledger.head_id() || cert.verify(chain, set).is_err() {
                return Err(WalError::HeadCertificate { head });
            }
        }
        let (height, set) = (head.plus(1), standings.validators());
        let votes = self.votes.values();
        let votes = votes.map(|vote| (vote.view, vote.holds(chain, set)));
        let proposals = self.proposals.values();
        let proposals = proposals.map(|(signed, _)| (signed.view, signed.holds(chain, set)));
        let certificates = self
            .notarizations
            .values()
            .chain(self.nullifications.values());
        let certificates = certificates.map(|cert| (cert.view, cert.verify(chain, set).is_ok()));
        let mut all = votes.chain(proposals).chain(certificates);
        match all.find(|(_, holds)| !holds) {
            Some((view, _)) => Err(WalError::Signature { height, view }),
            None => Ok(()),
        }
    }

    /// Whether nothing of this height was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.view.is_none()
            && self.notarizations.is_empty()
            && self.nullifications.is_empty()
            && self.bodies.is_empty()
            && self.proposals.is_empty()
            && self.votes.is_empty()
    }
}
