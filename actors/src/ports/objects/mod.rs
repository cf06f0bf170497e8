//! Objects: large values that never change, each under a name, in a local folder or in an S3-compatible store.
//!
//! What belongs to it and is small and changes is in [`super::store`]. An object is written once; writing it again
//! writes the same. When [`Shelf::put`] returns, the object is durable: in a folder the file is synced and then the
//! folder that names it; an S3 store acknowledges what it has stored. The same holds for [`Shelf::remove`] in a folder.
//!
//! * `mod`: [`Objects`], the process's store, and [`Shelf`], an actor's part of it. `turns`: writing and removing
//!   the same object, one after the other.
//! * `place`: settings, checked. `s3`: how the client is set up: retries, limits, TLS. `error`: what can go wrong.

#[cfg(test)]
pub(crate) mod double;
mod error;
mod place;
mod s3;
#[cfg(test)]
mod tests;
mod turns;

pub use error::{Deed, ObjectsError};
pub use place::{Place, PlaceError, PlaceSettings, S3Place};

use crate::ports::folder;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use turns::Turns;

/// How long a caller waits until an object is written or removed: longer than the S3 client tries.
pub const WRITTEN_WITHIN: Duration = Duration::from_secs(100);

/// The process's store of objects. A clone is the same store.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    /// What stands before every name.
    prefix: Path,
    /// The folder, if it is one.
    folder: Option<PathBuf>,
    /// For messages to people.
    place: String,
    /// Never to be printed.
    secrets: place::Credentials,
    turns: Turns,
}

impl Objects {
    /// Opens a place; a folder is made, readable by its owner only. An S3 store is not asked anything yet: one that cannot be
    /// reached now fails what is asked of it then.
    ///
    /// # Errors
    /// [`ObjectsError::Folder`], [`ObjectsError::Setup`].
    pub fn open(place: &Place) -> Result<Self, ObjectsError> {
        match place {
            Place::Folder(path) => Self::in_folder(path),
            Place::S3(s3) => Ok(Self(Arc::new(Inner {
                store: Arc::new(s3::open(s3)?),
                prefix: s3.prefix.clone(),
                folder: None,
                place: s3.to_string(),
                secrets: s3.credentials.clone(),
                turns: Turns::default(),
            }))),
        }
    }

    fn in_folder(path: &std::path::Path) -> Result<Self, ObjectsError> {
        folder::create_private(path).map_err(|error| unusable(path, error))?;
        // Absolute from here on: the program may go elsewhere.
        let path = fs::canonicalize(path).map_err(|error| unusable(path, error))?;
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(|error| unusable(&path, error))?
            .with_fsync(true);
        Ok(Self(Arc::new(Inner {
            store: Arc::new(store),
            prefix: Path::default(),
            place: path.display().to_string(),
            folder: Some(path),
            secrets: place::Credentials::default(),
            turns: Turns::default(),
        })))
    }

    /// Any other store, for example one in memory; `place` names it in messages. It must keep the promise of
    /// durability itself.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>, place: &str) -> Self {
        Self(Arc::new(Inner {
            store,
            prefix: Path::default(),
            folder: None,
            place: place.to_owned(),
            secrets: place::Credentials::default(),
            turns: Turns::default(),
        }))
    }

    /// The part of an actor of that name.
    ///
    /// # Errors
    /// [`ObjectsError::Folder`].
    pub fn shelf(&self, name: &str) -> Result<Shelf, ObjectsError> {
        let folder = self.0.folder.as_ref().map(|folder| folder.join(name));
        if let Some(folder) = &folder {
            folder::create_private(folder).map_err(|error| unusable(folder, error))?;
        }
        Ok(Shelf {
            objects: Arc::clone(&self.0),
            prefix: self.0.prefix.clone().join(name),
            folder,
        })
    }
}

impl core::fmt::Display for Objects {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0.place)
    }
}

impl core::fmt::Debug for Objects {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Objects({self})")
    }
}

/// An actor's objects. A clone is the same shelf. Names are plain: letters, digits, dots.
#[derive(Clone)]
pub struct Shelf {
    objects: Arc<Inner>,
    prefix: Path,
    folder: Option<PathBuf>,
}

impl Shelf {
    /// Writes an object from its parts, which are not copied. Durable when this returns. What was begun is brought to its end
    /// even if nobody waits for it any more; a removal of the same name waits for that.
    ///
    /// # Errors
    /// [`ObjectsError::Failed`], [`ObjectsError::TooSlow`]. The object may be there all the same then.
    pub async fn put(&self, name: &str, parts: Vec<Bytes>) -> Result<(), ObjectsError> {
        let (path, objects) = (self.path(name), Arc::clone(&self.objects));
        let payload = PutPayload::from_iter(parts);
        let turn = objects.turns.of(&path);
        let work = async move {
            let _turn = turn.lock_owned().await;
            objects.store.put(&path, payload).await
        };
        self.to_the_end(name, Deed::Write, work).await.map(|_| ())
    }

