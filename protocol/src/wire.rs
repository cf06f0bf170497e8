//! Frames: how every message and every stored value is written.
//!
//! One version byte, then MessagePack by `rmp-serde` (structs as arrays). A
//! frame has a size limit that the reader names, nothing may follow the value,
//! and an unknown version is refused before anything else is read. Collections
//! inside are bounded by the frame: no decoder allocates more than it was sent.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of the format; the first byte of each frame.
pub const VERSION: u8 = 1;

/// Largest frame in bytes that crosses a transport: a block with room for its certificate.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a frame cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No bytes at all.
    #[error("the frame is empty")]
    Empty,
    /// A version that this program does not know.
    #[error("frame version {found} is unknown; this program reads version {VERSION}")]
    Version {
        /// The first byte of the frame.
        found: u8,
    },
    /// Longer than the reader allows.
    #[error("the frame has {bytes} bytes; at most {limit} are allowed here")]
    TooLong {
        /// Length of the frame.
        bytes: usize,
        /// What the reader allows.
        limit: usize,
    },
    /// Not the expected value.
    #[error("the frame does not hold the expected value: {reason}")]
    Malformed {
        /// The decoder's words.
        reason: String,
    },
    /// Bytes after the value.
    #[error("{bytes} bytes follow the value")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// Writes `value` as a frame.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_sized(value, 64)
}

/// [`encode`] for somebody who knows about how many bytes it will take: saves the buffer's growing.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "our types serialise, and writing into memory cannot fail"
)]
pub fn encode_sized<T: Serialize>(value: &T, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes);
    frame.push(VERSION);
    rmp_serde::encode::write(&mut frame, value).expect("our types serialise");
    frame
}

/// Reads a frame of at most `limit` bytes.
///
/// # Errors
/// Every [`WireError`].
pub fn decode_bounded<T: DeserializeOwned>(frame: &[u8], limit: usize) -> Result<T, WireError> {
    if frame.len() > limit {
        return Err(WireError::TooLong {
            bytes: frame.len(),
            limit,
        });
    }
    let (&version, body) = frame.split_first().ok_or(WireError::Empty)?;
    if version != VERSION {
        return Err(WireError::Version { found: version });
    }
    let mut rest = body;
    let value = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).map_err(|error| {
        WireError::Malformed {
            reason: error.to_string(),
        }
    })?;
    match rest.len() {
        0 => Ok(value),
        bytes => Err(WireError::Trailing { bytes }),
    }
}

/// Reads a frame of at most [`FRAME_BYTES_MAX`] bytes.
///
/// # Errors
/// Every [`WireError`].
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, WireError> {
    decode_bounded(frame, FRAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Height, ShareIndex, Tier};

    #[test]
    fn reads_back_and_refuses_everything_else() {
        let value = (Height(7), ShareIndex::new(3).expect("3"), Tier::Chart);
        let frame = encode(&value);
        assert_eq!(decode::<(Height, ShareIndex, Tier)>(&frame), Ok(value));
        assert_eq!(decode::<Height>(&[]), Err(WireError::Empty));
        assert_eq!(
            decode::<Height>(&[9, 1]),
            Err(WireError::Version { found: 9 })
        );
        assert_eq!(
            decode::<Height>(&[1, 1, 1]),
            Err(WireError::Trailing { bytes: 1 })
        );
        assert!(matches!(
            decode::<Height>(&[1, 0xc0]),
            Err(WireError::Malformed { .. })
        ));
        assert!(matches!(
            decode::<ShareIndex>(&[1, 0]),
            Err(WireError::Malformed { .. })
        ));
        assert_eq!(
            decode_bounded::<Height>(&frame, 2),
            Err(WireError::TooLong {
                bytes: frame.len(),
                limit: 2
            })
        );
    }

    /// A length that promises more than the frame holds must not be believed.
    #[test]
    fn a_huge_announced_length_allocates_nothing() {
        let array_of_four_billion = [VERSION, 0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<u64>>(&array_of_four_billion).is_err());
        let bytes_of_four_billion = [VERSION, 0xc6, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<serde_bytes::ByteBuf>(&bytes_of_four_billion).is_err());
    }
}
