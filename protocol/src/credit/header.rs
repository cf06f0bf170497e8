//! Whether a header may follow the agreed state: spec section 2, `validFresh`, all that concerns the header alone.
//!
//! Transactions and their root are checked by the ledger; whether a block's
//! time lies in the future is asked by the consensus core, which has a clock.

use crate::consensus::{
    CertError, Certificate, Evidence, EvidenceError, Known, Vote, VoteKind, verify_votes,
};
use crate::credit::order::leader;
use crate::credit::score::OFFENCES_MAX;
use crate::credit::standings::Standings;
use crate::credit::{EVIDENCE_AGE, EVIDENCE_MAX, LATE};
use crate::crypto::Digest;
use crate::ids::{BlockId, ChainId, ValidatorId};
use crate::ledger::Header;
use crate::units::{Height, Millis, View};
use std::collections::BTreeSet;

/// Where the chain stands: what the next header must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height of the last block; 0 before the first.
    pub height: Height,
    /// The last block; [`BlockId::NONE`] before the first.
    pub id: BlockId,
    /// Root of the state after it.
    pub state_root: Digest,
    /// Its block time.
    pub time_ms: Millis,
}

/// Why a header cannot follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// For another ledger.
    #[error("the block is for ledger {found}, this is {expected}")]
    Chain {
        /// What it names.
        found: ChainId,
        /// This ledger.
        expected: ChainId,
    },
    /// Not the next height.
    #[error("the block has height {found}; height {expected} is next")]
    Height {
        /// Its height.
        found: Height,
        /// The next height.
        expected: Height,
    },
    /// Follows another block.
    #[error("the block follows {found}; the head is {expected}")]
    Parent {
        /// What it follows.
        found: BlockId,
        /// The head.
        expected: BlockId,
    },
    /// Follows from another state.
    #[error("the block names state root {found}; ours is {expected}")]
    StateRoot {
        /// What it names.
        found: Digest,
        /// Ours.
        expected: Digest,
    },
    /// Not later than its parent.
    #[error("the block's time {found} is not after {parent}")]
    Time {
        /// Its time.
        found: Millis,
        /// The parent's time.
        parent: Millis,
    },
    /// Written by someone who does not lead that view.
    #[error("{found} wrote the block for view {view}, which {expected:?} leads")]
    Author {
        /// Who wrote it.
        found: ValidatorId,
        /// For which view.
        view: View,
        /// Who leads it; none for view 0.
        expected: Option<ValidatorId>,
    },
    /// A finalization at height 1, or none later.
    #[error("the finalization of the parent is missing, or stands at height 1")]
    ParentCertPresence,
    /// A certificate for something else than the parent's finalization.
    #[error("the certificate does not finalize the parent")]
    ParentCertSubject,
    /// The finalization does not hold.
    #[error("the finalization of the parent does not hold")]
    ParentCert(#[from] CertError),
    /// A late vote that cannot be credited.
    #[error("late vote {index} cannot be credited")]
    LateVote {
        /// Its place in the header.
        index: usize,
        /// Why.
        #[source]
        source: LateVoteError,
    },
    /// Too much evidence.
    #[error("the header has {count} proofs of offences; at most {EVIDENCE_MAX} are allowed")]
    EvidenceCount {
        /// How much.
        count: usize,
    },
    /// Evidence that cannot be punished.
    #[error("evidence {index} cannot be punished")]
    Evidence {
        /// Its place in the header.
        index: usize,
        /// Why.
        #[source]
        source: OffenceError,
    },
    /// The beacon proof does not hold.
    #[error("the author's beacon proof does not hold")]
    Beacon,
}

/// Why a late vote cannot be credited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LateVoteError {
    /// Not a finalize vote for one of the blocks that late votes are taken for.
    #[error("not a finalize vote for one of the last blocks before the parent")]
    Subject,
    /// Already credited.
    #[error("the vote of {signer} for height {height} was credited already")]
    Credited {
        /// Whose.
        signer: ValidatorId,
        /// For which height.
        height: Height,
    },
    /// Not in ascending order of height and signer.
    #[error("out of order")]
    Order,
    /// The signature does not hold, or its signer did not vote on that height.
    #[error("the signature does not hold")]
    Signature,
}

