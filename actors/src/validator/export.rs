//! Audit bundles for those who ask a running validator: how many at a time, and when one is given up.
//!
//! An export reads blocks on a thread that nobody can stop from outside. So it keeps its place until it has ended, whoever
//! has left meanwhile, and looks before each read whether anybody still waits for it.

use super::actor::Validator;
use super::archive::Archive;
use super::messages::QueryError;
use crate::ports::network::Delivered;
use actix::{Handler, Message, ResponseFuture};
use kithkin_protocol::audit::{BundleError, Subject};
use kithkin_protocol::ledger::State;
use kithkin_protocol::wire;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest bundle that is sent: with its frame it fits into one answer.
pub const AUDIT_BYTES_MAX: usize = wire::FRAME_BYTES_MAX - 64 * 1024;
/// Most bundles that a node makes at a time.
pub const EXPORTS_MAX: usize = 2;

/// Anyone -> Validator. An audit bundle without attachments, as bytes ([`kithkin_protocol::audit`]), of the present state; it
/// waits for the next block, which proves that. Whoever gets it verifies it from the genesis.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<u8>, QueryError>")]
pub struct ExportAudit {
    /// About what.
    pub subject: Subject,
    /// Where it is made; it is given up when whoever waits for it has left.
    pub place: ExportPlace,
}

/// Room for [`EXPORTS_MAX`] exports. A clone is the same room.
#[derive(Clone, Debug)]
pub struct ExportRoom(Arc<Semaphore>);

/// A place in the room. It goes with the work, and comes free when that ends.
#[derive(Debug)]
pub struct ExportPlace {
    _permit: OwnedSemaphorePermit,
    asker: Weak<()>,
}

/// Whoever waits for an export. Dropped, the work stops at its next read.
#[derive(Debug)]
#[must_use = "an export that nobody waits for is given up"]
pub struct ExportAsker(Arc<()>);

impl Default for ExportRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(EXPORTS_MAX)))
    }
}

impl ExportRoom {
    /// Waits for a place, in the order of asking. None when the room is gone.
    pub async fn enter(&self) -> Option<(ExportPlace, ExportAsker)> {
        let permit = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let asker = ExportAsker(Arc::new(()));
        let place = ExportPlace {
            _permit: permit,
            asker: Arc::downgrade(&asker.0),
        };
        Some((place, asker))
    }
}

impl ExportPlace {
    /// Whether anybody still waits for what is being made.
    pub(super) fn is_wanted(&self) -> bool {
        self.asker.strong_count() > 0
    }
}

/// The causes of a failure in one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Handler<Delivered<ExportAudit>> for Validator {
    type Result = ResponseFuture<Result<Vec<u8>, QueryError>>;

    fn handle(&mut self, delivered: Delivered<ExportAudit>, _: &mut Self::Context) -> Self::Result {
        let ExportAudit { subject, place } = delivered.message;
        let name = self.port.me();
        let asked = self.prove_final(State::electorate_key());
        let (ledger, store) = (self.ledger().clone(), self.store.clone());
        let genesis = Arc::clone(&self.genesis);
        Box::pin(async move {
            let proved = asked?.await.map_err(|_| QueryError::Busy { name })?;
            let export = move || -> Result<Vec<u8>, String> {
                let mut archive = Archive::running(genesis, store, ledger, proved.step, place);
                let bundle = archive.export(subject).map_err(|error| whole(&error))?;
                bundle
                    .encode()
                    .map_err(|error: BundleError| error.to_string())
            };
            // Blocks are read and signatures checked: not on this thread.
            match tokio::task::spawn_blocking(export).await {
                Ok(Ok(bytes)) if bytes.len() <= AUDIT_BYTES_MAX => Ok(bytes),
                Ok(Ok(bytes)) => {
                    let (bytes, most) = (bytes.len(), AUDIT_BYTES_MAX);
                    let reason = format!(
                        "the bundle has {bytes} bytes, and {most} at most are sent: export it from the data folder, or one case at a time"
                    );
                    Err(QueryError::Audit { name, reason })
                }
                Ok(Err(reason)) => Err(QueryError::Audit { name, reason }),
                Err(_) => Err(QueryError::Busy { name }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    /// Whoever asks and leaves again and again has no more than the room's places at work.
    #[test]
    fn an_export_keeps_its_place_until_it_ends_whoever_leaves() {
        let room = ExportRoom::default();
        let enter = || room.enter().now_or_never().flatten();
        let mut at_work = Vec::new();
        for _ in 0..EXPORTS_MAX {
            let (place, asker) = enter().expect("room");
            assert!(place.is_wanted());
            drop(asker);
            assert!(!place.is_wanted());
            at_work.push(place);
        }
        assert!(enter().is_none());
        at_work.pop();
        assert!(enter().is_some());
    }
}
