//! Batches with records of given lengths, and all their shards.

use crate::sharing_support::*;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId, RecordId};
use kithkin_protocol::record::*;
use kithkin_protocol::sharing::Threshold;
use kithkin_protocol::units::{Epoch, ShareIndex, Tier};
use rand_core::Rng as _;
use std::collections::BTreeSet;

pub(crate) const CHAIN: ChainId = ChainId([1; 32]);
pub(crate) const PATIENT: PatientId = PatientId([2; 32]);
pub(crate) const AUTHOR: HospitalId = HospitalId([3; 32]);
pub(crate) static NOTHING_ERASED: BTreeSet<RecordId> = BTreeSet::new();

pub(crate) fn threshold(needed: usize, kin: usize) -> Threshold {
    Threshold::new(needed, kin).expect("a threshold")
}

/// A line of a record that nobody looks into.
pub(crate) fn line(batch: u8, number: usize, bytes: usize) -> RecordEntry {
    let mut record = [batch; 32];
    record[..8].copy_from_slice(&(number as u64).to_be_bytes());
    RecordEntry {
        record: RecordId(record),
        commitment: Digest([4; 32]),
        ciphertext: Digest([5; 32]),
        capsule: Digest([6; 32]),
        shard_root: Digest([7; 32]),
        bytes: bytes as u32,
    }
}

pub(crate) fn header(manifest: &Manifest) -> BatchHeader {
    BatchHeader {
        chain: CHAIN,
        patient: PATIENT,
        tier: Tier::Chart,
        author: AUTHOR,
        epoch: Epoch(1),
        manifest_root: manifest.root(),
        records: manifest.entries().len() as u32,
        bytes: manifest.bytes(),
        receipts_root: Digest::ZERO,
        receipts: 5,
        status: BatchStatus::Stored,
    }
}

/// A batch whose records exist.
pub(crate) struct Stock {
    pub(crate) shape: Threshold,
    pub(crate) manifest: Manifest,
    pub(crate) header: BatchHeader,
    /// By record, then by slot.
    pub(crate) shards: Vec<Vec<Shard>>,
}

impl Stock {
    pub(crate) fn new(batch: u8, shape: Threshold, lengths: &[usize]) -> Self {
        let (mut lines, mut sets) = (Vec::new(), Vec::new());
        let mut rng = rng(batch);
        for (number, length) in lengths.iter().enumerate() {
            let mut ciphertext = vec![0; *length];
            rng.fill_bytes(&mut ciphertext);
            let set = shards(&ciphertext, shape).expect("cut");
            lines.push(RecordEntry {
                ciphertext: ciphertext_digest(&ciphertext),
                shard_root: set.root,
                ..line(batch, number, *length)
            });
            sets.push(set.shards);
        }
        let manifest = Manifest::new(lines).expect("a manifest");
        Self {
            shape,
            header: header(&manifest),
            manifest,
            shards: sets,
        }
    }

    pub(crate) fn duty(&self, slot: u8) -> Duty<'_> {
        Duty {
            header: &self.header,
            shape: self.shape,
            slot: index(slot),
            erased: &NOTHING_ERASED,
        }
    }

    pub(crate) fn shard(&self, record: &RecordId, slot: ShareIndex) -> &Shard {
        let mut lines = self.manifest.entries().iter();
        let position = lines.position(|line| line.record == *record);
        &self.shards[position.expect("its record")][slot.position()]
    }

    /// What a kin that has everything says to `place`.
    pub(crate) fn prove(&self, place: &Place<'_>) -> Proof {
        let shard = place
            .record(&self.manifest)
            .map(|line| self.shard(&line.record, place.duty.slot));
        place.prove(&self.manifest, shard)
    }
}

pub(crate) fn duties<'a>(all: impl IntoIterator<Item = Duty<'a>>) -> Duties<'a> {
    Duties::new(CHAIN, PATIENT, Tier::Chart, all).expect("duties")
}

pub(crate) fn challenge(number: u64) -> Challenge {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Challenge {
        seed: Digest(seed),
        epoch: Epoch(1),
        index: index(1),
        round: 1,
    }
}