/// Why an offence cannot be punished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffenceError {
    /// The proof proves nothing.
    #[error(transparent)]
    Proof(#[from] EvidenceError),
    /// Of a height that has not come yet, or too long ago.
    #[error("the offence is of height {height}, which is in the future or too long ago")]
    Age {
        /// Height of the offence.
        height: Height,
    },
    /// Punished already.
    #[error("{accused} was convicted already for height {height}, or is excluded for good")]
    Punished {
        /// The accused.
        accused: ValidatorId,
        /// Height of the offence.
        height: Height,
    },
    /// Not in ascending order, or twice the same validator and height.
    #[error("out of order, or the same offence twice")]
    Order,
}

impl Standings {
    /// Checks a fresh header on these standings: everything of `validFresh` but the transactions, their root and
    /// whether the time lies in the future. Cheap checks come first.
    ///
    /// # Errors
    /// The first [`HeaderError`] found.
    pub fn check_header(&self, header: &Header, head: &Head) -> Result<(), HeaderError> {
        self.check_header_knowing(header, head, &|_| false)
    }

    /// [`Self::check_header`] for somebody who has verified some of the votes in it before.
    pub(crate) fn check_header_knowing(
        &self,
        header: &Header,
        head: &Head,
        known: Known<'_>,
    ) -> Result<(), HeaderError> {
        self.check_place(header, head)?;
        // Evidence is counted before any signature is looked at.
        let count = header.evidence.len();
        if count > EVIDENCE_MAX {
            return Err(HeaderError::EvidenceCount { count });
        }
        self.check_parent_cert(header, head, known)?;
        self.check_late_votes(header, known)?;
        self.check_offences(header)?;
        self.beacon_output(header.author, &header.vrf_proof)
            .ok_or(HeaderError::Beacon)?;
        Ok(())
    }

    fn check_place(&self, header: &Header, head: &Head) -> Result<(), HeaderError> {
        let expected = self.chain;
        if header.chain != expected {
            return Err(HeaderError::Chain {
                found: header.chain,
                expected,
            });
        }
        let expected = head.height.plus(1);
        if header.height != expected {
            return Err(HeaderError::Height {
                found: header.height,
                expected,
            });
        }
        let expected = head.id;
        if header.parent_id != expected {
            return Err(HeaderError::Parent {
                found: header.parent_id,
                expected,
            });
        }
        let expected = head.state_root;
        if header.parent_state_root != expected {
            return Err(HeaderError::StateRoot {
                found: header.parent_state_root,
                expected,
            });
        }
        if header.time_ms <= head.time_ms {
            return Err(HeaderError::Time {
                found: header.time_ms,
                parent: head.time_ms,
            });
        }
        let expected = leader(&self.leader_order(), header.view);
        if expected != Some(header.author) {
            let (found, view) = (header.author, header.view);
            return Err(HeaderError::Author {
                found,
                view,
                expected,
            });
        }
        Ok(())
    }

    fn check_parent_cert(
        &self,
        header: &Header,
        head: &Head,
        known: Known<'_>,
    ) -> Result<(), HeaderError> {
        match (&header.parent_cert, head.height) {
            (None, Height(0)) => Ok(()),
            (None, _) | (Some(_), Height(0)) => Err(HeaderError::ParentCertPresence),
            (Some(cert), height) => {
                if !finalizes(cert, height, head.id) {
                    return Err(HeaderError::ParentCertSubject);
                }
                let set = self.previous_validators();
                Ok(cert.verify_knowing(self.chain, set, known)?)
            }
        }
    }

