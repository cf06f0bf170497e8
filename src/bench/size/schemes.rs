//! What stands on chain of the same upload in each scheme.
//!
//! What this program does, beside two others that are given every benefit: their entries are written without names of fields, leave
//! out what can be worked out from other fields, and use the transaction's own signer and signature as author and signature.

use super::chain::{Chain, Entry, Fields, length};
use super::people::{People, Sealed};
use anyhow::Context as _;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::crypto::group::{PointBytes, ScalarBytes};
use kithkin_protocol::ids::{AccountId, HospitalId, KinId, PatientId, RecordId};
use kithkin_protocol::ledger::{OPAQUE_BYTES_MAX, TxBody};
use kithkin_protocol::record::{
    BatchHeader, Capsule, CapsuleChallenge, ReceiptLine, RecordEntry, SealedRecord, WrappedKey,
};
use kithkin_protocol::units::{Millis, Tier};
use kithkin_protocol::wire;
use serde::Serialize;

/// Bytes of a ciphertext in one transaction at most: room for the other fields.
const PIECE_BYTES: usize = OPAQUE_BYTES_MAX - 1_024;

/// A scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// One header for each upload, with a Merkle root over all of its records: what this program does.
    Batched,
    /// The same, each upload in a block of its own.
    BatchedApart,
    /// Every ciphertext whole, with its encrypted key; nobody else has to keep anything.
    Ciphertext,
    /// One full entry with access list for each record, in a transaction of its own.
    Metadata,
    /// The same entries, as many in a transaction as fit.
    MetadataPacked,
}

impl Scheme {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Batched,
        Self::BatchedApart,
        Self::Ciphertext,
        Self::Metadata,
        Self::MetadataPacked,
    ];

    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batched => "one header for each upload (Kithkin)",
            Self::BatchedApart => "the same, each upload in a block of its own",
            Self::Ciphertext => "(a) the whole ciphertext",
            Self::Metadata => "(b) an entry with access list for each record",
            Self::MetadataPacked => "(b), many entries in a transaction",
        }
    }
}

/// A record's key, encrypted to the patient's key: a capsule without its label, which follows from the other fields.
#[derive(Clone, Serialize)]
struct EncryptedKey {
    wrapped: WrappedKey,
    u: PointBytes,
    u_bar: PointBytes,
    e: CapsuleChallenge,
    z: ScalarBytes,
}

impl From<&Capsule> for EncryptedKey {
    fn from(capsule: &Capsule) -> Self {
        Self {
            wrapped: capsule.wrapped,
            u: capsule.u,
            u_bar: capsule.u_bar,
            e: capsule.e,
            z: capsule.z,
        }
    }
}

/// What somebody may do with a record.
#[derive(Clone, Copy, Serialize)]
#[repr(u8)]
#[serde(into = "u8")]
enum Right {
    Read = 1,
    Keep = 2,
}

impl From<Right> for u8 {
    fn from(right: Right) -> Self {
        right as Self
    }
}

/// One full entry about a record.
#[derive(Serialize)]
struct Metadata {
    patient: PatientId,
    record: RecordId,
    tier: u8,
    time_ms: Millis,
    ciphertext: Digest,
    commitment: Digest,
    /// Root of the pieces that kin keep: where the record is found, and by what its pieces are checked.
    location: Digest,
    bytes: u32,
    key: EncryptedKey,
    access: Vec<(AccountId, Right)>,
}

/// One piece of a record.
#[derive(Serialize)]
struct Piece<'a> {
    patient: PatientId,
    record: RecordId,
    tier: u8,
    time_ms: Millis,
    /// With the first piece only.
    key: Option<EncryptedKey>,
    #[serde(with = "serde_bytes")]
    ciphertext: &'a [u8],
}

fn tier_number(tier: Tier) -> u8 {
    match tier {
        Tier::Summary => 0,
        Tier::Chart => 1,
        Tier::Sensitive => 2,
    }
}

/// The transactions of `scheme` that put `uploads` on chain.
pub(super) fn entries(
    scheme: Scheme,
    chain: &mut Chain,
    people: &People,
    uploads: &[Sealed],
) -> anyhow::Result<Vec<Entry>> {
    match scheme {
        Scheme::Batched | Scheme::BatchedApart => Ok(batches(chain, people, uploads)),
        Scheme::Ciphertext => Ok(ciphertexts(chain, people, uploads)),
        Scheme::Metadata => metadata(chain, people, uploads, 1),
        Scheme::MetadataPacked => metadata(chain, people, uploads, usize::MAX),
    }
}

fn batches(chain: &mut Chain, people: &People, uploads: &[Sealed]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for upload in uploads {
        let mut body = header_fields(&upload.header);
        let receipts = receipt_fields(&mut body, &upload.receipts);
        let transaction = TxBody::Batch {
            header: Box::new(upload.header),
            receipts: upload.receipts.clone(),
        };
        entries.push(Entry {
            transaction: chain.sign(&people.hospital, transaction),
            receipts,
            body,
        });
    }
    entries
}

fn ciphertexts(chain: &mut Chain, people: &People, uploads: &[Sealed]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let of_tiers = uploads
        .iter()
        .flat_map(|upload| upload.records.iter().map(move |one| (upload, one)));
    for (upload, record) in of_tiers {
        let mut key = Some(EncryptedKey::from(&record.capsule));
        for ciphertext in record.ciphertext.chunks(PIECE_BYTES) {
            let piece = Piece {
                patient: people.patient_id(),
                record: record.record,
                tier: tier_number(upload.header.tier),
                time_ms: Millis(super::RECORDED_MS),
                key: key.take(),
                ciphertext,
            };
            let payload = wire::encode(&piece);
            entries.push(opaque(chain, people, payload, 0, piece.fields()));
        }
    }
    entries
}

