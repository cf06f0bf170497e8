//! Lists of group elements on the wire: one string of bytes, 32 for each, with a maximum.

use crate::crypto::group::PointBytes;
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(
    points: &[PointBytes],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = points.iter().flat_map(|point| point.0).collect();
    crate::bytes::serialize(&bytes, serializer)
}

/// Reads at most `MAX` elements; they are not decoded yet.
pub(super) fn deserialize<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<PointBytes>, D::Error> {
    let too_many = || D::Error::custom(format_args!("more than {MAX} group elements"));
    if deserializer.is_human_readable() {
        let text = String::deserialize(deserializer)?;
        if text.len() > 2 * PointBytes::LEN * MAX {
            return Err(too_many());
        }
        return text
            .as_bytes()
            .chunks(2 * PointBytes::LEN)
            .map(|digits| {
                let digits = core::str::from_utf8(digits).map_err(D::Error::custom)?;
                PointBytes::from_hex(digits).map_err(D::Error::custom)
            })
            .collect();
    }
    let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
    if bytes.len() > PointBytes::LEN * MAX {
        return Err(too_many());
    }
    let (points, rest) = bytes.as_chunks::<{ PointBytes::LEN }>();
    if !rest.is_empty() {
        return Err(D::Error::custom("group elements have 32 bytes each"));
    }
    Ok(points.iter().copied().map(PointBytes).collect())
}
