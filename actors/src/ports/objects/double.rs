//! A store for tests that can fail, hold a write, and tells what was done with it.

use super::error::Deed;
use super::{Objects, Path};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// They are done.
    Work,
    /// The disk is full.
    Full,
    /// They are done only when [`Writes::Work`] is set.
    Held,
    /// They are done, but the answer comes only when [`Writes::Work`] is set.
    Unanswered,
}

/// One thing done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) deed: Deed,
    pub(crate) path: String,
    /// Bytes read or written.
    pub(crate) bytes: u64,
}

/// Objects in memory.
#[derive(Clone, Debug)]
pub(crate) struct Double {
    objects: Arc<InMemory>,
    writes: watch::Sender<Writes>,
    /// Writes that have begun.
    begun: watch::Sender<usize>,
    done: watch::Sender<Vec<Done>>,
    /// Reads get no answer.
    silent: Arc<AtomicBool>,
}

impl Double {
    pub(crate) fn new() -> Self {
        Self {
            objects: Arc::default(),
            writes: watch::Sender::new(Writes::Work),
            begun: watch::Sender::new(0),
            done: watch::Sender::new(Vec::new()),
            silent: Arc::default(),
        }
    }

    pub(crate) fn objects(&self) -> Objects {
        Objects::over(Arc::new(self.clone()), "memory")
    }

    /// The store below, which obeys.
    pub(crate) fn below(&self) -> &InMemory {
        &self.objects
    }

    pub(crate) fn set(&self, writes: Writes) {
        self.writes.send_replace(writes);
    }

    /// From now on reads get no answer, as from a store that is out of reach.
    pub(crate) fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Everything that was done so far.
    pub(crate) fn done(&self) -> Vec<Done> {
        self.done.borrow().clone()
    }

    pub(crate) async fn until_begun(&self, writes: usize) {
        let mut begun = self.begun.subscribe();
        let begun = begun.wait_for(|begun| *begun >= writes);
        let begun = tokio::time::timeout(PATIENCE, begun).await;
        drop(begun.expect("in time").expect("it is kept here"));
    }

    pub(crate) async fn until_done(&self, wanted: impl Fn(&[Done]) -> bool) {
        let mut done = self.done.subscribe();
        let done = done.wait_for(|done| wanted(done));
        let done = tokio::time::timeout(PATIENCE, done).await;
        drop(done.expect("in time").expect("it is kept here"));
    }

    fn note(&self, deed: Deed, path: &Path, bytes: u64) {
        let path = path.to_string();
        self.done
            .send_modify(|done| done.push(Done { deed, path, bytes }));
    }

    async fn until_work(&self) {
        let mut writes = self.writes.subscribe();
        // Only the end of the store ends the channel.
        let _ = writes.wait_for(|writes| *writes == Writes::Work).await;
    }
}

impl core::fmt::Display for Double {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a double")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Double {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.begun.send_modify(|begun| *begun += 1);
        let writes = *self.writes.borrow();
        match writes {
            Writes::Work | Writes::Unanswered => {}
            Writes::Held => self.until_work().await,
            Writes::Full => {
                let source = Box::new(io::Error::from(io::ErrorKind::StorageFull));
                let store = "double";
                return Err(Error::Generic { store, source });
            }
        }
        let bytes = payload.content_length() as u64;
        let put = self.objects.put_opts(path, payload, options).await;
        self.note(Deed::Write, path, bytes);
        if writes == Writes::Unanswered {
            self.until_work().await;
        }
        put
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let got = self.objects.get_opts(path, options).await?;
        self.note(Deed::Read, path, got.range.end - got.range.start);
        Ok(got)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let double = self.clone();
        let removed = self.objects.delete_stream(paths);
        let noted = removed.inspect(move |removed| {
            if let Ok(path) = removed {
                double.note(Deed::Remove, path, 0);
            }
        });
        noted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
