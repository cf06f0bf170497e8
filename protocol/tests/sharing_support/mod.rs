//! A patient, kin, records and a request, all from one seed.

#![allow(dead_code, reason = "each test file uses a part of it")]

use kithkin_protocol::crypto::group::Scalar;
use kithkin_protocol::crypto::{Digest, hash};
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId, RecordId, TxId};
use kithkin_protocol::record::{self, CheckedCapsule, RecordEntry, SealContext, SealedRecord};
use kithkin_protocol::sharing::{
    Commitments, Opening, OpeningContext, PartialOpening, Rho, SessionSecret, Share, Threshold,
    TierKey, deal, partial_open,
};
use kithkin_protocol::units::{Epoch, Height, ShareIndex, Tier};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

/// Randomness from one byte.
pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

pub(crate) fn index(i: u8) -> ShareIndex {
    ShareIndex::new(i).expect("not zero")
}

pub(crate) fn copy(share: &Share) -> Share {
    Share::from_bytes(share.to_bytes().as_ref()).expect("a share")
}

pub(crate) fn scalar_of(share: &Share) -> Scalar {
    let bytes = share.to_bytes();
    let bytes: [u8; 32] = bytes[1..].try_into().expect("32 bytes");
    Option::from(Scalar::from_canonical_bytes(bytes)).expect("canonical")
}

/// The share of the same index with another scalar.
pub(crate) fn tampered(share: &Share) -> Share {
    let mut bytes = share.to_bytes();
    let changed = scalar_of(share) + Scalar::ONE;
    bytes[1..].copy_from_slice(changed.as_bytes());
    Share::from_bytes(bytes.as_ref()).expect("a share")
}

/// Every subset of `0..n` with `size` members.
pub(crate) fn subsets(n: usize, size: usize) -> impl Iterator<Item = Vec<usize>> {
    (0u32..1 << n)
        .filter(move |mask| mask.count_ones() as usize == size)
        .map(move |mask| (0..n).filter(|i| mask & (1 << i) != 0).collect())
}

pub(crate) fn pick<T: Clone>(all: &[T], positions: &[usize]) -> Vec<T> {
    positions.iter().map(|&i| all[i].clone()).collect()
}

/// Every frame that differs from `frame` in one bit.
pub(crate) fn bit_flips(frame: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..frame.len() * 8).map(|bit| {
        let mut changed = frame.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit / 8, changed)
    })
}

pub(crate) struct Written {
    pub(crate) plaintext: Vec<u8>,
    pub(crate) context: SealContext,
    pub(crate) sealed: SealedRecord,
    pub(crate) entry: RecordEntry,
}

impl Written {
    pub(crate) fn new(
        key: &TierKey,
        tier: Tier,
        number: u8,
        plaintext: &[u8],
        rng: &mut ChaCha20Rng,
    ) -> Self {
        let context = SealContext {
            chain: ChainId([1; 32]),
            patient: PatientId([2; 32]),
            record: RecordId([number; 32]),
            tier,
            author: HospitalId([3; 32]),
        };
        let sealed = record::seal(plaintext, &context, &key.public(), rng).expect("sealed");
        let entry = sealed.entry(Digest::ZERO);
        Self {
            plaintext: plaintext.to_vec(),
            context,
            sealed,
            entry,
        }
    }

    pub(crate) fn check(&self, key: &TierKey) -> CheckedCapsule {
        self.sealed
            .capsule
            .check(&self.context, &self.entry, &key.public())
            .expect("a good capsule")
    }
}

pub(crate) struct Scene {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) key: TierKey,
    pub(crate) threshold: Threshold,
    pub(crate) commitments: Commitments,
    pub(crate) shares: Vec<Share>,
    pub(crate) records: Vec<Written>,
    pub(crate) secret: SessionSecret,
    pub(crate) context: OpeningContext,
}

impl Scene {
    /// `needed` of `kin` shares, and `records` records of the chart.
    pub(crate) fn new(seed: u8, needed: usize, kin: usize, records: u8) -> Self {
        let mut rng = rng(seed);
        let key = TierKey::random(&mut rng);
        let threshold = Threshold::new(needed, kin).expect("a threshold");
        let (commitments, shares) = deal(&key, threshold, &mut rng).expect("dealt");
        let records = (0..records)
            .map(|number| {
                let text = format!("record {number} of {kin} kin");
                Written::new(&key, Tier::Chart, number, text.as_bytes(), &mut rng)
            })
            .collect();
        let secret = SessionSecret::random(&mut rng);
        let request = hash("test/request", &[secret.point().as_ref()]);
        let chain = ChainId([1; 32]);
        let context = OpeningContext {
            chain,
            rho: Rho::of(&chain, Height(9), 4, &TxId([7; 32])),
            request,
            patient: PatientId([2; 32]),
            tier: Tier::Chart,
            epoch: Epoch(1),
            session: secret.prove(&request, &mut rng),
        };
        Self {
            rng,
            key,
            threshold,
            commitments,
            shares,
            records,
            secret,
            context,
        }
    }

    pub(crate) fn majority(seed: u8, kin: usize, records: u8) -> Self {
        Self::new(seed, kin / 2 + 1, kin, records)
    }

    pub(crate) fn capsules(&self) -> Vec<CheckedCapsule> {
        self.records.iter().map(|r| r.check(&self.key)).collect()
    }

    pub(crate) fn opening(&self) -> Opening {
        Opening::new(&self.context, &self.commitments, &self.capsules()).expect("an opening")
    }

    pub(crate) fn partials(&mut self) -> Vec<PartialOpening> {
        let opening = self.opening();
        let rng = &mut self.rng;
        self.shares
            .iter()
            .map(|share| partial_open(share, &opening, rng).expect("a good share"))
            .collect()
    }
}
