//! What a kin keeps in RocksDB.
//!
//! ```text
//! c                    conduct
//! w patient            the patient's enrolment and this kin's sealed shares
//! n patient            a place in the second circle that was accepted, and is not on the ledger yet
//! i root               an upload that a receipt was signed for: written last, so it is there only with all the rest
//! u root               manifest and capsules, under a key of their own
//! s root record slot   one shard of one record
//! e place              a batch on chain, proved once
//! d case               this kin's decision
//! o case               partial openings on their way out
//! p patient            this kin's part in a change of the roster that is under way
//! r root root          capsules that a new device of the patient has made: by their root on chain and the upload's
//! j patient            an invitation to a roster that changes, which the person has accepted
//! v patient            an invitation to an enrolment, and the person's answer
//! y                    what is done with invitations
//! x root               an upload that was erased by order, and the receipts
//! k patient root       the key of an upload, wrapped (`crate::keybook`)
//! ```
//!
//! Values are frames of `wire`. Keys of shares are in the vault: destroying one
//! erases the share (opening.md section 1).

use super::messages::{Bundle, Conduct, Decision, Invitation, KinError, OnInvitation};
use crate::keybook::{KeyBook, KeyBookError};
use crate::ports::store::{Batch, Space, StoreError};
use crate::ports::vault::{KeySpace, VaultError};
use crate::upload::Upload;
use kithkin_protocol::crypto::{Digest, Sealed, hash};
use kithkin_protocol::ids::{CaseId, HandoverId, HospitalId, KinId, PatientId, RecordId};
use kithkin_protocol::ledger::{
    BatchEntry, BatchPlace, CircleEpochs, Enrolment, Member, SignedTransaction,
};
use kithkin_protocol::record::{Erasure, Rewrapped, RewrappedBatch, Shard};
use kithkin_protocol::roster::TierDealing;
use kithkin_protocol::sharing::{Commitments, ShareContext};
use kithkin_protocol::units::{CircleKind, Epoch, Height, Millis, ShareIndex, Tier};
use kithkin_protocol::wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const CONDUCT: &[u8] = b"c";
const WARD: u8 = b'w';
const COMING: u8 = b'n';
const KEPT: u8 = b'i';
const UPLOAD: u8 = b'u';
const SHARD: u8 = b's';
const BATCH: u8 = b'e';
const DOCKET: u8 = b'd';
const OUTGOING: u8 = b'o';
const PASSAGE: u8 = b'p';
const JOINING: u8 = b'j';
const REWRAPPED: u8 = b'r';
const ERASED: u8 = b'x';
const BOOK: u8 = b'k';
const INVITATION: u8 = b'v';
const ON_INVITATION: &[u8] = b"y";
/// Everything that goes when a kin loses all it has, but the keys of uploads, which are burnt.
const KINDS: [u8; 13] = [
    INVITATION, WARD, COMING, KEPT, UPLOAD, SHARD, BATCH, DOCKET, OUTGOING, PASSAGE, JOINING,
    REWRAPPED, ERASED,
];

/// A patient whose kin this is, or shall become: what was offered, and the shares.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ward {
    pub(super) patient: PatientId,
    /// The circle that this kin belongs to.
    pub(super) circle: CircleKind,
    /// This kin's place in that circle.
    pub(super) index: ShareIndex,
    pub(super) epoch: Epoch,
    /// The second circle's epoch; of no meaning to a kin of the first.
    pub(super) second_epoch: Epoch,
    /// Since which epoch the roster has had its members: shards cut since then fit it.
    pub(super) since: Epoch,
    pub(super) digest: Digest,
    /// Whether it was proved that this enrolment stands on chain.
    pub(super) active: bool,
    /// When the shares were offered, by this kin's clock.
    pub(super) offered_ms: Millis,
    /// As offered, without acceptances.
    pub(super) enrolment: Enrolment,
    pub(super) shares: Vec<KeptShare>,
    /// Since when records sealed before open with capsules that a new device has made.
    pub(super) rewrapped: Option<Rewrapped>,
}

/// A share under a key of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptShare {
    pub(super) tier: Tier,
    /// Name of the key in the vault.
    pub(super) key: String,
    pub(super) sealed: Vec<u8>,
}

