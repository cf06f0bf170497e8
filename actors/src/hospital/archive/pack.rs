//! A pack: all ciphertexts of one upload in one object. Layout: docs/spec/archive.md.
//!
//! | from byte | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `KITHPACK` |
//! | 8 | 1 | format: 1 |
//! | 9 | 32 | manifest root of the upload |
//! | 41 | | the ciphertexts in the manifest's order, nothing between them |
//!
//! The manifest is the index: its leaves bind where each ciphertext starts when all stand one behind the other.

use super::error::ArchiveError;
use bytes::Bytes;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::RecordId;
use kithkin_protocol::record::{Manifest, RecordEntry, ciphertext_digest};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Ciphertexts with the records that they belong to, in the manifest's order.
pub(in crate::hospital) type Ciphertexts = Vec<(RecordId, Vec<u8>)>;

const MAGIC: &[u8; 8] = b"KITHPACK";
/// Version of the layout.
const FORMAT: u8 = 1;
/// Where the first ciphertext starts.
pub(super) const HEADER_BYTES: u64 = 8 + 1 + 32;
/// Ciphertexts that lie closer together are read at once: what is read in vain costs less than a request of its own.
const GAP_BYTES: u64 = 256 * 1024;

/// The object's name.
pub(super) fn name(root: Digest) -> String {
    format!("{}.pack", kithkin_protocol::hex(root.as_ref()))
}

/// The object's length in bytes.
pub(super) fn len(manifest: &Manifest) -> u64 {
    HEADER_BYTES.saturating_add(manifest.bytes())
}

fn header(root: Digest) -> Vec<u8> {
    [MAGIC.as_slice(), &[FORMAT], root.as_ref()].concat()
}

/// The object in parts, each ciphertext as it lies in memory.
pub(super) fn parts(root: Digest, ciphertexts: &Arc<Ciphertexts>) -> Vec<Bytes> {
    let header = std::iter::once(Bytes::from(header(root)));
    let bodies = (0..ciphertexts.len()).map(|at| {
        Bytes::from_owner(Body {
            all: Arc::clone(ciphertexts),
            at,
        })
    });
    header.chain(bodies).collect()
}

/// One of the ciphertexts.
struct Body {
    all: Arc<Ciphertexts>,
    at: usize,
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        let ciphertext = self.all.get(self.at);
        ciphertext
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default()
    }
}

/// A part of the object with the records in it that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) range: Range<u64>,
    /// Each with the place in the object where its ciphertext starts; in the manifest's order, at least one.
    records: Vec<(u64, RecordEntry)>,
}

impl Part {
    /// The first wanted record, for messages.
    pub(super) fn first(&self) -> RecordId {
        let first = self.records.first();
        first.map_or(RecordId([0; 32]), |(_, entry)| entry.record)
    }

    /// The wanted ciphertexts from the bytes of the part, each checked against its line. `object` is for messages.
    pub(super) fn unpack(
        &self,
        root: Digest,
        bytes: &[u8],
        object: &str,
    ) -> Result<Ciphertexts, ArchiveError> {
        if self.range.start == 0 && !bytes.starts_with(&header(root)) {
            return Err(ArchiveError::NoPack {
                record: self.first(),
                object: object.to_owned(),
            });
        }
        let checked = self.records.iter().map(|(start, entry)| {
            let place = usize::try_from(start.saturating_sub(self.range.start)).ok();
            let rest = place.and_then(|place| bytes.get(place..));
            let ciphertext = rest.and_then(|rest| rest.get(..entry.bytes as usize));
            match ciphertext {
                Some(ciphertext) if ciphertext_digest(ciphertext) == entry.ciphertext => {
                    Ok((entry.record, ciphertext.to_vec()))
                }
                Some(_) | None => Err(ArchiveError::Damaged {
                    record: entry.record,
                    object: object.to_owned(),
                }),
            }
        });
        checked.collect()
    }
}

/// The whole object.
pub(super) fn whole(manifest: &Manifest) -> Part {
    Part {
        range: 0..len(manifest),
        records: placed(manifest).collect(),
    }
}

/// What has to be read for some records; nothing for records that are not in the upload.
pub(super) fn some(manifest: &Manifest, wanted: &BTreeSet<RecordId>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (start, entry) in placed(manifest).filter(|(_, entry)| wanted.contains(&entry.record)) {
        let end = start.saturating_add(u64::from(entry.bytes));
        match parts.last_mut() {
            Some(last) if start.saturating_sub(last.range.end) <= GAP_BYTES => {
                last.range.end = end;
                last.records.push((start, entry));
            }
            _ => parts.push(Part {
                range: start..end,
                records: vec![(start, entry)],
            }),
        }
    }
    parts
}

/// Every line with the place in the object where its ciphertext starts.
fn placed(manifest: &Manifest) -> impl Iterator<Item = (u64, RecordEntry)> {
    let entries = manifest.entries().iter();
    entries.scan(HEADER_BYTES, |next, entry| {
        let start = *next;
        *next = start.saturating_add(u64::from(entry.bytes));
        Some((start, entry.clone()))
    })
}
