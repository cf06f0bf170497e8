//! A bundle becomes sealed uploads: cut by tier, sealed record by record, cut into shards (opening.md section 2).
//!
//! No I/O. All of it is work for the blocking pool.

use crate::hospital::archive::Ciphertexts;
use crate::hospital::messages::HospitalError;
use crate::ports::random::SystemRng;
use crate::upload::Upload;
use kithkin_fhir::{Bundle, cut};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId, RecordId};
use kithkin_protocol::ledger::Enrolment;
use kithkin_protocol::record::{
    Manifest, RECORDS_MAX, RecordError, SealContext, SealedRecord, Shard, ShardSet, held_digest,
    seal, shards,
};
use kithkin_protocol::sharing::{Threshold, TierPublicKey};
use kithkin_protocol::units::{Epoch, Millis, ShareIndex, Tier};
use rand_core::Rng as _;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Most bytes of one kin's shards and of the manifest in one upload: they travel in one frame. A single record may have
/// more, and then is an upload of its own.
const KIN_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Bytes that manifest, capsule and Merkle path of a record take at most.
const LINE_BYTES: usize = 1024;
/// Records that one thread seals at least: fewer are not worth a thread.
const RECORDS_PER_THREAD: usize = 16;

/// The plaintexts of one tier, in order.
pub(super) struct Plain {
    pub(super) tier: Tier,
    pub(super) records: Vec<Zeroizing<Vec<u8>>>,
}

/// Who seals for whom.
#[derive(Clone)]
pub(super) struct Sealer {
    pub(super) chain: ChainId,
    pub(super) patient: PatientId,
    pub(super) author: HospitalId,
    pub(super) epoch: Epoch,
    pub(super) enrolment: Arc<Enrolment>,
    /// How many shards rebuild a ciphertext.
    pub(super) threshold: Threshold,
}

/// One upload, sealed and cut, on its way to kin and archive.
pub(super) struct Draft {
    pub(super) root: Digest,
    pub(super) upload: Arc<Upload>,
    pub(super) ciphertexts: Arc<Ciphertexts>,
    pub(super) pieces: Arc<Pieces>,
}

/// Every kin's shards of an upload: at the kin's position, in the manifest's order.
pub(super) struct Pieces {
    pub(super) threshold: Threshold,
    shards: Vec<Vec<Shard>>,
}

impl Pieces {
    /// One kin's shards.
    pub(super) fn of(&self, index: ShareIndex) -> Vec<Shard> {
        let shards = self.shards.get(index.position());
        shards.cloned().unwrap_or_default()
    }

    /// What that kin's receipt must say that it holds.
    pub(super) fn held(&self, index: ShareIndex, manifest: &Manifest) -> Digest {
        let shards = self.shards.get(index.position()).into_iter().flatten();
        let leaves = shards.zip(manifest.entries());
        held_digest(leaves.map(|(shard, entry)| shard.leaf(entry, self.threshold)))
    }

    /// Cuts ciphertexts again, as they were cut when they were sealed.
    pub(super) fn cut(
        ciphertexts: &Ciphertexts,
        threshold: Threshold,
    ) -> Result<Self, HospitalError> {
        let sets = ciphertexts
            .iter()
            .map(|(_, ciphertext)| shards(ciphertext, threshold).map_err(fault))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(sets, threshold))
    }

    fn new(sets: Vec<ShardSet>, threshold: Threshold) -> Self {
        let mut shards: Vec<Vec<Shard>> = vec![Vec::new(); threshold.kin()];
        for set in sets {
            for (of_kin, shard) in shards.iter_mut().zip(set.shards) {
                of_kin.push(shard);
            }
        }
        Self { threshold, shards }
    }
}

