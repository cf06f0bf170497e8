//! The bytes of a part. All numbers are big-endian.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | format version, 1 |
//! | 1 | 0 frame, 1 piece |
//! | 4 | index: 0 for the frame, pieces from 1 in the order of the original |
//! | 4 | total number of parts, frame included |
//! | 8 | time of the cut, milliseconds since 1970 |
//! | 8 | size of the original in bytes |
//! | rest | a piece: its bytes. The frame: `total` lengths of 4 bytes, then as many stretches of text; the first stands before piece 1, the last behind the last piece |
//!
//! Not here: whether the parts of a set belong together (`joining.rs`).

use std::ops::Range;

use super::joining::JoinError;

const FORMAT: u8 = 1;
const KIND_FRAME: u8 = 0;
const KIND_PIECE: u8 = 1;
const HEADER_BYTES: usize = 26;
const LENGTH_BYTES: usize = 4;

/// Where a part belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) index: u32,
    pub(super) total: u32,
    pub(super) made_at_ms: u64,
    pub(super) file_bytes: u64,
}

fn start(header: Header, kind: u8, body: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body);
    bytes.extend([FORMAT, kind]);
    bytes.extend(header.index.to_be_bytes());
    bytes.extend(header.total.to_be_bytes());
    bytes.extend(header.made_at_ms.to_be_bytes());
    bytes.extend(header.file_bytes.to_be_bytes());
    bytes
}

/// The part that holds `body`, one piece of the original.
pub(super) fn piece(header: Header, body: &[u8]) -> Vec<u8> {
    let mut bytes = start(header, KIND_PIECE, body.len());
    bytes.extend(body);
    bytes
}

/// The part that holds everything of `file` outside of `pieces`, which stand in order.
pub(super) fn frame(header: Header, file: &[u8], pieces: &[Range<usize>]) -> Option<Vec<u8>> {
    let starts = std::iter::once(0).chain(pieces.iter().map(|piece| piece.end));
    let ends = pieces.iter().map(|piece| piece.start).chain([file.len()]);
    let stretches: Option<Vec<&[u8]>> = starts.zip(ends).map(|(a, b)| file.get(a..b)).collect();
    let stretches = stretches?;
    let size = stretches.iter().map(|stretch| stretch.len() + LENGTH_BYTES);
    let mut bytes = start(header, KIND_FRAME, size.sum());
    for stretch in &stretches {
        bytes.extend(u32::try_from(stretch.len()).ok()?.to_be_bytes());
    }
    for stretch in &stretches {
        bytes.extend(*stretch);
    }
    Some(bytes)
}

/// Splits a part into header and body. `position` names the part in errors.
pub(super) fn read(position: usize, bytes: &[u8]) -> Result<(Header, &[u8]), JoinError> {
    let short = || JoinError::TooShort {
        position,
        bytes: bytes.len(),
    };
    let (format, rest) = bytes.split_first().ok_or_else(short)?;
    if *format != FORMAT {
        return Err(JoinError::Format {
            position,
            found: *format,
        });
    }
    let (kind, rest) = rest.split_first().ok_or_else(short)?;
    let (index, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (total, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (made_at_ms, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (file_bytes, body) = rest.split_first_chunk().ok_or_else(short)?;
    let header = Header {
        index: u32::from_be_bytes(*index),
        total: u32::from_be_bytes(*total),
        made_at_ms: u64::from_be_bytes(*made_at_ms),
        file_bytes: u64::from_be_bytes(*file_bytes),
    };
    let kind_fits = match *kind {
        KIND_FRAME => header.index == 0,
        KIND_PIECE => header.index > 0,
        _ => false,
    };
    if !kind_fits || header.index >= header.total {
        return Err(JoinError::Header { position });
    }
    Ok((header, body))
}

/// The stretches of text in the body of a frame; none when it is malformed.
pub(super) fn stretches(body: &[u8], total: usize) -> Option<Vec<&[u8]>> {
    let (lengths, mut text) = body.split_at_checked(total.checked_mul(LENGTH_BYTES)?)?;
    let mut stretches = Vec::with_capacity(total);
    for length in lengths.chunks_exact(LENGTH_BYTES) {
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let (stretch, rest) = text.split_at_checked(usize::try_from(length).ok()?)?;
        stretches.push(stretch);
        text = rest;
    }
    text.is_empty().then_some(stretches)
}
