//! A proof that two pairs of points have the same logarithm (Chaum and Pedersen, CRYPTO 1992; opening.md section 3).
//!
//! It carries the prover's two points instead of the challenge, so that many proofs are judged in one sum (ADR 45).

use crate::crypto::group::{
    BASE, GroupError, Point, PointBytes, Scalar, ScalarBytes, encode_doubles, hash_to_scalar,
    hedged_nonce,
};
use crate::crypto::{Digest, HashWriter, hash};
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const DOMAIN: &str = "kithkin/dleq/3";

/// Shows `log_G S = log_M Z` without showing the logarithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DleqProof {
    /// `T = tG`.
    pub on_base: PointBytes,
    /// `V = tM`.
    pub on_m: PointBytes,
    /// `t + c s`, where `c = H_l(domain, seed, T, V)`.
    pub response: ScalarBytes,
}

/// What is proved: `S = sG` and `Z = sM`. All of it is public.
#[derive(Clone, Copy)]
pub(super) struct Statement<'a> {
    /// Digest of everything that `S`, `M` and `Z` are made of: the proof is worth nothing if one of them can be chosen after it.
    pub(super) seed: &'a Digest,
    pub(super) share_key: Point,
    pub(super) m: Point,
    pub(super) z: Point,
}

impl DleqProof {
    /// Shows that `S = secret G` and `Z = secret M`; `seed` covers `S`, `M` and `Z`.
    pub(super) fn new(seed: &Digest, m: &Point, secret: &Scalar, rng: &mut impl CryptoRng) -> Self {
        let nonce = Nonce::new(seed, secret, rng);
        let [on_base, on_m] = doubled(nonce.halves(m));
        nonce.respond(seed, secret, on_base, on_m)
    }

    /// `Z = secret M` and the proof of it. `scope` covers `S` and `M`, and `seed` makes of an encoded `Z` what covers all three.
    ///
    /// The same as multiplying first and proving then, but all three points are encoded at once.
    pub(super) fn with_product(
        scope: &Digest,
        m: &Point,
        secret: &Scalar,
        seed: impl FnOnce(&PointBytes) -> Digest,
        rng: &mut impl CryptoRng,
    ) -> (PointBytes, Self) {
        let nonce = Nonce::new(scope, secret, rng);
        let half = Zeroizing::new(secret.div_by_2());
        let [on_base, on_m] = nonce.halves(m);
        let [on_base, on_m, z] = doubled([on_base, on_m, m * *half]);
        let proof = nonce.respond(&seed(&z), secret, on_base, on_m);
        (z, proof)
    }
}

/// `t`, wiped when dropped.
struct Nonce(Zeroizing<Scalar>);

impl Nonce {
    /// `covers`: digest of what is proved, or of what it follows from. If randomness repeats, the nonce does so for the same secret
    /// and statement only, and then the challenge is the same too.
    fn new(covers: &Digest, secret: &Scalar, rng: &mut impl CryptoRng) -> Self {
        let transcript = [DOMAIN.as_bytes(), covers.as_ref()];
        Self(Zeroizing::new(hedged_nonce(rng, secret, &transcript)))
    }

    /// `t/2 G` and `t/2 M`.
    fn halves(&self, m: &Point) -> [Point; 2] {
        let half = Zeroizing::new(self.0.div_by_2());
        [Point::mul_base(&half), m * *half]
    }

    fn respond(
        &self,
        seed: &Digest,
        secret: &Scalar,
        on_base: PointBytes,
        on_m: PointBytes,
    ) -> DleqProof {
        let response = *self.0 + challenge(seed, &on_base, &on_m) * secret;
        DleqProof {
            on_base,
            on_m,
            response: ScalarBytes::from(&response),
        }
    }
}

impl Statement<'_> {
    /// Whether the proof holds.
    ///
    /// # Errors
    /// [`GroupError`] for a response that is not canonical.
    pub(super) fn verify(&self, proof: &DleqProof) -> Result<bool, GroupError> {
        let c = challenge(self.seed, &proof.on_base, &proof.on_m);
        let response = proof.response.decode()?;
        // Halves, because only the encodings of the doubles are needed.
        let (half_c, half) = ((-c).div_by_2(), response.div_by_2());
        let on_base = Point::vartime_double_scalar_mul_basepoint(&half_c, &self.share_key, &half);
        let on_m = Point::vartime_multiscalar_mul([half, half_c], [self.m, self.z]);
        Ok(doubled([on_base, on_m]) == [proof.on_base, proof.on_m])
    }
}

