//! A patient, kin, records and a request, all from one seed.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod dealings;
pub(crate) mod oracle;

use dealings::{resharing_dealings, zero_dealings};
use kithkin_protocol::crypto::group::{Point, PointBytes, Scalar, ScalarBytes};
use kithkin_protocol::crypto::{Digest, hash};
use kithkin_protocol::ids::{ChainId, HospitalId, PatientId, RecordId, TxId};
use kithkin_protocol::record::{self, CheckedCapsule, RecordEntry, SealContext, SealedRecord};
use kithkin_protocol::sharing::*;
use kithkin_protocol::units::{CircleKind, Epoch, Height, ShareIndex, Tier};
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

pub(crate) fn held(share: &Share, commitments: &Commitments) -> HeldShare {
    copy(share).held(commitments).expect("a share that fits")
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

/// Copies of the shares at these positions.
pub(crate) fn chosen(shares: &[Share], positions: &[usize]) -> Vec<Share> {
    positions.iter().map(|&i| copy(&shares[i])).collect()
}

/// Encodings of which none is that of a group element: RFC 9496, appendix A.2 (one of each kind), the identity, and
/// the group order's neighbours.
pub(crate) const BAD_POINTS: [&str; 9] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    // Not below the field's prime.
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    // Negative.
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    // No square.
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    // y = 0.
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

pub(crate) fn bad_points() -> impl Iterator<Item = PointBytes> {
    BAD_POINTS
        .into_iter()
        .map(|hex| PointBytes::from_hex(hex).expect("64 digits"))
}

/// The group order and two numbers above it.
pub(crate) fn bad_scalars() -> impl Iterator<Item = ScalarBytes> {
    let order: [u8; 32] = oracle::order().to_bytes_le().try_into().expect("32 bytes");
    let mut above = order;
    above[0] += 1;
    [order, above, [0xff; 32]].into_iter().map(ScalarBytes)
}

/// The same number modulo the group order, in an encoding that nobody may use.
pub(crate) fn same_but_not_canonical(scalar: &ScalarBytes) -> ScalarBytes {
    let sum = num_bigint::BigUint::from_bytes_le(&scalar.0) + oracle::order();
    let mut bytes = [0; 32];
    let digits = sum.to_bytes_le();
    bytes[..digits.len()].copy_from_slice(&digits);
    ScalarBytes(bytes)
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
            circle: CircleKind::First,
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
            .map(|share| partial_open(&held(share, &self.commitments), &opening, rng))
            .map(|opened| opened.expect("a good share"))
            .collect()
    }

    /// The next epoch's commitments and shares.
    pub(crate) fn renewed(self, commitments: Commitments, shares: Vec<Share>) -> Self {
        let threshold = Threshold::new(commitments.threshold(), shares.len());
        let context = OpeningContext {
            epoch: self.context.epoch.plus(1),
            ..self.context
        };
        Self {
            threshold: threshold.expect("a threshold"),
            commitments,
            shares,
            context,
            ..self
        }
    }

    /// After a refresh by `dealers`.
    pub(crate) fn refreshed(mut self, dealers: &[u8]) -> Self {
        let (dealings, given) = zero_dealings(self.threshold, dealers, &mut self.rng);
        let refresh = Refresh::new(&self.commitments, self.threshold, dealings).expect("good");
        let renew = |share| refresh.renew(share, &given).expect("good zero-shares");
        let shares = self.shares.iter().map(renew).collect();
        self.renewed(refresh.commitments().clone(), shares)
    }

    /// After handing the key on to the roster of `threshold`; the shares at the positions `dealers` are dealt.
    pub(crate) fn reshared(mut self, dealers: &[usize], threshold: Threshold) -> Self {
        let holders = dealers.iter().map(|&i| &self.shares[i]);
        let (dealings, given) = resharing_dealings(holders, threshold, &mut self.rng);
        let resharing = Resharing::new(&self.commitments, threshold, dealings).expect("good");
        let share = |index| resharing.share(index, &given).expect("good sub-shares");
        let shares = threshold.indices().map(share).collect();
        self.renewed(resharing.commitments().clone(), shares)
    }

    /// Every threshold-many shares rebuild the key; one fewer do not, and not only because they are refused.
    pub(crate) fn assert_exactly_threshold_many_rebuild(&self) {
        let needed = self.threshold.needed();
        for subset in subsets(self.shares.len(), needed) {
            let shares = chosen(&self.shares, &subset);
            let rebuilt = reconstruct(&shares, &self.commitments).expect("enough");
            assert_eq!(rebuilt.key.to_secret(), self.key.to_secret());
            assert!(rebuilt.refused.is_empty());
            let by_oracle = oracle::interpolate(&oracle::points(&shares), 0);
            assert_eq!(by_oracle, oracle::secret_number(&self.key));
        }
        for subset in subsets(self.shares.len(), needed - 1) {
            let shares = chosen(&self.shares, &subset);
            let (good, refused) = (needed - 1, vec![]);
            assert_eq!(
                reconstruct(&shares, &self.commitments).expect_err("too few"),
                ReconstructError::TooFew {
                    good,
                    needed,
                    refused
                }
            );
            let by_oracle = oracle::interpolate(&oracle::points(&shares), 0);
            assert_ne!(by_oracle, oracle::secret_number(&self.key));
        }
    }

    /// Every threshold-many partial openings open all records; one fewer do not, and not only because they are refused.
    pub(crate) fn assert_exactly_threshold_many_open(&mut self) {
        let needed = self.threshold.needed();
        let (opening, partials, capsules) = (self.opening(), self.partials(), self.capsules());
        for subset in subsets(partials.len(), needed) {
            let combined = combine(&opening, &self.secret, &pick(&partials, &subset));
            let combined = combined.expect("enough");
            assert!(combined.refused.is_empty());
            for ((key, capsule), written) in combined.keys.iter().zip(&capsules).zip(&self.records)
            {
                let opened = record::open(key, capsule, &written.sealed.ciphertext);
                assert_eq!(opened.as_deref(), Ok(written.plaintext.as_slice()));
            }
        }
        for subset in subsets(partials.len(), needed - 1) {
            let few = pick(&partials, &subset);
            let (good, refused) = (needed - 1, vec![]);
            assert_eq!(
                combine(&opening, &self.secret, &few).expect_err("too few"),
                CombineError::TooFew {
                    good,
                    needed,
                    refused
                }
            );
            assert_ne!(interpolated(&few), self.masked_key());
        }
    }

    /// `K_1 + eps P`: what the first points of enough partial openings interpolate to.
    pub(crate) fn masked_key(&self) -> Point {
        let scalar = |secret: &[u8; 32]| ScalarBytes(*secret).decode().expect("canonical");
        let eps = scalar(self.secret.to_secret().expose());
        let x = scalar(self.key.to_secret().expose());
        (self.capsules()[0].point() + Point::mul_base(&eps)) * x
    }
}

/// The first points of `partials`, interpolated at 0 without any check.
pub(crate) fn interpolated(partials: &[PartialOpening]) -> Point {
    let indices: Vec<ShareIndex> = partials.iter().map(|p| p.index).collect();
    let lambdas = lagrange_at_zero(&indices).expect("all different");
    let points = partials
        .iter()
        .map(|p| p.points[0].decode().expect("a point"));
    lambdas
        .iter()
        .zip(points)
        .map(|(lambda, point)| point * lambda)
        .sum()
}
