//! What a new device keeps of the keys that it deals, until every kin holds them (opening.md section 6).
//!
//! ```text
//! speaks-for       the patient for whom it speaks, when that is not the one of its own key
//! redealt          what is proposed, and the sealed shares
//! w root           new capsules of one upload
//! second           a word about the second circle on its way, and the sealed shares
//! second-owed      whom the lost device had named, until they are named again
//! ```

use super::device::Device;
use super::messages::{PatientError, Rebuilt};
use crate::friend_relative::messages::Bundle;
use crate::ports::store::Batch;
use crate::ports::vault::KeySpace;
use kithkin_protocol::crypto::{Digest, Sealed};
use kithkin_protocol::ids::PatientId;
use kithkin_protocol::ledger::{self, Member, SecondWord};
use kithkin_protocol::record::{Capsule, RewrapTree, RewrappedBatch};
use kithkin_protocol::roster::Plan;
use kithkin_protocol::sharing::TierKey;
use kithkin_protocol::units::{Epoch, Millis};
use kithkin_protocol::wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError};

const SPEAKS_FOR: &[u8] = b"speaks-for";
const REDEALT: &[u8] = b"redealt";
const SECOND: &[u8] = b"second";
const OWED: &[u8] = b"second-owed";
const WRAPPED: u8 = b'w';

/// What a new device has dealt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Redealt {
    /// The epoch whose shares it replaces.
    pub(super) from: Epoch,
    pub(super) plan: Plan,
    pub(super) sealed: Bundle,
    /// One for each batch, in order.
    pub(super) leaves: Vec<Digest>,
    pub(super) rebuilt: Rebuilt,
    /// Until when a proposal of it may become final whose end is not known; none when there is no such proposal.
    pub(super) may_stand_until: Option<Millis>,
    /// The second circle, which shares a key of before: to be named again when the new ones count.
    pub(super) second: Option<Owed>,
}

/// A second circle that is to be named again: who, and how many of them open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owed {
    pub(super) roster: Vec<Member>,
    pub(super) threshold: usize,
}

/// A word about the second circle that was dealt, before it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SecondDraft {
    /// Without acceptances.
    pub(super) word: SecondWord,
    /// Sealed shares, in the order of the circle.
    pub(super) offers: Vec<Sealed>,
    /// Until when a transaction that carried it may become final; none when none was ever sent.
    pub(super) submitted_until: Option<Millis>,
}

/// New capsules of one upload, and its place among all batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Wrapping {
    pub(super) position: usize,
    pub(super) capsules: Vec<Capsule>,
}

fn wrapped_key(root: &Digest) -> Vec<u8> {
    [&[WRAPPED], root.as_ref()].concat()
}

impl Device {
    /// The patient for whom this device was made to speak, if any.
    pub(super) fn stands_in_for(&self) -> Result<Option<PatientId>, PatientError> {
        self.kept(SPEAKS_FOR)
    }

    /// Durable on return.
    pub(super) async fn stand_in_for(&self, patient: PatientId) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.put(SPEAKS_FOR, wire::encode(&patient));
        Ok(self.space.write(batch).await?)
    }

    pub(super) fn redealt(&self) -> Result<Option<Redealt>, PatientError> {
        self.kept(REDEALT)
    }

    /// Durable on return.
    pub(super) async fn put_redealt(&self, redealt: &Redealt) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.put(REDEALT, wire::encode(redealt));
        self.space.write(batch).await?;
        self.forget_tree();
        Ok(())
    }

    pub(super) async fn forget_redealt(&self) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.delete(REDEALT).delete_prefix([WRAPPED]);
        self.space.write(batch).await?;
        self.forget_tree();
        Ok(())
    }

    /// All kin hold what was dealt; whom the lost device had named for a second circle is owed a place in a new one.
    pub(super) async fn redealt_done(&self, redealt: Redealt) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.delete(REDEALT).delete_prefix([WRAPPED]);
        if let Some(owed) = &redealt.second {
            batch.put(OWED, wire::encode(owed));
        }
        self.space.write(batch).await?;
        self.forget_tree();
        Ok(())
    }

    /// Durable on return.
    pub(super) async fn put_wrapping(
        &self,
        root: &Digest,
        wrapping: &Wrapping,
    ) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.put(wrapped_key(root), wire::encode(wrapping));
        Ok(self.space.write(batch).await?)
    }

    /// The new capsules of one upload, with the path to the root `under` which they stand.
    pub(super) fn wrapped(
        &self,
        under: &Digest,
        root: &Digest,
    ) -> Result<Option<RewrappedBatch>, PatientError> {
        let Some(wrapping) = self.kept::<Wrapping>(&wrapped_key(root))? else {
            return Ok(None);
        };
        let tree = self.tree()?;
        let path = tree
            .filter(|tree| tree.rewrap().root == *under)
            .and_then(|tree| tree.path(wrapping.position));
        Ok(path.map(|path| RewrappedBatch {
            capsules: wrapping.capsules,
            path,
        }))
    }

    /// The tree over all batches of the plan that is kept: built once, for every kin asks for every batch.
    pub(super) fn tree(&self) -> Result<Option<Arc<RewrapTree>>, PatientError> {
        let mut kept = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            let redealt = self.redealt()?;
            let tree = redealt.and_then(|redealt| RewrapTree::new(&redealt.leaves));
            *kept = tree.map(Arc::new);
        }
        Ok(kept.clone())
    }

    /// What is kept has changed, or will in a moment.
    fn forget_tree(&self) {
        *self.tree.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The word about the second circle that was begun last.
    pub(super) fn second_draft(&self) -> Result<Option<SecondDraft>, PatientError> {
        self.kept(SECOND)
    }

    /// Durable on return.
    pub(super) async fn put_second_draft(&self, draft: &SecondDraft) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.put(SECOND, wire::encode(draft));
        Ok(self.space.write(batch).await?)
    }

    /// A word about the second circle stands: nothing is on its way, and nobody owed a place.
    pub(super) async fn second_done(&self) -> Result<(), PatientError> {
        let mut batch = Batch::default();
        batch.delete(SECOND).delete(OWED);
        Ok(self.space.write(batch).await?)
    }

    /// The second circle that is to be named again.
    pub(super) fn owed(&self) -> Result<Option<Owed>, PatientError> {
        self.kept(OWED)
    }

    /// Destroys every tier key that does not belong to the present commitments.
    pub(super) fn forget_keys_unlike(&self, entry: &ledger::Patient) -> Result<(), PatientError> {
        let present: Vec<_> = entry.enrolment.tiers.iter().collect();
        forget(&self.keys, |key| {
            let public = key.public();
            present
                .iter()
                .any(|tier| *tier.commitments.public_key() == public)
        })
    }

    fn kept<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, PatientError> {
        let value = self.space.get(key)?;
        let value = value.map(|value| wire::decode_bounded(&value, usize::MAX));
        value.transpose().map_err(|error| PatientError::Store {
            reason: format!("a stored value cannot be read: {error}"),
        })
    }
}

fn forget(keys: &KeySpace, stays: impl Fn(&TierKey) -> bool) -> Result<(), PatientError> {
    for name in keys.names()? {
        if !name.starts_with(super::device::TIER_KEY) {
            continue;
        }
        let key = keys
            .load(&name)?
            .and_then(|secret| TierKey::from_secret(&secret).ok());
        if !key.as_ref().is_some_and(&stays) {
            keys.destroy(&name)?;
        }
    }
    Ok(())
}
