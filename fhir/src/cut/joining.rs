//! Putting the opened parts of one cut together again.
//!
//! Not here: opening them. Read next: `wire.rs`, the bytes of a part.

use super::wire::{self, Header};
use crate::BUNDLE_BYTES_MAX;
use crate::bundle::ENTRIES_MAX;

/// Why parts do not make a file. Positions count from 0 in the order in which the parts were given;
/// indexes are those of the parts themselves, 0 being the frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No parts at all.
    #[error("there are no parts to put together")]
    Empty,
    /// Not even a header.
    #[error("the part at position {position} has only {bytes} bytes: it is no part of a record")]
    TooShort {
        /// Which of the given parts.
        position: usize,
        /// Its size.
        bytes: usize,
    },
    /// Written by another version, or something else altogether.
    #[error("the part at position {position} has format {found}; this version reads format 1")]
    Format {
        /// Which of the given parts.
        position: usize,
        /// The version found.
        found: u8,
    },
    /// A header that contradicts itself.
    #[error("the part at position {position} has a header that contradicts itself")]
    Header {
        /// Which of the given parts.
        position: usize,
    },
    /// More parts, or a larger file, than is ever written.
    #[error("the parts claim to be {parts} and to make {bytes} bytes: more than is ever written")]
    TooLarge {
        /// Parts claimed.
        parts: u32,
        /// Size claimed.
        bytes: u64,
    },
    /// A part of another cut.
    #[error("the part at position {position} does not belong to the same file as the first one")]
    Foreign {
        /// Which of the given parts.
        position: usize,
    },
    /// Two parts for one place.
    #[error("part {index} of {total} was given twice")]
    Duplicate {
        /// Which part.
        index: u32,
        /// How many there should be.
        total: u32,
    },
    /// Not all parts were given: perhaps not all tiers were opened.
    #[error(
        "{missing} of {total} parts are missing, part {first} the first of them: \
         open every record of the tiers chart and sensitive"
    )]
    Missing {
        /// How many are missing.
        missing: u32,
        /// The lowest index that is missing.
        first: u32,
        /// How many there should be.
        total: u32,
    },
    /// The frame's lengths do not fit its text.
    #[error("the frame is malformed")]
    Frame,
    /// The parts make a file of another size than they claim.
    #[error("the parts make {found} bytes instead of {expected}")]
    Size {
        /// The size written in the parts.
        expected: u64,
        /// The size of what they make.
        found: u64,
    },
}

/// Puts the plaintexts of all chart and sensitive records of one cut together, in any order.
///
/// # Errors
/// [`JoinError`], naming what is missing, given twice or foreign.
pub fn join(parts: &[Vec<u8>]) -> Result<Vec<u8>, JoinError> {
    let first = parts.first().ok_or(JoinError::Empty)?;
    let (set, _) = wire::read(0, first)?;
    let (total, expected) = bounded(&set)?;

    let mut bodies: Vec<Option<&[u8]>> = vec![None; total];
    for (position, part) in parts.iter().enumerate() {
        let (header, body) = wire::read(position, part)?;
        let same_set = Header {
            index: set.index,
            ..header
        };
        if same_set != set {
            return Err(JoinError::Foreign { position });
        }
        let place = usize::try_from(header.index)
            .ok()
            .and_then(|index| bodies.get_mut(index))
            .ok_or(JoinError::Header { position })?;
        if place.replace(body).is_some() {
            return Err(JoinError::Duplicate {
                index: header.index,
                total: set.total,
            });
        }
    }
    let bodies = all(&bodies, set.total)?;
    assemble(&bodies, expected, set.file_bytes)
}

/// The claimed number of parts and size of the file, when they are within what is ever written:
/// a forged header must not make us reserve memory.
fn bounded(set: &Header) -> Result<(usize, usize), JoinError> {
    let total = usize::try_from(set.total).ok();
    let bytes = usize::try_from(set.file_bytes).ok();
    match (total, bytes) {
        (Some(total), Some(bytes)) if total <= ENTRIES_MAX + 1 && bytes <= BUNDLE_BYTES_MAX => {
            Ok((total, bytes))
        }
        _ => Err(JoinError::TooLarge {
            parts: set.total,
            bytes: set.file_bytes,
        }),
    }
}

fn all<'p>(bodies: &[Option<&'p [u8]>], total: u32) -> Result<Vec<&'p [u8]>, JoinError> {
    let mut missing = (0..total).zip(bodies).filter(|(_, body)| body.is_none());
    if let Some((first, _)) = missing.next() {
        let more = u32::try_from(missing.count()).unwrap_or(u32::MAX);
        return Err(JoinError::Missing {
            missing: more.saturating_add(1),
            first,
            total,
        });
    }
    Ok(bodies.iter().copied().flatten().collect())
}

fn assemble(bodies: &[&[u8]], expected: usize, claimed: u64) -> Result<Vec<u8>, JoinError> {
    let (frame, pieces) = bodies.split_first().ok_or(JoinError::Frame)?;
    let stretches = wire::stretches(frame, bodies.len()).ok_or(JoinError::Frame)?;
    let size: usize = stretches.iter().chain(pieces).map(|part| part.len()).sum();
    if size != expected {
        return Err(JoinError::Size {
            expected: claimed,
            found: size as u64,
        });
    }
    let mut file = Vec::with_capacity(size);
    for (at, stretch) in stretches.iter().enumerate() {
        file.extend_from_slice(stretch);
        if let Some(piece) = pieces.get(at) {
            file.extend_from_slice(piece);
        }
    }
    Ok(file)
}