/// Checks a bundle and cuts it: the derived summary, then the original bytes as chart and sensitive.
pub(super) fn plan(bundle: &[u8], now: Millis) -> Result<Vec<Plain>, HospitalError> {
    let refuse = |reason: String| HospitalError::Bundle { reason };
    let parsed = Bundle::parse(bundle).map_err(|error| refuse(error.to_string()))?;
    let cut = cut::cut(&parsed, now.0).map_err(|error| refuse(error.to_string()))?;
    let summary = vec![Zeroizing::new(cut.summary)];
    let (mut chart, mut sensitive) = (Vec::new(), Vec::new());
    for part in cut.parts {
        let bytes = Zeroizing::new(part.bytes);
        match part.tier {
            Tier::Sensitive => sensitive.push(bytes),
            Tier::Summary | Tier::Chart => chart.push(bytes),
        }
    }
    let tiers = [
        (Tier::Summary, summary),
        (Tier::Chart, chart),
        (Tier::Sensitive, sensitive),
    ];
    Ok(tiers
        .into_iter()
        .filter(|(_, records)| !records.is_empty())
        .map(|(tier, records)| Plain { tier, records })
        .collect())
}

impl Sealer {
    /// Seals the records of one tier. More than fit into one upload become several.
    pub(super) fn seal(&self, plain: &Plain) -> Result<Vec<Draft>, HospitalError> {
        let tier = plain.tier;
        let shares = self.enrolment.tier(tier);
        let shares = shares.ok_or_else(|| HospitalError::Ledger {
            reason: format!("the patient's enrolment has no tier {tier}"),
        })?;
        let sealed = self.seal_all(tier, &plain.records, shares.commitments.public_key())?;
        let mut drafts = Vec::new();
        let mut group: Vec<(SealedRecord, ShardSet)> = Vec::new();
        let mut bytes = 0;
        for (record, set) in sealed {
            let shard = set.shards.first().map_or(0, |shard| shard.bytes.len());
            let more = shard.saturating_add(LINE_BYTES);
            if group.len() >= RECORDS_MAX || (bytes + more > KIN_BYTES_MAX && !group.is_empty()) {
                drafts.push(self.draft(tier, std::mem::take(&mut group))?);
                bytes = 0;
            }
            bytes += more;
            group.push((record, set));
        }
        drafts.push(self.draft(tier, group)?);
        Ok(drafts)
    }

    /// Seals on as many threads as there are cores.
    fn seal_all(
        &self,
        tier: Tier,
        records: &[Zeroizing<Vec<u8>>],
        key: &TierPublicKey,
    ) -> Result<Vec<(SealedRecord, ShardSet)>, HospitalError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = records.len().div_ceil(cores).max(RECORDS_PER_THREAD);
        let some = |records: &[Zeroizing<Vec<u8>>]| -> Result<Vec<_>, HospitalError> {
            records
                .iter()
                .map(|plaintext| self.seal_one(tier, plaintext, key))
                .collect()
        };
        if records.len() <= share {
            return some(records);
        }
        let sealed = std::thread::scope(|scope| {
            let workers: Vec<_> = records
                .chunks(share)
                .map(|chunk| scope.spawn(move || some(chunk)))
                .collect();
            let results = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(HospitalError::Store {
                        reason: "a sealing thread panicked".to_owned(),
                    })
                })
            });
            results.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(sealed.into_iter().flatten().collect())
    }

    fn seal_one(
        &self,
        tier: Tier,
        plaintext: &[u8],
        key: &TierPublicKey,
    ) -> Result<(SealedRecord, ShardSet), HospitalError> {
        let mut id = [0; RecordId::LEN];
        SystemRng.fill_bytes(&mut id);
        let context = SealContext {
            chain: self.chain,
            patient: self.patient,
            record: RecordId(id),
            tier,
            author: self.author,
        };
        let sealed =
            seal(plaintext, &context, key, &mut SystemRng).map_err(|error| match error {
                RecordError::TooLong { .. } => HospitalError::Bundle {
                    reason: format!("one of its resources is too large: {error}"),
                },
                other => fault(other),
            })?;
        let set = shards(&sealed.ciphertext, self.threshold).map_err(fault)?;
        Ok((sealed, set))
    }

    fn draft(
        &self,
        tier: Tier,
        group: Vec<(SealedRecord, ShardSet)>,
    ) -> Result<Draft, HospitalError> {
        let entries = group.iter().map(|(sealed, set)| sealed.entry(set.root));
        let manifest = Manifest::new(entries.collect()).map_err(fault)?;
        let upload = Upload {
            chain: self.chain,
            patient: self.patient,
            tier,
            author: self.author,
            epoch: self.epoch,
            manifest,
            capsules: group.iter().map(|(sealed, _)| sealed.capsule).collect(),
        };
        let (mut ciphertexts, mut sets) = (Vec::new(), Vec::new());
        for (sealed, set) in group {
            ciphertexts.push((sealed.record, sealed.ciphertext));
            sets.push(set);
        }
        Ok(Draft {
            root: upload.root(),
            upload: Arc::new(upload),
            ciphertexts: Arc::new(ciphertexts),
            pieces: Arc::new(Pieces::new(sets, self.threshold)),
        })
    }
}

