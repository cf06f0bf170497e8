//! The cryptography of an opening in steps, as kin and hospital do it (docs/spec/opening.md, section 3).
//!
//! Not in it: the network, the disk, the ledger's proofs, manifests and shards.

use super::figures::{Spent, timed};
use super::scene::{Kin, Record, Scene};
use kithkin_protocol::crypto::group::{BASE, PointBytes};
use kithkin_protocol::crypto::{
    Digest, Sealed, Secret32, Signature, VerifyingKey, aead, verify_each,
};
use kithkin_protocol::record::{CapsuleKey, CheckedCapsule, open};
use kithkin_protocol::sharing::{
    CheckedPartial, Opening, PartialOpening, SignedPartial, check_partial, check_partials,
    combine_checked, partial_open,
};
use rand_chacha::ChaCha20Rng;
use std::hint::black_box;

/// One step of an opening; by whom, says its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Step {
    KinCapsules,
    KinContext,
    Partial,
    Sign,
    HpkeSeal,
    HospitalCapsules,
    HospitalContext,
    HpkeOpen,
    Signature,
    Judge,
    Combine,
    Record,
}

/// A part of [`Step::Record`], measured by itself on data of the same size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Unwrap,
    Aes,
    Unpack,
}

impl Step {
    pub(crate) const ALL: [Self; 12] = [
        Self::KinCapsules,
        Self::KinContext,
        Self::Partial,
        Self::Sign,
        Self::HpkeSeal,
        Self::HospitalCapsules,
        Self::HospitalContext,
        Self::HpkeOpen,
        Self::Signature,
        Self::Judge,
        Self::Combine,
        Self::Record,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KinCapsules => "kin: capsule check",
            Self::KinContext => "kin: session proof, U + E",
            Self::Partial => "kin: partial opening with DLEQ proof",
            Self::Sign => "kin: digest and signature",
            Self::HpkeSeal => "kin: HPKE seal",
            Self::HospitalCapsules => "hospital: capsule check",
            Self::HospitalContext => "hospital: session proof, U + E",
            Self::HpkeOpen => "hospital: HPKE open",
            Self::Signature => "hospital: digest and signature checks",
            Self::Judge => "hospital: DLEQ checks",
            Self::Combine => "hospital: combination",
            Self::Record => "hospital: unwrap key, AES-GCM, zstd, digests",
        }
    }
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Unwrap, Self::Aes, Self::Unpack];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unwrap => "of the last: unwrap the key",
            Self::Aes => "of the last: AES-GCM",
            Self::Unpack => "of the last: zstd",
        }
    }
}

/// Time by step, and how often each was done.
#[derive(Clone, Default, Debug)]
pub(crate) struct Steps {
    pub(crate) spent: [Spent; Step::ALL.len()],
    pub(crate) times: [u32; Step::ALL.len()],
}

impl Steps {
    pub(crate) fn time<T>(&mut self, step: Step, work: impl FnOnce() -> T) -> T {
        self.time_all(step, 1, work)
    }

    /// `work` that does as many at once.
    pub(crate) fn time_all<T>(&mut self, step: Step, times: u32, work: impl FnOnce() -> T) -> T {
        let (value, took) = timed(work);
        self.spent[step as usize] += took;
        self.times[step as usize] += times;
        value
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for position in 0..Step::ALL.len() {
            self.spent[position] += other.spent[position];
            self.times[position] += other.times[position];
        }
    }

    pub(crate) fn total(&self) -> Spent {
        self.spent.iter().copied().sum()
    }
}

fn check(scene: &Scene) -> Vec<CheckedCapsule> {
    let check = |record: &Record| {
        let capsule = &record.sealed.capsule;
        capsule.check(&record.context, &record.entry, &scene.tier_key)
    };
    let checked: Result<Vec<_>, _> = scene.records.iter().map(check).collect();
    checked.expect("good capsules")
}

fn opening(scene: &Scene, capsules: &[CheckedCapsule]) -> Opening {
    Opening::new(&scene.context, &scene.commitments, capsules).expect("an opening")
}

/// All that one kin does once the case is granted.
pub(crate) fn release(
    scene: &Scene,
    kin: &Kin,
    rng: &mut ChaCha20Rng,
    steps: &mut Steps,
) -> Sealed {
    let capsules = steps.time(Step::KinCapsules, || check(scene));
    let opening = steps.time(Step::KinContext, || opening(scene, &capsules));
    let partial = steps.time(Step::Partial, || partial_open(&kin.share, &opening, rng));
    let partial = partial.expect("a good share");
    let signed = steps.time(Step::Sign, || partial.sign(&scene.context.rho, &kin.key));
    let sealed = steps.time(Step::HpkeSeal, || {
        signed.seal(&scene.context, &scene.session_key, rng)
    });
    sealed.expect("sealed")
}

/// What the hospital does before the first kin has answered.
pub(crate) fn prepare(scene: &Scene, steps: &mut Steps) -> (Vec<CheckedCapsule>, Opening) {
    let capsules = steps.time(Step::HospitalCapsules, || check(scene));
    let opening = steps.time(Step::HospitalContext, || opening(scene, &capsules));
    (capsules, opening)
}

fn unseal(scene: &Scene, sealed: &Sealed, steps: &mut Steps) -> SignedPartial {
    let signed = steps.time(Step::HpkeOpen, || {
        SignedPartial::unseal(sealed, &scene.context, &scene.inbox)
    });
    signed.expect("unsealed")
}