impl Ward {
    pub(super) fn context(&self, tier: Tier) -> ShareContext {
        ShareContext {
            patient: self.patient,
            tier,
            epoch: match self.circle {
                CircleKind::First => self.epoch,
                CircleKind::Second => self.second_epoch,
            },
        }
    }

    /// Of which rosters it is.
    pub(super) fn circles(&self) -> CircleEpochs {
        CircleEpochs {
            first: self.epoch,
            second: self.second_epoch,
        }
    }

    pub(super) fn commitments(&self, tier: Tier) -> Option<&Commitments> {
        self.enrolment.commitments(self.circle, tier)
    }

    pub(super) fn member(&self, kin: KinId) -> Option<&Member> {
        let mut roster = self.enrolment.roster.iter();
        roster.find(|member| member.id() == kin)
    }
}

/// This kin's part in one handover (opening.md sections 4 and 5). What it deals and what it will hold are durable before anything
/// about them leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Passage {
    pub(super) handover: HandoverId,
    /// Kin of the old and of the new roster: they may fetch what dealers sent.
    pub(super) readers: BTreeSet<KinId>,
    pub(super) own: Option<OwnDealing>,
    /// What dealers sent, by their index; another kin may have to ask for it here.
    pub(super) bundles: BTreeMap<ShareIndex, Bundle>,
    /// What this kin will hold, and the digest of the dealings that it comes of.
    pub(super) next: Option<(Digest, Ward)>,
    /// Under which root new capsules are kept that count when the handover is done.
    pub(super) rewrap: Option<Digest>,
}

/// What this kin deals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OwnDealing {
    pub(super) dealings: Vec<TierDealing>,
    pub(super) bundle: Bundle,
    /// The same sub-shares sealed to this kin itself: to answer complaints.
    pub(super) copies: Bundle,
}

/// An upload that this kin holds its shards of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) patient: PatientId,
    pub(super) tier: Tier,
    pub(super) author: HospitalId,
    pub(super) epoch: Epoch,
    pub(super) records: u32,
    /// Whose pieces of the records: this kin's own, and those that it has taken over.
    pub(super) slots: Vec<ShareIndex>,
    /// Pieces that others hold now: not served any more, and kept until those have shown theirs.
    pub(super) surplus: Vec<ShareIndex>,
    /// When the last of the slots went to somebody else, by this kin's clock; none while it has one.
    pub(super) moved_ms: Option<Millis>,
    /// What the pieces of one slot take.
    pub(super) slot_bytes: u64,
    /// Whether a drill has found a piece missing: they are looked through and made anew.
    pub(super) damaged: bool,
    /// What the receipt says is held.
    pub(super) held: Digest,
}

impl Kept {
    /// What it takes.
    pub(super) fn bytes(&self) -> u64 {
        let slots = self.slots.len().saturating_add(self.surplus.len());
        self.slot_bytes.saturating_mul(slots as u64)
    }
}

/// An upload that is being erased, or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Erased {
    /// What was here, by slot: noted before anything is destroyed.
    pub(super) slots: Vec<(ShareIndex, Digest)>,
    /// Signed when all is destroyed.
    pub(super) receipts: Option<Vec<Erasure>>,
}

/// This kin's decision in one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Docket {
    pub(super) decision: Decision,
    /// Where it stands on chain, once it does.
    pub(super) height: Option<Height>,
    /// The transaction that carried it, once it is final.
    pub(super) transaction: Option<SignedTransaction>,
    /// Nothing is left to do.
    pub(super) settled: bool,
}

/// Partial openings on their way out. Written before anything is announced or sent, so that a restart sends the
/// same bytes again and does not announce others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outgoing {
    /// What is announced on chain.
    pub(super) digest: Digest,
    /// In the order of the request's scopes; a tier with no capsules has none. Empty again once delivered.
    pub(super) partials: Vec<(Tier, Sealed)>,
    /// Set before the first byte leaves.
    pub(super) left: bool,
    /// Acknowledged, or the session is over.
    pub(super) done: bool,
}

