//! The readiness drill (opening.md section 7): a kin shows that its share is still there and still works.
//!
//! The point to answer for is hashed from the seed of a finalized block, and made
//! in here. Nothing takes one from outside: a kin that multiplied its share with
//! a point of somebody's choice would decrypt for whoever asked.
//!
//! When drills are due, and that the seed is a finalized block's, is for the
//! caller to see to.

use super::dleq::Statement;
use super::{Commitments, DleqProof, Share, SharingError};
use crate::crypto::group::{GroupError, Point, PointBytes, hash_to_group};
use crate::crypto::{Digest, HashWriter};
use crate::ids::{ChainId, PatientId};
use crate::units::{Epoch, ShareIndex, Tier};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// What a drill is about. An answer for one drill serves no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrillContext {
    /// The ledger.
    pub chain: ChainId,
    /// Whose shares.
    pub patient: PatientId,
    /// Of which key.
    pub tier: Tier,
    /// Of which generation.
    pub epoch: Epoch,
    /// The seed of the finalized block that calls the drill: nobody knew it before.
    pub seed: Digest,
}

/// "My share is here": `s_i C` with a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillAnswer {
    /// Whose share.
    pub index: ShareIndex,
    /// `s_i C`; not decoded yet.
    pub point: PointBytes,
    /// Shows that the committed share made it.
    pub proof: DleqProof,
}

/// An answer that was refused, and whose it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("drill answer of share {index}: {fault}")]
pub struct BadAnswer {
    /// The share in question.
    pub index: ShareIndex,
    /// What is wrong.
    pub fault: AnswerFault,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// A point or scalar that is not canonical, or the identity.
    #[error("{0}")]
    Encoding(#[from] GroupError),
    /// The proof does not hold: wrong share, or made for another drill.
    #[error("the proof does not hold for this drill")]
    Proof,
}

impl DrillContext {
    /// Answers with `share`.
    ///
    /// # Errors
    /// [`SharingError::WrongShare`] when it does not fit the commitments of this epoch: it is lost or stale.
    pub fn answer(
        &self,
        share: &Share,
        commitments: &Commitments,
        rng: &mut impl CryptoRng,
    ) -> Result<DrillAnswer, SharingError> {
        let index = share.index();
        share.verify(commitments)?;
        let scope = self.scope(index, commitments).finish();
        let seed = |point: &PointBytes| self.transcript(index, commitments, point);
        let (point, proof) =
            DleqProof::with_product(&scope, &self.point(), share.scalar(), seed, rng);
        Ok(DrillAnswer {
            index,
            point,
            proof,
        })
    }

    /// Checks an answer. The caller checks that the index is one of the roster's and whose it is.
    ///
    /// # Errors
    /// [`BadAnswer`].
    pub fn verify(&self, answer: &DrillAnswer, commitments: &Commitments) -> Result<(), BadAnswer> {
        let index = answer.index;
        self.check(answer, commitments)
            .map_err(|fault| BadAnswer { index, fault })
    }

    fn check(&self, answer: &DrillAnswer, commitments: &Commitments) -> Result<(), AnswerFault> {
        let statement = Statement {
            seed: &self.transcript(answer.index, commitments, &answer.point),
            share_key: commitments.share_key(answer.index),
            m: self.point(),
            z: answer.point.decode()?,
        };
        if statement.verify(&answer.proof)? {
            Ok(())
        } else {
            Err(AnswerFault::Proof)
        }
    }

    /// `C`.
    fn point(&self) -> Point {
        hash_to_group(
            "kithkin/drill/1",
            &[
                self.seed.as_ref(),
                self.patient.as_ref(),
                self.tier.as_str().as_bytes(),
                &u64::from(self.epoch.0).to_be_bytes(),
            ],
        )
    }

    /// What the proof is bound to. The commitments stand for the share's public key, the other fields for `C`.
    fn transcript(
        &self,
        index: ShareIndex,
        commitments: &Commitments,
        answer: &PointBytes,
    ) -> Digest {
        let mut writer = self.scope(index, commitments);
        writer.field(answer);
        writer.finish()
    }

    /// Covers `C` and the share's public key.
    fn scope(&self, index: ShareIndex, commitments: &Commitments) -> HashWriter {
        let mut writer = HashWriter::new("kithkin/drill-answer/2");
        writer
            .field(self.chain)
            .field(self.patient)
            .field(self.tier.as_str())
            .number(u64::from(self.epoch.0))
            .number(u64::from(index.get()))
            .field(self.seed);
        commitments.write_to(&mut writer);
        writer
    }
}
