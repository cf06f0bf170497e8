//! Arithmetic modulo the group order with nothing of `curve25519-dalek` in it.

use super::scalar_of;
use kithkin_protocol::crypto::group::Scalar;
use kithkin_protocol::sharing::{Share, SubShare, TierKey};
use num_bigint::BigUint;

/// 2^252 + 27742317777372353535851937790883648493 (RFC 9496, section 4).
pub(crate) fn order() -> BigUint {
    (BigUint::from(1u8) << 252u32)
        + "27742317777372353535851937790883648493"
            .parse::<BigUint>()
            .expect("a number")
}

fn divide(numerator: &BigUint, denominator: &BigUint) -> BigUint {
    // Fermat: the order is prime.
    let inverse = denominator.modpow(&(order() - 2u8), &order());
    numerator * inverse % order()
}

/// The Lagrange coefficient of point `i` among `points`, for the value at `at`.
pub(crate) fn coefficient(points: &[u64], i: u64, at: u64) -> BigUint {
    let (mut numerator, mut denominator) = (BigUint::from(1u8), BigUint::from(1u8));
    for &t in points.iter().filter(|&&t| t != i) {
        numerator = numerator * (order() + at - t) % order();
        denominator = denominator * (order() + i - t) % order();
    }
    divide(&numerator, &denominator)
}

/// The value at `at` of the polynomial through `points`.
pub(crate) fn interpolate(points: &[(u64, BigUint)], at: u64) -> BigUint {
    let places: Vec<u64> = points.iter().map(|(i, _)| *i).collect();
    points
        .iter()
        .map(|(i, value)| coefficient(&places, *i, at) * value)
        .sum::<BigUint>()
        % order()
}

/// The coefficients of all `points`, for the value at `at`.
pub(crate) fn coefficients(points: &[u64], at: u64) -> Vec<BigUint> {
    points.iter().map(|&i| coefficient(points, i, at)).collect()
}

pub(crate) fn product(row: &[BigUint], values: &[BigUint]) -> BigUint {
    assert_eq!(row.len(), values.len());
    row.iter().zip(values).map(|(a, b)| a * b).sum::<BigUint>() % order()
}

/// Whether `wanted` is a linear combination of `known`, by elimination. What a coalition sees are linear functions of
/// the secret coefficients; it can compute exactly those that its own span.
pub(crate) fn spans(known: &[Vec<BigUint>], wanted: &[BigUint]) -> bool {
    let mut rows: Vec<Vec<BigUint>> = Vec::new();
    for row in known {
        let row = reduced(&rows, row);
        if row.iter().any(|x| *x != BigUint::ZERO) {
            rows.push(row);
        }
    }
    reduced(&rows, wanted).iter().all(|x| *x == BigUint::ZERO)
}

/// `row` minus multiples of `rows`, so that it is zero wherever one of them begins; then scaled to begin with 1.
fn reduced(rows: &[Vec<BigUint>], row: &[BigUint]) -> Vec<BigUint> {
    let start = |row: &[BigUint]| row.iter().position(|x| *x != BigUint::ZERO);
    let mut row = row.to_vec();
    for other in rows {
        let at = start(other).expect("no zero rows are kept");
        let minus = (order() - &row[at]) % order();
        for (x, y) in row.iter_mut().zip(other) {
            *x = (&*x + &minus * y) % order();
        }
    }
    if let Some(at) = start(&row) {
        let first = row[at].clone();
        for x in &mut row {
            *x = divide(x, &first);
        }
    }
    row
}

pub(crate) fn number(scalar: &Scalar) -> BigUint {
    BigUint::from_bytes_le(scalar.as_bytes())
}

/// Index and value of each share.
pub(crate) fn points(shares: &[Share]) -> Vec<(u64, BigUint)> {
    shares
        .iter()
        .map(|share| (u64::from(share.index().get()), number(&scalar_of(share))))
        .collect()
}

/// The value of a sub-share.
pub(crate) fn dealt_number(sub_share: &SubShare) -> BigUint {
    number(&sub_share.publish().value.decode().expect("canonical"))
}

pub(crate) fn secret_number(key: &TierKey) -> BigUint {
    BigUint::from_bytes_le(key.to_secret().expose())
}