/// At most `together` entries in one transaction; and for each upload a transaction with the receipts of all kin, who keep the
/// ciphertexts here too.
fn metadata(
    chain: &mut Chain,
    people: &People,
    uploads: &[Sealed],
    together: usize,
) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for upload in uploads {
        let records = upload.records.iter().zip(upload.manifest.entries());
        let mut group: Vec<Metadata> = Vec::new();
        let mut bytes = 0;
        for (record, entry) in records {
            let metadata = metadata_of(people, upload.header.tier, record, entry)?;
            let more = length(&metadata);
            if group.len() >= together || bytes + more > PIECE_BYTES {
                entries.push(packed(chain, people, std::mem::take(&mut group)));
                bytes = 0;
            }
            bytes += more;
            group.push(metadata);
        }
        entries.push(packed(chain, people, group));
        let mut body = Fields::default();
        body.add(
            "receipts: what they are for",
            length(&upload.header.manifest_root),
        );
        let receipts = receipt_fields(&mut body, &upload.receipts);
        let payload = wire::encode(&(upload.header.manifest_root, &upload.receipts));
        entries.push(opaque(chain, people, payload, receipts, body));
    }
    Ok(entries)
}

fn metadata_of(
    people: &People,
    tier: Tier,
    record: &SealedRecord,
    entry: &RecordEntry,
) -> anyhow::Result<Metadata> {
    let kin = people.enrolment.roster.iter().map(|member| member.id());
    let mut access: Vec<(AccountId, Right)> =
        kin.map(|kin: KinId| (kin.into(), Right::Keep)).collect();
    let author: HospitalId = people.author();
    access.push((author.into(), Right::Read));
    Ok(Metadata {
        patient: people.patient_id(),
        record: record.record,
        tier: tier_number(tier),
        time_ms: Millis(super::RECORDED_MS),
        ciphertext: record.digest,
        commitment: record.commitment,
        location: entry.shard_root,
        bytes: u32::try_from(record.ciphertext.len()).context("a record of 4 GiB")?,
        key: EncryptedKey::from(&record.capsule),
        access,
    })
}

fn packed(chain: &mut Chain, people: &People, group: Vec<Metadata>) -> Entry {
    let mut body = Fields::default();
    for metadata in &group {
        body.merge(metadata.fields());
    }
    let payload = match group.as_slice() {
        [one] => wire::encode(one),
        several => wire::encode(&several),
    };
    opaque(chain, people, payload, 0, body)
}

fn opaque(
    chain: &mut Chain,
    people: &People,
    payload: Vec<u8>,
    receipts: usize,
    body: Fields,
) -> Entry {
    Entry {
        transaction: chain.sign(&people.hospital, TxBody::Opaque(payload)),
        receipts,
        body,
    }
}

fn header_fields(header: &BatchHeader) -> Fields {
    let BatchHeader {
        chain,
        patient,
        tier,
        author,
        epoch,
        manifest_root,
        records,
        bytes,
        receipts_root,
        receipts,
        status,
    } = header;
    let mut fields = Fields::default();
    fields.add("upload: chain", length(chain));
    fields.add("upload: patient", length(patient));
    fields.add("upload: author", length(author));
    fields.add(
        "upload: tier, epoch, status",
        length(tier) + length(epoch) + length(status),
    );
    fields.add("upload: root over all records", length(manifest_root));
    let counts = length(records) + length(bytes) + length(receipts);
    fields.add("upload: numbers of records, bytes, receipts", counts);
    fields.add("upload: root over the receipts", length(receipts_root));
    fields
}

/// Adds them to `fields`; how many bytes they are.
fn receipt_fields(fields: &mut Fields, receipts: &[ReceiptLine]) -> usize {
    for ReceiptLine {
        index,
        held,
        signature,
    } in receipts
    {
        fields.add(
            "receipts: index, digest of what is kept",
            length(index) + length(held),
        );
        fields.add("receipts: signature of the kin", length(signature));
    }
    length(&receipts)
}

impl Metadata {
    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.add("entry: patient's pseudonym", length(&self.patient));
        fields.add("entry: record", length(&self.record));
        fields.add("entry: tier", length(&self.tier));
        fields.add("entry: time", length(&self.time_ms));
        fields.add("entry: digest of the ciphertext", length(&self.ciphertext));
        fields.add(
            "entry: commitment to the plaintext",
            length(&self.commitment),
        );
        fields.add("entry: where it is stored", length(&self.location));
        fields.add("entry: length", length(&self.bytes));
        fields.add("entry: encrypted key", length(&self.key));
        fields.add(
            "entry: access list, five kin and the hospital",
            length(&self.access),
        );
        fields
    }
}

impl Piece<'_> {
    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.add("piece: patient's pseudonym", length(&self.patient));
        fields.add("piece: record", length(&self.record));
        fields.add("piece: tier", length(&self.tier));
        fields.add("piece: time", length(&self.time_ms));
        fields.add("piece: encrypted key", length(&self.key));
        fields.add("piece: ciphertext", self.ciphertext.len());
        fields
    }
}
