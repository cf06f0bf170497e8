//! A secret polynomial: drawn, committed to, evaluated (opening.md section 1).

use crate::crypto::group::{Point, PointBytes, Scalar, random_scalar};
use crate::units::ShareIndex;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// The coefficients of a sharing polynomial, the constant one first. Wiped when dropped, never printed.
pub(super) struct Polynomial(Zeroizing<Vec<Scalar>>);

impl Polynomial {
    /// Draws the polynomial of `terms` coefficients whose value at 0 is `constant`.
    pub(super) fn random(constant: Scalar, terms: usize, rng: &mut impl CryptoRng) -> Self {
        // At its full size from the start: growing would leave copies behind.
        let mut coefficients = Zeroizing::new(Vec::with_capacity(terms));
        coefficients.push(constant);
        coefficients.resize_with(terms, || random_scalar(rng));
        Self(coefficients)
    }

    /// Feldman's commitments `a_j G`, that to the constant first.
    pub(super) fn commitments(&self) -> impl Iterator<Item = PointBytes> {
        self.0.iter().map(|a| PointBytes::from(&Point::mul_base(a)))
    }

    /// The value at `index` by Horner's rule; constant time in the coefficients.
    pub(super) fn value(&self, index: ShareIndex) -> Scalar {
        let i = Scalar::from(index.get());
        self.0.iter().rev().fold(Scalar::ZERO, |sum, a| sum * i + a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;
    use rand_core::SeedableRng as _;

    /// Against powers summed up with another library's integers.
    #[test]
    fn evaluation_agrees_with_the_oracle() {
        let order = (BigUint::from(1u8) << 252u32)
            + "27742317777372353535851937790883648493"
                .parse::<BigUint>()
                .expect("a number");
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        for count in 1..=33usize {
            let constant = random_scalar(&mut rng);
            let polynomial = Polynomial::random(constant, count, &mut rng);
            assert_eq!(polynomial.0.len(), count);
            assert_eq!(polynomial.0[0], constant);
            for i in [1u8, 2, 63, 64, 255] {
                let sum: BigUint = polynomial
                    .0
                    .iter()
                    .zip(0u32..)
                    .map(|(a, power)| {
                        BigUint::from_bytes_le(a.as_bytes()) * BigUint::from(i).pow(power)
                    })
                    .sum();
                let index = ShareIndex::new(i).expect("not zero");
                let value = polynomial.value(index);
                assert_eq!(BigUint::from_bytes_le(value.as_bytes()), sum % &order);
            }
        }
    }
}