    fn check_late_votes(&self, header: &Header, known: Known<'_>) -> Result<(), HeaderError> {
        let oldest = header.height.minus(LATE);
        let mut last = None;
        for (index, vote) in header.late_votes.iter().enumerate() {
            let fault = |source| HeaderError::LateVote { index, source };
            let (signer, height) = (vote.signer, vote.height);
            // spec 1: heights h-LATE..h-2
            let in_range = height >= oldest && height.plus(2) <= header.height;
            let known = self.recent.get(&height).filter(|_| in_range);
            let Some(credited) =
                known.filter(|credited| vote.kind == VoteKind::Finalize && credited.id == vote.id)
            else {
                return Err(fault(LateVoteError::Subject));
            };
            if credited.validators.contains(&signer) {
                return Err(fault(LateVoteError::Credited { signer, height }));
            }
            if last.is_some_and(|last| last >= (height, signer)) {
                return Err(fault(LateVoteError::Order));
            }
            last = Some((height, signer));
            // Strictly ascending members only: at most n votes for each of at most LATE heights.
            if !self.validators_at(height).contains(signer) {
                return Err(fault(LateVoteError::Signature));
            }
        }
        let mut before = 0;
        for votes in header.late_votes.chunk_by(|a, b| a.height == b.height) {
            let Some(height) = votes.first().map(|vote| vote.height) else {
                continue;
            };
            let (places, unknown): (Vec<usize>, Vec<Vote>) = votes
                .iter()
                .enumerate()
                .filter(|(_, vote)| !known(vote))
                .map(|(place, vote)| (place, vote.clone()))
                .unzip();
            let verdicts = verify_votes(self.chain, self.validators_at(height), &unknown);
            let bad = places.iter().zip(verdicts).find(|(_, holds)| !holds);
            if let Some((bad, _)) = bad {
                let index = bad.saturating_add(before);
                return Err(HeaderError::LateVote {
                    index,
                    source: LateVoteError::Signature,
                });
            }
            before = before.saturating_add(votes.len());
        }
        Ok(())
    }

    fn check_offences(&self, header: &Header) -> Result<(), HeaderError> {
        let mut accused = BTreeSet::new();
        let mut last = None;
        for (index, evidence) in header.evidence.iter().enumerate() {
            let fault = |source| HeaderError::Evidence { index, source };
            let fresh = accused.insert((evidence.accused(), evidence.height()));
            if !fresh || last.is_some_and(|last| last >= evidence) {
                return Err(fault(OffenceError::Order));
            }
            last = Some(evidence);
            self.check_offence(evidence, header.height).map_err(fault)?;
        }
        Ok(())
    }

    /// Whether the block at `height` may punish this offence: proved, not too old, not punished before. One
    /// conviction per validator and height, and none after the third, which excludes for good.
    ///
    /// # Errors
    /// [`OffenceError`] with the reason.
    pub fn check_offence(&self, evidence: &Evidence, height: Height) -> Result<(), OffenceError> {
        self.check_punishable(evidence, height)?;
        Ok(evidence.verify(self.chain, self.validators_at(evidence.height()))?)
    }

    /// All of [`Self::check_offence`] but the proof itself.
    pub(crate) fn check_punishable(
        &self,
        evidence: &Evidence,
        height: Height,
    ) -> Result<(), OffenceError> {
        self.may_punish(evidence.accused(), evidence.height(), height)
    }

    /// Whether the block at `height` may punish `accused` for something done at the height `offence`.
    pub(crate) fn may_punish(
        &self,
        accused: ValidatorId,
        offence: Height,
        height: Height,
    ) -> Result<(), OffenceError> {
        if offence > height || offence.plus(EVIDENCE_AGE) < height || offence == Height(0) {
            return Err(OffenceError::Age { height: offence });
        }
        let record = self.records.get(&accused);
        if record.is_some_and(|record| {
            record.offences >= OFFENCES_MAX
                || offence <= record.pardoned
                || record.punished.contains(&offence)
        }) {
            return Err(OffenceError::Punished {
                accused,
                height: offence,
            });
        }
        Ok(())
    }
}

/// Whether `cert` claims to finalize block `id` at `height`.
fn finalizes(cert: &Certificate, height: Height, id: BlockId) -> bool {
    cert.kind == VoteKind::Finalize && cert.height == height && cert.id == id
}
