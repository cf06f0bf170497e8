//! The hospital's own copies: uploads in RocksDB, their ciphertexts in the object store, by manifest root.
//!
//! One object for each upload, a [`pack`]. It is durable before the upload's entry is written, and removed after it, so there
//! is never an entry whose pack was not written. A crash between the two leaves a pack without an entry; the upload still
//! stands in the books as unfinished then, and the repairs remove it by its name, whole or half. Nobody ever
//! lists the store: what a stranger puts there is neither read nor removed.
//!
//! Nothing that is read is believed: size, header and the digest of each ciphertext must be those of the manifest. Whoever
//! reads for a case goes on with the kin when it fails.

mod error;
mod pack;
#[cfg(test)]
mod tests;

pub use error::ArchiveError;
pub(super) use pack::Ciphertexts;

use crate::hospital::desk::off_thread;
use crate::hospital::disk::{Disk, decode, key};
use crate::hospital::messages::HospitalError;
use crate::keybook::KeyBook;
use crate::ports::objects::Shelf;
use crate::ports::store::Batch;
use crate::upload::Upload;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{PatientId, RecordId};
use kithkin_protocol::wire;
use pack::Part;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long reading all ciphertexts of an upload may take when nobody is in a hurry.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// Parts of a pack that are read at a time.
const PARTS_AT_ONCE: usize = 8;

/// Uploads and ciphertexts.
#[derive(Clone)]
pub(super) struct Archive {
    disk: Disk,
    book: KeyBook,
    shelf: Shelf,
}

impl Archive {
    pub(super) fn new(disk: Disk, book: KeyBook, shelf: Shelf) -> Self {
        Self { disk, book, shelf }
    }

    /// Keeps an upload whole. Durable when this returns.
    pub(super) async fn put(
        &self,
        upload: Arc<Upload>,
        ciphertexts: Arc<Ciphertexts>,
    ) -> Result<(), HospitalError> {
        let root = upload.root();
        let parts = pack::parts(root, &ciphertexts);
        let packed = self.shelf.put(&pack::name(root), parts).await;
        packed.map_err(|error| failed(ArchiveError::Keep(error)))?;
        let (disk, book) = (self.disk.clone(), self.book.clone());
        off_thread(move || {
            let content = wire::encode(&*upload);
            let place = (upload_key(root), content.as_slice());
            let kept = book.keep(upload.patient, root, place, Batch::default());
            disk.judge_book(kept)
        })
        .await?
    }

    /// Manifest and capsules.
    pub(super) async fn upload(&self, root: Digest) -> Result<Option<Arc<Upload>>, HospitalError> {
        let (disk, book) = (self.disk.clone(), self.book.clone());
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
        self.disk.judge_book(self.book.shred(patient, &[root]))
    }

    /// All ciphertexts of an upload.
    pub(super) async fn ciphertexts(
        &self,
        upload: &Arc<Upload>,
    ) -> Result<Ciphertexts, HospitalError> {
        let whole = vec![pack::whole(&upload.manifest)];
        self.read(upload, whole, Instant::now() + READ_WITHIN).await
    }

    /// The ciphertexts of those records of an upload, in its order; less is read than the whole upload when that is possible.
    pub(super) async fn some(
        &self,
        upload: &Arc<Upload>,
        wanted: &BTreeSet<RecordId>,
        until: Instant,
    ) -> Result<Ciphertexts, HospitalError> {
        self.read(upload, pack::some(&upload.manifest, wanted), until)
            .await
    }

    async fn read(
        &self,
        upload: &Arc<Upload>,
        parts: Vec<Part>,
        until: Instant,
    ) -> Result<Ciphertexts, HospitalError> {
        let root = upload.root();
        let (name, size) = (pack::name(root), pack::len(&upload.manifest));
        let (name, object) = (name.as_str(), self.shelf.describe(&name));
        let read = iter(parts.into_iter().map(|part| {
            let object = object.clone();
            async move {
                let bytes = self.shelf.get(name, part.range.clone(), size, until).await;
                let bytes = bytes.map_err(|source| {
                    let record = part.first();
                    failed(ArchiveError::Read { record, source })
                })?;
                let unpacked = off_thread(move || part.unpack(root, &bytes, &object));
                unpacked.await?.map_err(failed)
            }
        }));
        let parts: Vec<Ciphertexts> = read.buffered(PARTS_AT_ONCE).try_collect().await?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Forgets an upload; its entry goes first. Durable when this returns, also when there was nothing but half a pack.
    pub(super) async fn remove(&self, root: Digest) -> Result<(), HospitalError> {
        let mut batch = Batch::default();
        let book = self.book.forget(root, upload_key(root), &mut batch);
        self.disk.judge_book(book)?;
        self.disk.write(batch).await?;
        let removed = self.shelf.remove(&pack::name(root)).await;
        removed.map_err(|error| failed(ArchiveError::Remove(error)))
    }
}

fn failed(error: ArchiveError) -> HospitalError {
    HospitalError::Archive(error)
}

fn upload_key(root: Digest) -> Vec<u8> {
    key(b'u', &[root.as_ref()])
}