/// Opens and checks what one kin sent; the last two steps are [`SignedPartial::check`].
pub(crate) fn judge(
    scene: &Scene,
    opening: &Opening,
    kin: &Kin,
    sealed: &Sealed,
    steps: &mut Steps,
) -> CheckedPartial {
    let signed = unseal(scene, sealed, steps);
    let key = kin.key.verifying_key();
    let signature = steps.time(Step::Signature, || {
        let digest = signed.partial.digest(&scene.context.rho);
        key.verify(digest.as_ref(), &signed.signature)
    });
    signature.expect("a good signature");
    let checked = steps.time(Step::Judge, || check_partial(opening, &signed.partial));
    checked.expect("a good partial opening")
}

/// The same for what several kin sent, the last two steps for all at once, as in [`SignedPartial::check_all`].
fn judge_all(
    scene: &Scene,
    opening: &Opening,
    sealed: &[Sealed],
    steps: &mut Steps,
) -> Vec<CheckedPartial> {
    let signed: Vec<SignedPartial> = sealed
        .iter()
        .map(|sealed| unseal(scene, sealed, steps))
        .collect();
    let keys = scene.kin.iter().map(|kin| kin.key.verifying_key());
    let keys: Vec<VerifyingKey> = keys.take(sealed.len()).collect();
    let number = u32::try_from(sealed.len()).expect("few");
    let signatures = steps.time_all(Step::Signature, number, || {
        let digests: Vec<Digest> = signed
            .iter()
            .map(|signed| signed.partial.digest(&scene.context.rho))
            .collect();
        let items: Vec<(VerifyingKey, &[u8], Signature)> = signed
            .iter()
            .zip(&keys)
            .zip(&digests)
            .map(|((signed, key), digest)| (*key, digest.as_ref(), signed.signature))
            .collect();
        verify_each(&items)
    });
    assert!(signatures.iter().all(|holds| *holds), "a good signature");
    let checked = steps.time_all(Step::Judge, number, || {
        let partials: Vec<&PartialOpening> = signed.iter().map(|signed| &signed.partial).collect();
        check_partials(opening, &partials)
    });
    let checked: Result<Vec<CheckedPartial>, _> = checked.into_iter().collect();
    checked.expect("good partial openings")
}

/// The capsules' keys from as many good partial openings as are needed.
pub(crate) fn combined(
    scene: &Scene,
    opening: &Opening,
    partials: &[CheckedPartial],
    steps: &mut Steps,
) -> Vec<CapsuleKey> {
    let keys = steps.time(Step::Combine, || {
        let partials: Vec<&CheckedPartial> = partials.iter().collect();
        combine_checked(opening, &scene.secret, &partials)
    });
    keys.expect("enough")
}

/// Every record's plaintext, compared with what was sealed after the clock has stopped.
pub(crate) fn plaintexts(
    scene: &Scene,
    keys: &[CapsuleKey],
    capsules: &[CheckedCapsule],
    steps: &mut Steps,
) {
    let opened: Vec<Vec<u8>> = steps.time(Step::Record, || {
        let records = scene.records.iter().zip(capsules).zip(keys);
        let opened = records.map(|((record, capsule), key)| {
            open(key, capsule, &record.sealed.ciphertext).expect("opens")
        });
        opened.collect()
    });
    let sealed = scene.records.iter().map(|record| &record.plaintext);
    assert!(opened.iter().eq(sealed), "another plaintext");
}

/// An opening from the first capsule check to the plaintext, one step after the other on one thread, by the first
/// threshold-many kin.
pub(crate) fn in_series(scene: &Scene, rng: &mut ChaCha20Rng) -> Steps {
    let mut steps = Steps::default();
    let needed = scene.commitments.threshold();
    let (capsules, opening) = prepare(scene, &mut steps);
    let sealed: Vec<Sealed> = scene.kin[..needed]
        .iter()
        .map(|kin| release(scene, kin, rng, &mut steps))
        .collect();
    let partials = judge_all(scene, &opening, &sealed, &mut steps);
    let keys = combined(scene, &opening, &partials, &mut steps);
    plaintexts(scene, &keys, &capsules, &mut steps);
    steps
}

/// The parts of [`Step::Record`] that have no door of their own, redone on data of the same size.
pub(crate) fn parts_of_record(scene: &Scene) -> [Spent; Part::ALL.len()] {
    let record = &scene.records[0];
    let key = Secret32::new([9; 32]);
    let nonce = [0; aead::NONCE_BYTES];
    let frame = zstd::bulk::compress(&record.plaintext, 3).expect("compresses");
    let body = record.sealed.ciphertext.len() - aead::NONCE_BYTES - aead::TAG_BYTES;
    let sealed = aead::seal(&key, nonce, &[0; 32], &vec![5; body]).expect("short");
    let wrapped = aead::seal(&key, nonce, &[0; 32], &[6; 32]).expect("short");
    Part::ALL.map(|part| match part {
        Part::Unwrap => {
            let work = || {
                let point = PointBytes::from(black_box(&BASE));
                black_box(aead::derive_key(
                    point.as_ref(),
                    &[&[0; 22], &[0; 32], &[0; 32]],
                ));
                aead::open(&key, nonce, &[0; 32], black_box(&wrapped)).expect("opens")
            };
            timed(work).1
        }
        Part::Aes => timed(|| aead::open(&key, nonce, &[0; 32], black_box(&sealed))).1,
        Part::Unpack => {
            timed(|| zstd::bulk::decompress(black_box(&frame), record.plaintext.len())).1
        }
    })
}