/// Our own work failed; does not happen within the limits.
fn fault(error: impl core::fmt::Display) -> HospitalError {
    HospitalError::Store {
        reason: format!("sealing failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::{OpeningKey, Signature, SigningKey};
    use kithkin_protocol::emergency::{Escalation, TierPolicy};
    use kithkin_protocol::ledger::{Member, TierShares};
    use kithkin_protocol::roster::{Relation, RosterRules};
    use kithkin_protocol::sharing::{TierKey, deal};

    fn sealer() -> Sealer {
        let threshold = Threshold::majority(5).expect("five");
        let sealing = OpeningKey::random(&mut SystemRng).sealing_key();
        let member = |_| Member {
            key: SigningKey::random(&mut SystemRng).verifying_key(),
            sealing,
            relation: Relation::Friend,
        };
        let tier = |tier| {
            let key = TierKey::random(&mut SystemRng);
            let (commitments, _) = deal(&key, threshold, &mut SystemRng).expect("dealt");
            TierShares {
                tier,
                commitments,
                policy: TierPolicy::default_for(tier),
            }
        };
        let author = HospitalId([2; 32]);
        Sealer {
            chain: ChainId([0; 32]),
            patient: PatientId([1; 32]),
            author,
            epoch: Epoch(1),
            enrolment: Arc::new(Enrolment {
                sealing,
                roster: (0..5).map(member).collect(),
                tiers: Tier::ALL.into_iter().map(tier).collect(),
                rules: RosterRules::default(),
                escalation: Escalation::default(),
                second: None,
                sponsor: author,
                sponsor_signature: Signature([0; 64]),
                acceptances: Vec::new(),
            }),
            threshold,
        }
    }

    fn seal(records: Vec<Vec<u8>>) -> Result<Vec<Draft>, HospitalError> {
        sealer().seal(&Plain {
            tier: Tier::Chart,
            records: records.into_iter().map(Zeroizing::new).collect(),
        })
    }

    fn sizes(drafts: &[Draft]) -> Vec<usize> {
        let sizes = drafts.iter().map(|draft| draft.upload.capsules.len());
        sizes.collect()
    }

    #[test]
    fn more_records_than_a_manifest_holds_become_several_uploads() {
        let drafts = seal(vec![b"{}".to_vec(); RECORDS_MAX + 3]).expect("sealed");
        assert_eq!(sizes(&drafts), [RECORDS_MAX, 3]);
    }

    #[test]
    fn more_bytes_than_travel_together_become_several_uploads() {
        let mut noise = vec![0; 5 * 1024 * 1024];
        SystemRng.fill_bytes(&mut noise);
        let drafts = seal(vec![noise; 4]).expect("sealed");
        assert_eq!(sizes(&drafts), [3, 1]);
    }

    #[test]
    fn a_record_that_is_too_large_is_the_bundles_fault() {
        let huge = vec![0; kithkin_protocol::record::RECORD_BYTES_MAX + 1];
        let refused = seal(vec![huge]).err();
        assert!(matches!(refused, Some(HospitalError::Bundle { .. })));
    }

    /// Repairs cut from the archive what receipts were given for when the record was sealed.
    #[test]
    fn ciphertexts_are_cut_the_same_way_again() {
        let drafts = seal(vec![b"one".to_vec(), vec![7; 10_000]]).expect("sealed");
        let [draft] = drafts.as_slice() else {
            panic!("one upload");
        };
        let again = Pieces::cut(&draft.ciphertexts, draft.pieces.threshold).expect("cut");
        for index in (0..5).filter_map(ShareIndex::from_position) {
            assert_eq!(again.of(index), draft.pieces.of(index));
            let manifest = &draft.upload.manifest;
            assert_eq!(
                again.held(index, manifest),
                draft.pieces.held(index, manifest)
            );
        }
    }
}
