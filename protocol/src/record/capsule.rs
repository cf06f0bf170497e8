//! The key capsule: TDH2 (Shoup and Gennaro, EUROCRYPT 1998) over ristretto255, opening.md section 2.
//!
//! `U = rG` hides the record's key under `K = rP`. `Ubar = r Gbar` and the proof
//! show that the author knows `r`, and bind the capsule to its label: nobody can
//! copy somebody else's `U` under a label of their own and have it opened.

use super::{CapsuleKey, RecordEntry};
use crate::bytes::byte_newtype;
use crate::crypto::group::{
    GroupError, Point, PointBytes, Scalar, ScalarBytes, encode_doubles, hash_to_group,
    hedged_nonce, random_scalar,
};
use crate::crypto::{Digest, HashWriter, Secret32, hash};
use crate::ids::{ChainId, HospitalId, PatientId, RecordId};
use crate::sharing::TierPublicKey;
use crate::units::Tier;
use curve25519_dalek::ristretto::RistrettoBasepointTable;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use zeroize::Zeroizing;

const PROOF: &str = "kithkin/capsule-proof/2";

/// The second base, whose logarithm nobody knows, with multiples of it: multiplied in constant time, as fast as the first.
static GBAR: LazyLock<RistrettoBasepointTable> =
    LazyLock::new(|| RistrettoBasepointTable::create(&hash_to_group("kithkin/gbar/1", &[])));

byte_newtype!(
    /// `L`: binds a capsule to one record, its owner, its author and its ciphertext.
    Label, 32
);
byte_newtype!(
    /// `W`: the record's key under AES-256-GCM, ciphertext and tag.
    WrappedKey, 48
);

byte_newtype!(
    /// `e`: the first 16 bytes of a hash, a little-endian number. A false proof passes with a chance of `2^-128` for each one that is tried (ADR 47).
    CapsuleChallenge, 16
);

impl CapsuleChallenge {
    fn scalar(&self) -> Scalar {
        Scalar::from(u128::from_le_bytes(self.0))
    }

    /// `-e P`, in variable time: everything here is public. Half as many doublings as for a scalar of full length.
    fn times_negated(&self, point: &Point) -> Point {
        Point::vartime_double_scalar_mul_basepoint(&self.scalar(), &-point, &Scalar::ZERO)
    }
}

/// Whose record it is and who wrote it. Bound into ciphertext and capsule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealContext {
    /// The ledger.
    pub chain: ChainId,
    /// Whose record.
    pub patient: PatientId,
    /// Which record.
    pub record: RecordId,
    /// Sealed to the key of which tier.
    pub tier: Tier,
    /// Who wrote it.
    pub author: HospitalId,
}

impl SealContext {
    /// `L = H(domain, chain, patient, record id, tier, author, ciphertext digest)`.
    #[must_use]
    pub fn label(&self, ciphertext: &Digest) -> Label {
        let mut writer = self.writer("kithkin/label/1");
        writer.field(ciphertext);
        Label(writer.finish().0)
    }

    /// What the ciphertext itself is bound to. It cannot be the label, which covers the ciphertext (ADR 0020).
    pub(super) fn associated_data(&self) -> Digest {
        self.writer("kithkin/record-aad/1").finish()
    }

    fn writer(&self, domain: &str) -> HashWriter {
        let mut writer = HashWriter::new(domain);
        writer
            .field(self.chain)
            .field(self.patient)
            .field(self.record)
            .field(self.tier.as_str())
            .field(self.author);
        writer
    }
}

/// A record's key, encapsulated to a tier key: 192 bytes, 205 on the wire. Not checked yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capsule {
    /// `L`.
    pub label: Label,
    /// `W`.
    pub wrapped: WrappedKey,
    /// `U = rG`.
    pub u: PointBytes,
    /// `Ubar = r Gbar`.
    pub u_bar: PointBytes,
    /// Challenge of the proof.
    pub e: CapsuleChallenge,
    /// Response of the proof, `w/2 + e r`: what is hashed are the doubles of `zG - eU` and `z Gbar - e Ubar`.
    pub z: ScalarBytes,
}

/// What can be wrong with a capsule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapsuleError {
    /// A point or scalar that is not canonical, or the identity.
    #[error("the capsule is malformed: {0}")]
    Encoding(#[from] GroupError),
    /// The proof does not hold for this capsule and key.
    #[error("the capsule's proof does not hold for this tier key")]
    Proof,
    /// The label is not that of the record.
    #[error("the capsule belongs to another record, patient, tier, author, chain or ciphertext")]
    Label,
    /// Not the capsule that the manifest names, or the manifest's entry is of another record.
    #[error("the manifest names another capsule for this record")]
    Entry,
    /// The key does not open this capsule.
    #[error("this key does not open the capsule")]
    Unwrap,
}

