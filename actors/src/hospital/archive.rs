//! The hospital's own copies: uploads and whole ciphertexts, by manifest root.
//!
//! On RocksDB for now. An `object_store` backend can take this file's place:
//! everything is asynchronous, immutable and named by the root.

use crate::hospital::desk::off_thread;
use crate::hospital::disk::{Disk, decode, key};
use crate::hospital::messages::HospitalError;
use crate::keybook::KeyBook;
use crate::ports::store::Batch;
use crate::upload::Upload;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{PatientId, RecordId};
use kithkin_protocol::record::RecordEntry;
use kithkin_protocol::wire;
use std::sync::Arc;

/// Version of a stored ciphertext; the first byte.
const FORMAT: u8 = 1;
/// Bytes that are written together: well below what one batch may have, so that others get their turn.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Ciphertexts with the records that they belong to, in the manifest's order.
pub(super) type Ciphertexts = Vec<(RecordId, Vec<u8>)>;

/// Uploads and ciphertexts.
#[derive(Clone)]
pub(super) struct Archive(Disk, KeyBook);

impl Archive {
    pub(super) fn new(disk: Disk, book: KeyBook) -> Self {
        Self(disk, book)
    }

    /// Keeps an upload whole. Durable when this returns; the upload itself comes last, so that there is never one
    /// without its ciphertexts.
    pub(super) async fn put(
        &self,
        upload: Arc<Upload>,
        ciphertexts: Arc<Ciphertexts>,
    ) -> Result<(), HospitalError> {
        let (disk, book) = (self.0.clone(), self.1.clone());
        off_thread(move || {
            let root = upload.root();
            let mut batch = Batch::default();
            for (record, ciphertext) in ciphertexts.iter() {
                let value = [&[FORMAT], ciphertext.as_slice()].concat();
                batch.put(ciphertext_key(root, *record), value);
                if batch.len_bytes() >= CHUNK_BYTES {
                    disk.write_blocking(std::mem::take(&mut batch))?;
                }
            }
            let content = wire::encode(&*upload);
            let place = (upload_key(root), content.as_slice());
            let kept = book.keep(upload.patient, root, place, batch);
            disk.judge_book(kept)
        })
        .await?
    }

    /// Manifest and capsules.
    pub(super) async fn upload(&self, root: Digest) -> Result<Option<Arc<Upload>>, HospitalError> {
        let (disk, book) = (self.0.clone(), self.1.clone());
        off_thread(move || {
            let key = upload_key(root);
            let content = disk.judge_book(book.read(root, &key))?;
            let upload = content.map(|content| decode(&key, &content)).transpose()?;
            Ok(upload.map(Arc::new))
        })
        .await?
    }

    /// Destroys the key of an upload. Durable on return; for the blocking pool only.
    pub(super) fn shred_blocking(
        &self,
        patient: PatientId,
        root: Digest,
    ) -> Result<(), HospitalError> {
        self.0.judge_book(self.1.shred(patient, &[root]))
    }

    /// All ciphertexts of an upload.
    pub(super) async fn ciphertexts(
        &self,
        upload: &Arc<Upload>,
    ) -> Result<Ciphertexts, HospitalError> {
        let (disk, upload) = (self.0.clone(), Arc::clone(upload));
        off_thread(move || {
            let root = upload.root();
            let entries = upload.manifest.entries().iter();
            entries.map(|entry| load(&disk, root, entry)).collect()
        })
        .await?
    }

    /// Forgets an upload that never came on chain.
    pub(super) async fn remove(&self, root: Digest) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        let book = self.1.forget(root, upload_key(root), &mut batch);
        self.0.judge_book(book)?;
        batch.delete_prefix(key(b'c', &[root.as_ref()]));
        self.0.write(batch).await
    }
}

fn load(
    disk: &Disk,
    root: Digest,
    entry: &RecordEntry,
) -> Result<(RecordId, Vec<u8>), HospitalError> {
    let record = entry.record;
    let stored = disk.raw(&ciphertext_key(root, record))?;
    match stored.as_deref().and_then(<[u8]>::split_first) {
        Some((&FORMAT, ciphertext)) => Ok((record, ciphertext.to_vec())),
        Some(_) | None => Err(HospitalError::Store {
            reason: format!("the ciphertext of record {record} is missing or of another format"),
        }),
    }
}

fn upload_key(root: Digest) -> Vec<u8> {
    key(b'u', &[root.as_ref()])
}

fn ciphertext_key(root: Digest, record: RecordId) -> Vec<u8> {
    key(b'c', &[root.as_ref(), record.as_ref()])
}