/// Whether all proofs hold, in one sum. Always true for good ones; with a bad one among them true with a chance of `2^-128`.
/// Which is bad, it does not say.
pub(super) fn all_hold(proved: &[(Statement<'_>, &DleqProof)]) -> bool {
    sum(proved).is_some_and(|sum| sum.is_identity())
}

/// `sum a_i (T_i + c_i S_i - r_i G) + b_i (V_i + c_i Z_i - r_i M_i)`, each summand in brackets the identity for a good proof.
/// None for a proof that is not canonical.
fn sum(proved: &[(Statement<'_>, &DleqProof)]) -> Option<Point> {
    let weights = Weights::new(proved);
    let mut on_base = Scalar::ZERO;
    let mut terms: Vec<(Scalar, Point)> = Vec::with_capacity(5 * proved.len() + 1);
    // For one record, everybody's M is the same point.
    let mut on_m: Vec<(Scalar, Point)> = Vec::with_capacity(1);
    for (position, (statement, proof)) in (0u64..).zip(proved) {
        let (a, b) = weights.of(position);
        let response = proof.response.decode().ok()?;
        let c = challenge(statement.seed, &proof.on_base, &proof.on_m);
        terms.extend([
            (a, proof.on_base.decode().ok()?),
            (b, proof.on_m.decode().ok()?),
            (a * c, statement.share_key),
            (b * c, statement.z),
        ]);
        on_base -= a * response;
        match on_m.iter_mut().find(|(_, m)| *m == statement.m) {
            Some((factor, _)) => *factor -= b * response,
            None => on_m.push((-(b * response), statement.m)),
        }
    }
    terms.extend(on_m);
    terms.push((on_base, BASE));
    let (scalars, points): (Vec<Scalar>, Vec<Point>) = terms.into_iter().unzip();
    Some(Point::vartime_multiscalar_mul(scalars, points))
}

/// Factors of 128 bits that nobody knows before all statements and proofs are fixed.
struct Weights(Digest);

impl Weights {
    fn new(proved: &[(Statement<'_>, &DleqProof)]) -> Self {
        let mut writer = HashWriter::new("kithkin/dleq-batch/1");
        writer.number(proved.len() as u64);
        for (statement, proof) in proved {
            writer
                .field(statement.seed)
                .field(proof.on_base)
                .field(proof.on_m)
                .field(proof.response);
        }
        Self(writer.finish())
    }

    /// For the first and the second equation of one proof.
    fn of(&self, position: u64) -> (Scalar, Scalar) {
        let fields: [&[u8]; 2] = [self.0.as_ref(), &position.to_be_bytes()];
        let both = hash("kithkin/dleq-weight/1", &fields);
        let halves = both.0.as_chunks::<16>().0.iter();
        let mut halves = halves.map(|half| Scalar::from(u128::from_le_bytes(*half)));
        let mut next = || halves.next().unwrap_or(Scalar::ONE);
        (next(), next())
    }
}

fn doubled<const N: usize>(halves: [Point; N]) -> [PointBytes; N] {
    let mut doubles = [PointBytes([0; 32]); N];
    for (place, double) in doubles.iter_mut().zip(encode_doubles(&halves)) {
        *place = double;
    }
    doubles
}

fn challenge(seed: &Digest, on_base: &PointBytes, on_m: &PointBytes) -> Scalar {
    hash_to_scalar(DOMAIN, &[seed.as_ref(), on_base.as_ref(), on_m.as_ref()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::group::random_scalar;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    /// A share's secret with its statement's parts; one `M` for all, or one for each.
    struct Proved {
        seed: Digest,
        m: Point,
        secret: Scalar,
        proof: DleqProof,
    }

    impl Proved {
        fn new(number: u8, m: Point, rng: &mut ChaCha20Rng) -> Self {
            let seed = hash("seed", &[&[number]]);
            let secret = random_scalar(rng);
            let proof = DleqProof::new(&seed, &m, &secret, rng);
            Self {
                seed,
                m,
                secret,
                proof,
            }
        }

        fn statement(&self) -> Statement<'_> {
            Statement {
                seed: &self.seed,
                share_key: Point::mul_base(&self.secret),
                m: self.m,
                z: self.m * self.secret,
            }
        }
    }

    fn batch(all: &[Proved]) -> bool {
        let proved: Vec<_> = all.iter().map(|p| (p.statement(), &p.proof)).collect();
        all_hold(&proved)
    }

    fn alone(proved: &Proved) -> bool {
        proved.statement().verify(&proved.proof) == Ok(true)
    }

    fn several(common: bool) -> Vec<Proved> {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let point = |rng: &mut ChaCha20Rng| Point::mul_base(&random_scalar(rng));
        let first = point(&mut rng);
        (0..5)
            .map(|number| {
                let m = if common { first } else { point(&mut rng) };
                Proved::new(number, m, &mut rng)
            })
            .collect()
    }

    #[test]
    fn a_batch_holds_when_each_proof_does() {
        for common in [true, false] {
            let all = several(common);
            assert!(all.iter().all(alone));
            for size in 0..=all.len() {
                assert!(batch(&all[..size]), "{size}");
            }
        }
    }

    #[test]
    fn no_batch_holds_with_one_bad_proof() {
        let other = PointBytes::from(&BASE);
        let spoil: [fn(&mut DleqProof, PointBytes); 5] = [
            |proof, other| proof.on_base = other,
            |proof, other| proof.on_m = other,
            |proof, _| std::mem::swap(&mut proof.on_base, &mut proof.on_m),
            |proof, _| proof.response = ScalarBytes::from(&Scalar::ONE),
            |proof, _| proof.on_m = PointBytes([0xff; 32]),
        ];
        for common in [true, false] {
            for bad in 0..5 {
                for spoil in spoil {
                    let mut all = several(common);
                    spoil(&mut all[bad].proof, other);
                    assert!(!batch(&all));
                    assert!(!alone(&all[bad]));
                }
                // Of another statement.
                let mut all = several(common);
                all[bad].proof = all[(bad + 1) % 5].proof;
                assert!(!batch(&all));
                let mut all = several(common);
                all[bad].secret += Scalar::ONE;
                assert!(!batch(&all));
            }
        }
    }

    /// Two faults that cancel each other with equal factors: within one proof, and between two.
    #[test]
    fn faults_do_not_cancel_each_other() {
        let shifted = |point: &PointBytes, by: Point| {
            PointBytes::from(&(point.decode().expect("a point") + by))
        };
        // In what is proved, since an error in the prover's points changes the challenge too.
        let all = several(true);
        let mut proved: Vec<_> = all.iter().map(|p| (p.statement(), &p.proof)).collect();
        let c = |p: &Proved| challenge(&p.seed, &p.proof.on_base, &p.proof.on_m);
        // c_0 dZ_0 + c_1 dZ_1 = 0.
        proved[0].0.z += BASE * c(&all[1]);
        proved[1].0.z -= BASE * c(&all[0]);
        assert!(!all_hold(&proved));
        // The same in the two equations of one.
        let mut proved: Vec<_> = all.iter().map(|p| (p.statement(), &p.proof)).collect();
        proved[0].0.z += BASE;
        proved[0].0.share_key -= BASE;
        assert!(!all_hold(&proved));
        // Opposite errors in the prover's own points.
        let mut proved: Vec<_> = all.iter().map(|p| (p.statement(), p.proof)).collect();
        proved[0].1.on_m = shifted(&all[0].proof.on_m, BASE);
        proved[1].1.on_m = shifted(&all[1].proof.on_m, -BASE);
        let proved: Vec<_> = proved.iter().map(|(s, p)| (*s, p)).collect();
        assert!(!all_hold(&proved));
    }

    #[test]
    fn weights_differ_and_depend_on_every_proof() {
        let all = several(true);
        let proved: Vec<_> = all.iter().map(|p| (p.statement(), &p.proof)).collect();
        let weights = |proved: &[(Statement<'_>, &DleqProof)]| {
            let weights = Weights::new(proved);
            let all = (0..5).flat_map(|position| <[Scalar; 2]>::from(weights.of(position)));
            all.collect::<Vec<_>>()
        };
        let before = weights(&proved);
        for (position, weight) in before.iter().enumerate() {
            assert!(!before[..position].contains(weight));
            assert_eq!(weight.as_bytes()[16..], [0; 16]);
            assert_ne!(weight.as_bytes()[8..16], [0; 8]);
        }
        let changes: [fn(&mut DleqProof); 3] = [
            |proof| proof.on_base = PointBytes([1; 32]),
            |proof| proof.on_m = PointBytes([1; 32]),
            |proof| proof.response = ScalarBytes([1; 32]),
        ];
        for position in 0..5 {
            for change in changes {
                let mut changed = all[position].proof;
                change(&mut changed);
                let mut proved = proved.clone();
                proved[position].1 = &changed;
                let after = weights(&proved);
                assert!(before.iter().all(|weight| !after.contains(weight)));
            }
            let other = hash("other", &[]);
            let mut proved = proved.clone();
            proved[position].0.seed = &other;
            let after = weights(&proved);
            assert!(before.iter().all(|weight| !after.contains(weight)));
        }
    }
}