impl From<StoreError> for KinError {
    fn from(error: StoreError) -> Self {
        Self::Store {
            reason: error.to_string(),
        }
    }
}

impl From<VaultError> for KinError {
    fn from(error: VaultError) -> Self {
        Self::Store {
            reason: error.to_string(),
        }
    }
}

impl From<KeyBookError> for KinError {
    fn from(error: KeyBookError) -> Self {
        Self::Store {
            reason: error.to_string(),
        }
    }
}

/// Typed reads and writes of a kin's key space.
#[derive(Clone)]
pub(super) struct Storage(Space, KeyBook);

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[kind], parts.concat().as_slice()].concat()
}

/// What new capsules of an upload are called in the book of keys.
fn rewrapped_name(under: &Digest, root: &Digest) -> Digest {
    hash("kithkin/rewrapped-key/1", &[under.as_ref(), root.as_ref()])
}

fn place_key(place: &BatchPlace) -> Vec<u8> {
    let (patient, tier, height, index) = place;
    key(
        BATCH,
        &[
            patient.as_ref(),
            tier.as_str().as_bytes(),
            &height.0.to_be_bytes(),
            &index.to_be_bytes(),
        ],
    )
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, KinError> {
    wire::decode_bounded(value, usize::MAX).map_err(|error| KinError::Store {
        reason: format!("a stored value cannot be read: {error}"),
    })
}

impl Storage {
    pub(super) fn open(space: Space, keys: KeySpace) -> Result<Self, KinError> {
        let book = KeyBook::open(space.clone(), keys, BOOK)?;
        Ok(Self(space, book))
    }

    /// Whether a write was refused: then this incarnation can write nothing any more.
    pub(super) fn has_gap(&self) -> bool {
        self.0.has_gap()
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, KinError> {
        self.0.get(key)?.map(|value| decode(&value)).transpose()
    }

    fn scan<T: DeserializeOwned>(&self, kind: u8) -> Result<Vec<(Vec<u8>, T)>, KinError> {
        self.0
            .scan(&[kind])?
            .into_iter()
            .map(|(key, value)| Ok((key.get(1..).unwrap_or_default().to_vec(), decode(&value)?)))
            .collect()
    }

    fn scan_cases<T: DeserializeOwned>(&self, kind: u8) -> Result<Vec<(CaseId, T)>, KinError> {
        let entries = self.scan(kind)?.into_iter();
        Ok(entries
            .filter_map(|(id, value)| Some((CaseId(id.try_into().ok()?), value)))
            .collect())
    }

    /// Durable on return.
    pub(super) async fn write(&self, batch: Batch) -> Result<(), KinError> {
        Ok(self.0.write(batch).await?)
    }

    /// Durable on return; for threads that may wait.
    pub(super) fn write_blocking(&self, batch: Batch) -> Result<(), KinError> {
        Ok(self.0.write_blocking(batch)?)
    }

    pub(super) fn conduct(&self) -> Result<Conduct, KinError> {
        Ok(self.read(CONDUCT)?.unwrap_or_default())
    }

    pub(super) fn invitations(&self) -> Result<Vec<Invitation>, KinError> {
        let entries = self.scan(INVITATION)?.into_iter();
        Ok(entries.map(|(_, invitation)| invitation).collect())
    }

    /// What the person wants done with them; none when nothing was ever said.
    pub(super) fn on_invitation(&self) -> Result<Option<OnInvitation>, KinError> {
        self.read(ON_INVITATION)
    }

    pub(super) fn wards(&self) -> Result<Vec<Ward>, KinError> {
        let wards = self.scan(WARD)?.into_iter();
        Ok(wards.map(|(_, ward)| ward).collect())
    }

    /// Places in second circles that are not on the ledger yet.
    pub(super) fn comings(&self) -> Result<Vec<Ward>, KinError> {
        let comings = self.scan(COMING)?.into_iter();
        Ok(comings.map(|(_, ward)| ward).collect())
    }

    pub(super) fn kept(&self, root: &Digest) -> Result<Option<Kept>, KinError> {
        self.read(&key(KEPT, &[root.as_ref()]))
    }

    pub(super) fn all_kept(&self) -> Result<Vec<(Digest, Kept)>, KinError> {
        let kept = self.scan::<Kept>(KEPT)?.into_iter();
        Ok(kept
            .filter_map(|(root, kept)| Some((Digest(root.try_into().ok()?), kept)))
            .collect())
    }

    pub(super) fn upload(&self, root: &Digest) -> Result<Option<Upload>, KinError> {
        let content = self.1.read(*root, &key(UPLOAD, &[root.as_ref()]))?;
        content.map(|content| decode(&content)).transpose()
    }

    /// Writes what is in the batch, manifest and capsules, and the mark that everything is here. Durable on return; for threads that may
    /// wait.
    pub(super) fn keep(
        &self,
        root: &Digest,
        upload: &Upload,
        kept: &Kept,
        mut batch: Batch,
    ) -> Result<(), KinError> {
        batch.kept(root, kept);
        let content = wire::encode(upload);
        let place = key(UPLOAD, &[root.as_ref()]);
        Ok(self
            .1
            .keep(upload.patient, *root, (place, &content), batch)?)
    }

    /// Destroys the key of an upload, then removes all that is kept of it. Durable on return; for threads that may wait.
    pub(super) fn forget(
        &self,
        patient: PatientId,
        root: &Digest,
        place: Option<&BatchPlace>,
    ) -> Result<(), KinError> {
        let under = self.rewrapped_under(root)?;
        let mut names = vec![*root];
        names.extend(under.iter().map(|under| rewrapped_name(under, root)));
        self.1.shred(patient, &names)?;
        let mut batch = Batch::default();
        for under in under {
            batch.delete(key(REWRAPPED, &[under.as_ref(), root.as_ref()]));
        }
        batch
            .delete(key(UPLOAD, &[root.as_ref()]))
            .delete(key(KEPT, &[root.as_ref()]))
            .delete_prefix(key(SHARD, &[root.as_ref()]));
        if let Some(place) = place {
            batch.delete(place_key(place));
        }
        self.write_blocking(batch)
    }

    /// Destroys every key of an upload.
    pub(super) fn burn_keys(&self) -> Result<(), KinError> {
        Ok(self.1.burn()?)
    }

    pub(super) fn erased(&self, root: &Digest) -> Result<Option<Erased>, KinError> {
        self.read(&key(ERASED, &[root.as_ref()]))
    }

    /// How many uploads were erased by order.
    pub(super) fn erased_count(&self) -> Result<usize, KinError> {
        let erased = self.scan::<Erased>(ERASED)?.into_iter();
        Ok(erased
            .filter(|(_, erased)| erased.receipts.is_some())
            .count())
    }

    pub(super) fn rewrapped(
        &self,
        under: &Digest,
        root: &Digest,
    ) -> Result<Option<RewrappedBatch>, KinError> {
        let place = key(REWRAPPED, &[under.as_ref(), root.as_ref()]);
        let content = self.1.read(rewrapped_name(under, root), &place)?;
        content.map(|content| decode(&content)).transpose()
    }

    /// Whether these new capsules are kept; they are not opened.
    pub(super) fn has_rewrapped(
        &self,
        patient: PatientId,
        under: &Digest,
        root: &Digest,
    ) -> Result<bool, KinError> {
        let place = key(REWRAPPED, &[under.as_ref(), root.as_ref()]);
        Ok(self.1.has(patient, rewrapped_name(under, root), &place)?)
    }

    /// Keeps new capsules, under a key of their own. Durable on return; for threads that may wait.
    pub(super) fn keep_rewrapped(
        &self,
        patient: PatientId,
        under: &Digest,
        root: &Digest,
        batch: &RewrappedBatch,
    ) -> Result<(), KinError> {
        let place = key(REWRAPPED, &[under.as_ref(), root.as_ref()]);
        let content = wire::encode(batch);
        let name = rewrapped_name(under, root);
        let none = Batch::default();
        Ok(self.1.keep(patient, name, (place, &content), none)?)
    }

    /// Under which roots new capsules of an upload are kept.
    fn rewrapped_under(&self, root: &Digest) -> Result<Vec<Digest>, KinError> {
        let entries = self.0.scan(&[REWRAPPED])?.into_iter();
        let under = entries.filter_map(|(key, _)| {
            let (under, of) = key.get(1..)?.split_at_checked(32)?;
            (of == root.as_ref()).then_some(())?;
            Some(Digest(under.try_into().ok()?))
        });
        Ok(under.collect())
    }

    pub(super) fn shard(
        &self,
        root: &Digest,
        record: &RecordId,
        slot: ShareIndex,
    ) -> Result<Option<Shard>, KinError> {
        self.read(&key(
            SHARD,
            &[root.as_ref(), record.as_ref(), &[slot.get()]],
        ))
    }

    pub(super) fn batch_entry(&self, place: &BatchPlace) -> Result<Option<BatchEntry>, KinError> {
        self.read(&place_key(place))
    }

    pub(super) fn docket(&self, case: CaseId) -> Result<Option<Docket>, KinError> {
        self.read(&key(DOCKET, &[case.as_ref()]))
    }

    pub(super) fn dockets(&self) -> Result<Vec<(CaseId, Docket)>, KinError> {
        self.scan_cases(DOCKET)
    }

    pub(super) fn outgoing(&self, case: CaseId) -> Result<Option<Outgoing>, KinError> {
        self.read(&key(OUTGOING, &[case.as_ref()]))
    }

    pub(super) fn passage(&self, patient: PatientId) -> Result<Option<Passage>, KinError> {
        self.read(&key(PASSAGE, &[patient.as_ref()]))
    }

    pub(super) fn passages(&self) -> Result<Vec<Passage>, KinError> {
        let passages = self.scan(PASSAGE)?.into_iter();
        Ok(passages.map(|(_, passage)| passage).collect())
    }

    /// Patients whose invitation the person has accepted.
    pub(super) fn joining(&self) -> Result<BTreeSet<PatientId>, KinError> {
        let entries = self.scan::<()>(JOINING)?.into_iter();
        let ids = entries.filter_map(|(id, ())| id.try_into().ok());
        Ok(ids.map(PatientId).collect())
    }

    /// Cases of which anything ever left.
    pub(super) fn released(&self) -> Result<Vec<CaseId>, KinError> {
        let outgoing = self.scan_cases::<Outgoing>(OUTGOING)?.into_iter();
        Ok(outgoing
            .filter(|(_, outgoing)| outgoing.left)
            .map(|(case, _)| case)
            .collect())
    }
}

/// What goes into a batch.
pub(super) trait Put {
    fn conduct(&mut self, conduct: Conduct) -> &mut Self;
    fn ward(&mut self, ward: &Ward) -> &mut Self;
    fn coming(&mut self, ward: &Ward) -> &mut Self;
    fn no_coming(&mut self, patient: PatientId) -> &mut Self;
    fn kept(&mut self, root: &Digest, kept: &Kept) -> &mut Self;
    fn no_rewrapped(&mut self, under: &Digest) -> &mut Self;
    fn erased(&mut self, root: &Digest, erased: &Erased) -> &mut Self;
    fn no_shard(&mut self, root: &Digest, record: &RecordId, slot: ShareIndex) -> &mut Self;
    fn shard(&mut self, root: &Digest, record: &RecordId, shard: &Shard) -> &mut Self;
    fn batch_entry(&mut self, place: &BatchPlace, entry: &BatchEntry) -> &mut Self;
    fn docket(&mut self, case: CaseId, docket: &Docket) -> &mut Self;
    fn outgoing(&mut self, case: CaseId, outgoing: &Outgoing) -> &mut Self;
    fn passage(&mut self, patient: PatientId, passage: &Passage) -> &mut Self;
    fn no_passage(&mut self, patient: PatientId) -> &mut Self;
    fn joining(&mut self, patient: PatientId) -> &mut Self;
    fn joined(&mut self, patient: PatientId) -> &mut Self;
    fn no_ward(&mut self, patient: PatientId) -> &mut Self;
    fn invitation(&mut self, invitation: &Invitation) -> &mut Self;
    fn no_invitation(&mut self, patient: PatientId) -> &mut Self;
    fn on_invitation(&mut self, conduct: OnInvitation) -> &mut Self;
    fn nothing(&mut self) -> &mut Self;
}

impl Put for Batch {
    fn conduct(&mut self, conduct: Conduct) -> &mut Self {
        self.put(CONDUCT, wire::encode(&conduct))
    }

    fn ward(&mut self, ward: &Ward) -> &mut Self {
        self.put(key(WARD, &[ward.patient.as_ref()]), wire::encode(ward))
    }

    fn coming(&mut self, ward: &Ward) -> &mut Self {
        self.put(key(COMING, &[ward.patient.as_ref()]), wire::encode(ward))
    }

    fn no_coming(&mut self, patient: PatientId) -> &mut Self {
        self.delete(key(COMING, &[patient.as_ref()]))
    }

    fn kept(&mut self, root: &Digest, kept: &Kept) -> &mut Self {
        self.put(key(KEPT, &[root.as_ref()]), wire::encode(kept))
    }

    fn erased(&mut self, root: &Digest, erased: &Erased) -> &mut Self {
        self.put(key(ERASED, &[root.as_ref()]), wire::encode(erased))
    }

    fn no_shard(&mut self, root: &Digest, record: &RecordId, slot: ShareIndex) -> &mut Self {
        let slot = [slot.get()];
        self.delete(key(SHARD, &[root.as_ref(), record.as_ref(), &slot]))
    }

    fn no_rewrapped(&mut self, under: &Digest) -> &mut Self {
        self.delete_prefix(key(REWRAPPED, &[under.as_ref()]))
    }

    fn shard(&mut self, root: &Digest, record: &RecordId, shard: &Shard) -> &mut Self {
        let slot = [shard.index.get()];
        let key = key(SHARD, &[root.as_ref(), record.as_ref(), &slot]);
        self.put(key, wire::encode(shard))
    }

    fn batch_entry(&mut self, place: &BatchPlace, entry: &BatchEntry) -> &mut Self {
        self.put(place_key(place), wire::encode(entry))
    }

    fn docket(&mut self, case: CaseId, docket: &Docket) -> &mut Self {
        self.put(key(DOCKET, &[case.as_ref()]), wire::encode(docket))
    }

    fn outgoing(&mut self, case: CaseId, outgoing: &Outgoing) -> &mut Self {
        self.put(key(OUTGOING, &[case.as_ref()]), wire::encode(outgoing))
    }

    fn passage(&mut self, patient: PatientId, passage: &Passage) -> &mut Self {
        self.put(key(PASSAGE, &[patient.as_ref()]), wire::encode(passage))
    }

    fn no_passage(&mut self, patient: PatientId) -> &mut Self {
        self.delete(key(PASSAGE, &[patient.as_ref()]))
    }

    fn joining(&mut self, patient: PatientId) -> &mut Self {
        self.put(key(JOINING, &[patient.as_ref()]), wire::encode(&()))
    }

    fn joined(&mut self, patient: PatientId) -> &mut Self {
        self.delete(key(JOINING, &[patient.as_ref()]))
    }

    fn no_ward(&mut self, patient: PatientId) -> &mut Self {
        self.delete(key(WARD, &[patient.as_ref()]))
    }

    fn invitation(&mut self, invitation: &Invitation) -> &mut Self {
        let key = key(INVITATION, &[invitation.patient.as_ref()]);
        self.put(key, wire::encode(invitation))
    }

    fn no_invitation(&mut self, patient: PatientId) -> &mut Self {
        self.delete(key(INVITATION, &[patient.as_ref()]))
    }

    fn on_invitation(&mut self, conduct: OnInvitation) -> &mut Self {
        self.put(ON_INVITATION, wire::encode(&conduct))
    }

    fn nothing(&mut self) -> &mut Self {
        for kind in KINDS {
            self.delete_prefix([kind]);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_kinds_of_entries_share_a_letter() {
        let singles = [BOOK, CONDUCT[0], ON_INVITATION[0]];
        let letters: BTreeSet<u8> = KINDS.into_iter().chain(singles).collect();
        assert_eq!(letters.len(), KINDS.len() + singles.len());
    }
}
