//! Getting and checking capsules that a patient's new device has made anew (opening.md section 6): the same way for kin, hospitals
//! and the patient.

use crate::friend_relative::FriendRelative;
use crate::friend_relative::messages::{FetchRewrapped, Ground};
use crate::ports::directory::Directory;
use crate::ports::network::Port;
use crate::upload::{Upload, UploadError};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::KinId;
use kithkin_protocol::record::{
    CheckedCapsule, RecordEntry, RewrapError, Rewrapped, RewrappedBatch,
};
use kithkin_protocol::sharing::Commitments;
use kithkin_protocol::units::Epoch;
use std::sync::Arc;
use std::time::Duration;

/// Why capsules that were made anew cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewrappedError {
    /// Nobody who was asked has them.
    #[error("nobody sends the new capsules of upload {root}; last: {last}")]
    Nowhere {
        /// Manifest root of the upload.
        root: Digest,
        /// The last answer.
        last: String,
    },
    /// They do not fit the upload.
    #[error("the new capsules of upload {root}: {source}")]
    Rewrap {
        /// Manifest root of the upload.
        root: Digest,
        /// Why.
        source: RewrapError,
    },
    /// The capsules that came with the upload do not fit it.
    #[error("upload {root}: {source}")]
    Upload {
        /// Manifest root of the upload.
        root: Digest,
        /// Why.
        source: UploadError,
    },
}

/// Under which root the capsules of an upload of `epoch` stand, when they were made anew.
#[must_use]
pub fn of_epoch(rewrapped: Option<Rewrapped>, epoch: Epoch) -> Option<Rewrapped> {
    rewrapped.filter(|rewrapped| rewrapped.covers(epoch))
}

/// Where to ask for new capsules, and as what.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The own port.
    pub port: &'a Port,
    /// Who lives where.
    pub directory: &'a Directory,
    /// What allows it; the patient and its kin need none.
    pub ground: Option<Ground>,
    /// How long the kin, who are asked at the same time, may take.
    pub within: Duration,
}

/// The new capsules of one upload, from whichever of `kin` is the first to send those that stand under the root on chain.
///
/// # Errors
/// [`RewrappedError::Nowhere`].
pub async fn fetch(
    asker: Asker<'_>,
    kin: impl IntoIterator<Item = KinId>,
    rewrapped: Rewrapped,
    root: Digest,
) -> Result<Arc<RewrappedBatch>, RewrappedError> {
    let mut last = String::from("no kin was asked");
    let question = FetchRewrapped {
        under: rewrapped.rewrap.root,
        root,
        ground: asker.ground,
    };
    let names = kin.into_iter().filter_map(|kin| asker.directory.name(kin));
    let mut answers: FuturesUnordered<_> = names
        .map(|name| async move {
            let asked = asker
                .port
                .ask::<FriendRelative, _>(name, question, asker.within);
            (name, asked.await)
        })
        .collect();
    while let Some((name, answer)) = answers.next().await {
        match answer {
            Ok(Ok(batch)) => match batch.verify(&rewrapped.rewrap, &root) {
                Ok(()) => return Ok(batch),
                Err(error) => {
                    tracing::warn!(%name, %root, %error, "sent other capsules; left out");
                    last = format!("{name}: {error}");
                }
            },
            Ok(Err(error)) => last = format!("{name}: {error}"),
            Err(error) => last = error.to_string(),
        }
    }
    Err(RewrappedError::Nowhere { root, last })
}

/// Checks the capsules that count for an upload: those that it came with, or those that were made anew.
///
/// # Errors
/// [`RewrappedError::Rewrap`], [`RewrappedError::Upload`].
pub fn check(
    upload: &Upload,
    anew: Option<&RewrappedBatch>,
    commitments: &Commitments,
) -> Result<Vec<CheckedCapsule>, RewrappedError> {
    let root = upload.root();
    match anew {
        Some(batch) => {
            let context = |entry: &RecordEntry| upload.context(entry.record);
            let key = commitments.public_key();
            let checked = batch.check(upload.manifest.entries(), context, key);
            checked.map_err(|source| RewrappedError::Rewrap { root, source })
        }
        None => {
            let checked = upload.check(commitments);
            checked.map_err(|source| RewrappedError::Upload { root, source })
        }
    }
}