    /// A part of an object that has `size` bytes.
    ///
    /// # Errors
    /// [`ObjectsError::Missing`], [`ObjectsError::Length`] when it has another size, [`ObjectsError::Failed`], and
    /// [`ObjectsError::TooSlow`] at `until`.
    pub async fn get(
        &self,
        name: &str,
        part: Range<u64>,
        size: u64,
        until: Instant,
    ) -> Result<Bytes, ObjectsError> {
        let wanted = part.end.saturating_sub(part.start);
        let length = |found| ObjectsError::Length {
            object: self.describe(name),
            found,
            expected: size,
        };
        // A range behind the end would be an error of its own kind; without one, a wrong size always shows as such.
        let range = (part != (0..size)).then_some(GetRange::Bounded(part));
        let options = GetOptions::new().with_range(range);
        let path = self.path(name);
        let read = async {
            let failed = |error| self.failed(name, Deed::Read, error);
            let got = self.objects.store.get_opts(&path, options).await;
            let got = got.map_err(failed)?;
            // Known before anything is read, so that no memory is taken for what somebody else has put there.
            let found = got.meta.size;
            if found != size {
                return Err(length(found));
            }
            let bytes = got.bytes().await.map_err(failed)?;
            let whole = u64::try_from(bytes.len()) == Ok(wanted);
            whole.then_some(bytes).ok_or_else(|| length(found))
        };
        let within = until.saturating_duration_since(Instant::now());
        let read = tokio::time::timeout(within, read).await;
        read.unwrap_or_else(|_| Err(self.too_slow(name, Deed::Read, within)))
    }

    /// Removes an object, and what a crash while it was written has left of it. It is gone when this returns, also if there
    /// was none.
    ///
    /// # Errors
    /// [`ObjectsError::Failed`], [`ObjectsError::TooSlow`]. It may be gone all the same then.
    pub async fn remove(&self, name: &str) -> Result<(), ObjectsError> {
        let (path, objects) = (self.path(name), Arc::clone(&self.objects));
        let file = self.folder.as_ref().map(|folder| folder.join(name));
        let turn = objects.turns.of(&path);
        let work = async move {
            let _turn = turn.lock_owned().await;
            match objects.store.delete(&path).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            let Some(file) = file else {
                return Ok(());
            };
            let cleared = tokio::task::spawn_blocking(move || clear(&file));
            cleared.await?.map_err(|error| Error::Generic {
                store: "folder",
                source: Box::new(error),
            })
        };
        self.to_the_end(name, Deed::Remove, work).await
    }

    /// Runs in a task of its own: a write that is let go of in the middle could end after the removal of what it wrote.
    async fn to_the_end<T: Send + 'static>(
        &self,
        name: &str,
        deed: Deed,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, ObjectsError> {
        let done = tokio::time::timeout(WRITTEN_WITHIN, tokio::spawn(work)).await;
        let done = done.map_err(|_| self.too_slow(name, deed, WRITTEN_WITHIN))?;
        let done = done.unwrap_or_else(|error| Err(error.into()));
        done.map_err(|error| self.failed(name, deed, error))
    }

    /// Name and place of an object, for people.
    #[must_use]
    pub fn describe(&self, name: &str) -> String {
        format!("the object {} in {}", self.path(name), self.objects.place)
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    fn failed(&self, name: &str, deed: Deed, error: Error) -> ObjectsError {
        let object = self.describe(name);
        match error {
            Error::NotFound { .. } if deed == Deed::Read => ObjectsError::Missing { object },
            error => ObjectsError::Failed {
                object,
                deed,
                reason: self.objects.secrets.redact(&chain(&error)),
            },
        }
    }

    fn too_slow(&self, name: &str, deed: Deed, within: Duration) -> ObjectsError {
        ObjectsError::TooSlow {
            object: self.describe(name),
            deed,
            ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// An error with what is behind it, each reason once: the outermost often says only that a request failed.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(inner) = next {
        let reason = inner.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        next = inner.source();
    }
    text
}

/// Removes what half a write has left (`object_store` writes beside the object first, under its name with a number), and
/// brings removals to disk.
fn clear(file: &std::path::Path) -> io::Result<()> {
    for number in 1u32.. {
        let mut staged = file.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        match fs::remove_file(&staged) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    match folder::sync(folder::parent(file)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced,
    }
}

fn unusable(path: &std::path::Path, error: impl core::fmt::Display) -> ObjectsError {
    ObjectsError::Folder {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
