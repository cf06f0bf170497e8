//! A hospital, a patient with kin, and the patient's file, sealed: everything that stands behind the transactions.

use super::chain::Chain;
use anyhow::Context as _;
use kithkin_actors::ports::random::SystemRng;
use kithkin_fhir::{Bundle, cut};
use kithkin_protocol::crypto::{OpeningKey, Signature, SigningKey};
use kithkin_protocol::emergency::{Escalation, TierPolicy};
use kithkin_protocol::ids::{AccountId, HospitalId, KinId, PatientId, RecordId};
use kithkin_protocol::ledger::{Enrolment, Member, TierShares};
use kithkin_protocol::record::{
    BatchHeader, BatchStatus, Manifest, RECORDS_MAX, Receipt, ReceiptBody, ReceiptLine,
    SealContext, SealedRecord, Shard, held_digest, receipts_root, seal, shards,
};
use kithkin_protocol::roster::{Relation, RosterRules};
use kithkin_protocol::sharing::{Threshold, TierKey, deal};
use kithkin_protocol::units::{ShareIndex, Tier};
use rand_core::Rng as _;

/// Moment at which the summary is made, in milliseconds since 1970: the same in every run, since it stands in the summary.
const SUMMARY_MS: u64 = 1_767_225_600_000;

/// Everybody.
pub(super) struct People {
    pub(super) hospital: SigningKey,
    pub(super) patient: SigningKey,
    pub(super) kin: Vec<SigningKey>,
    pub(super) enrolment: Enrolment,
    threshold: Threshold,
}

/// The sealed records of one tier: one upload.
pub(super) struct Sealed {
    pub(super) header: BatchHeader,
    pub(super) receipts: Vec<ReceiptLine>,
    pub(super) records: Vec<SealedRecord>,
    pub(super) manifest: Manifest,
}

fn key() -> SigningKey {
    SigningKey::random(&mut SystemRng)
}

impl People {
    /// A patient of `hospital` with so many kin, who agree to everything.
    pub(super) fn enrolled(
        chain: &Chain,
        hospital: SigningKey,
        kin: usize,
    ) -> anyhow::Result<Self> {
        let threshold = Threshold::majority(kin)?;
        let patient = key();
        let kin: Vec<_> = (0..kin).map(|_| key()).collect();
        let mut tiers = Vec::new();
        for tier in Tier::ALL {
            let tier_key = TierKey::random(&mut SystemRng);
            let (commitments, _) = deal(&tier_key, threshold, &mut SystemRng)?;
            let policy = TierPolicy::default_for(tier);
            tiers.push(TierShares {
                tier,
                commitments,
                policy,
            });
        }
        let sealing = || OpeningKey::random(&mut SystemRng).sealing_key();
        let member = |key: &SigningKey| Member {
            key: key.verifying_key(),
            sealing: sealing(),
            relation: Relation::default(),
        };
        let mut enrolment = Enrolment {
            sealing: sealing(),
            roster: kin.iter().map(member).collect(),
            tiers,
            rules: RosterRules::default(),
            escalation: Escalation::default(),
            second: None,
            sponsor: HospitalId::of(&hospital.verifying_key()),
            sponsor_signature: Signature([0; 64]),
            acceptances: Vec::new(),
        };
        let id = PatientId::of(&patient.verifying_key());
        let digest = enrolment.digest(chain.id(), id);
        enrolment.sponsor_signature = Enrolment::sponsor(&digest, &hospital);
        let accept = |key: &SigningKey| {
            let kin = KinId::of(&key.verifying_key());
            key.sign(&Enrolment::acceptance(&digest, kin))
        };
        enrolment.acceptances = kin.iter().map(accept).collect();
        Ok(Self {
            hospital,
            patient,
            kin,
            enrolment,
            threshold,
        })
    }

    pub(super) fn patient_id(&self) -> PatientId {
        AccountId::of(&self.patient.verifying_key()).into()
    }

    pub(super) fn author(&self) -> HospitalId {
        HospitalId::of(&self.hospital.verifying_key())
    }

    /// The file as a hospital seals it: cut into a summary and one record for each resource with the frame between them, an upload for each
    /// tier, every kin's receipt.
    pub(super) fn seal(&self, chain: &Chain, bundle: &[u8]) -> anyhow::Result<Vec<Sealed>> {
        let parsed = Bundle::parse(bundle)?;
        let cut = cut::cut(&parsed, SUMMARY_MS)?;
        let mut plain = vec![(Tier::Summary, cut.summary)];
        plain.extend(cut.parts.into_iter().map(|part| (part.tier, part.bytes)));
        let mut uploads = Vec::new();
        for tier in Tier::ALL {
            let of_tier = plain.iter().filter(|(other, _)| *other == tier);
            let records: Vec<&[u8]> = of_tier.map(|(_, bytes)| bytes.as_slice()).collect();
            for some in records.chunks(RECORDS_MAX) {
                uploads.push(self.upload(chain, tier, some)?);
            }
        }
        Ok(uploads)
    }

    fn upload(&self, chain: &Chain, tier: Tier, plain: &[&[u8]]) -> anyhow::Result<Sealed> {
        let shares = self.enrolment.tier(tier).context("a tier without a key")?;
        let tier_key = shares.commitments.public_key();
        let (mut records, mut sets) = (Vec::new(), Vec::new());
        for bytes in plain {
            let mut id = [0; RecordId::LEN];
            SystemRng.fill_bytes(&mut id);
            let context = SealContext {
                chain: chain.id(),
                patient: self.patient_id(),
                record: RecordId(id),
                tier,
                author: self.author(),
            };
            let record = seal(bytes, &context, tier_key, &mut SystemRng)?;
            sets.push(shards(&record.ciphertext, self.threshold)?);
            records.push(record);
        }
        let entries = records.iter().zip(&sets);
        let manifest = Manifest::new(entries.map(|(one, set)| one.entry(set.root)).collect())?;
        let mut receipts = Vec::new();
        for (place, key) in self.kin.iter().enumerate() {
            let mine: Vec<&Shard> = sets
                .iter()
                .filter_map(|set| set.shards.get(place))
                .collect();
            receipts.push(self.receipt(chain, tier, place, key, &manifest, &mine)?);
        }
        let header = BatchHeader {
            chain: chain.id(),
            patient: self.patient_id(),
            tier,
            author: self.author(),
            epoch: Enrolment::EPOCH,
            manifest_root: manifest.root(),
            records: u32::try_from(records.len())?,
            bytes: manifest.bytes(),
            receipts_root: receipts_root(&receipts)?,
            receipts: u8::try_from(receipts.len())?,
            status: BatchStatus::Stored,
        };
        Ok(Sealed {
            header,
            receipts: receipts.iter().map(ReceiptLine::from).collect(),
            records,
            manifest,
        })
    }

    fn receipt(
        &self,
        chain: &Chain,
        tier: Tier,
        place: usize,
        key: &SigningKey,
        manifest: &Manifest,
        mine: &[&Shard],
    ) -> anyhow::Result<Receipt> {
        let leaves = mine.iter().zip(manifest.entries());
        let body = ReceiptBody {
            chain: chain.id(),
            kin: KinId::of(&key.verifying_key()),
            index: ShareIndex::from_position(place).context("too many kin")?,
            patient: self.patient_id(),
            tier,
            epoch: Enrolment::EPOCH,
            manifest_root: manifest.root(),
            held: held_digest(leaves.map(|(shard, entry)| shard.leaf(entry, self.threshold))),
        };
        Ok(body.sign(key))
    }
}