impl Capsule {
    /// Encapsulates `dek` under `label` to `tier_key`.
    pub(super) fn encapsulate(
        dek: &Secret32,
        label: Label,
        tier_key: &TierPublicKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, CapsuleError> {
        let r = Zeroizing::new(random_scalar(rng));
        let u = PointBytes::from(&Point::mul_base(&r));
        let key = CapsuleKey::new(tier_key.point() * *r);
        let wrapped = key.wrap(dek, &label, &u)?;
        Ok(Self::proved(&r, label, wrapped, tier_key, rng))
    }

    /// The capsule with its proof. The proof says nothing about what `wrapped` is.
    pub(super) fn proved(
        r: &Scalar,
        label: Label,
        wrapped: WrappedKey,
        tier_key: &TierPublicKey,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let u = PointBytes::from(&Point::mul_base(r));
        let u_bar = PointBytes::from(&(r * &*GBAR));
        let mut capsule = Self {
            label,
            wrapped,
            u,
            u_bar,
            e: CapsuleChallenge([0; 16]),
            z: ScalarBytes([0; 32]),
        };
        let w = Zeroizing::new(hedged_nonce(
            rng,
            r,
            &[PROOF.as_bytes(), label.as_ref(), wrapped.as_ref()],
        ));
        let half = Zeroizing::new(w.div_by_2());
        capsule.e = capsule.challenge([Point::mul_base(&half), &*half * &*GBAR], tier_key);
        capsule.z = ScalarBytes::from(&(*half + capsule.e.scalar() * r));
        capsule
    }

    /// `e = H(domain, L, W, U, Ubar, wG, w Gbar, P)`, cut, from `w/2 G` and `w/2 Gbar`.
    fn challenge(&self, halves: [Point; 2], tier_key: &TierPublicKey) -> CapsuleChallenge {
        let nonces = encode_doubles(&halves);
        let mut fields: Vec<&[u8]> = vec![
            self.label.as_ref(),
            self.wrapped.as_ref(),
            self.u.as_ref(),
            self.u_bar.as_ref(),
        ];
        fields.extend(nonces.iter().map(AsRef::as_ref));
        fields.push(tier_key.as_bytes().as_ref());
        let mut e = [0; CapsuleChallenge::LEN];
        for (to, from) in e.iter_mut().zip(hash(PROOF, &fields).0) {
            *to = from;
        }
        CapsuleChallenge(e)
    }

    /// Checks the proof and returns `U`. Says nothing about the label: [`Capsule::check`] does.
    ///
    /// # Errors
    /// [`CapsuleError::Encoding`] or [`CapsuleError::Proof`].
    pub fn verify(&self, tier_key: &TierPublicKey) -> Result<Point, CapsuleError> {
        let (u, u_bar) = (self.u.decode()?, self.u_bar.decode()?);
        let z = self.z.decode()?;
        let on_base = Point::mul_base(&z) + self.e.times_negated(&u);
        let on_bar = &z * &*GBAR + self.e.times_negated(&u_bar);
        if self.challenge([on_base, on_bar], tier_key) == self.e {
            Ok(u)
        } else {
            Err(CapsuleError::Proof)
        }
    }

    /// Checks everything that makes this the capsule of one record: the manifest's entry, the label, the proof.
    ///
    /// # Errors
    /// Every [`CapsuleError`] but [`CapsuleError::Unwrap`].
    pub fn check(
        &self,
        context: &SealContext,
        entry: &RecordEntry,
        tier_key: &TierPublicKey,
    ) -> Result<CheckedCapsule, CapsuleError> {
        if entry.record != context.record || entry.capsule != self.digest() {
            return Err(CapsuleError::Entry);
        }
        if self.label != context.label(&entry.ciphertext) {
            return Err(CapsuleError::Label);
        }
        let u = self.verify(tier_key)?;
        Ok(CheckedCapsule {
            capsule: *self,
            context: *context,
            entry: entry.clone(),
            tier_key: *tier_key,
            u,
        })
    }

    /// What the manifest names the capsule by; covers every field.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash(
            "kithkin/capsule/1",
            &[
                self.label.as_ref(),
                self.wrapped.as_ref(),
                self.u.as_ref(),
                self.u_bar.as_ref(),
                self.e.as_ref(),
                self.z.as_ref(),
            ],
        )
    }
}

/// A capsule whose entry, label and proof were checked: the only kind that shares and keys are applied to.
#[derive(Clone, Debug)]
pub struct CheckedCapsule {
    capsule: Capsule,
    context: SealContext,
    entry: RecordEntry,
    tier_key: TierPublicKey,
    u: Point,
}

impl CheckedCapsule {
    /// The capsule itself.
    #[must_use]
    pub fn capsule(&self) -> &Capsule {
        &self.capsule
    }

    /// Whose record it opens.
    #[must_use]
    pub fn context(&self) -> &SealContext {
        &self.context
    }

    /// The record's entry in its manifest.
    #[must_use]
    pub fn entry(&self) -> &RecordEntry {
        &self.entry
    }

    /// The key that it was made for.
    #[must_use]
    pub fn tier_key(&self) -> &TierPublicKey {
        &self.tier_key
    }

    /// `U`, decoded.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.u
    }
}
