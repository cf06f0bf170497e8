//! Room: what each patient's records take here, how much a person has given them, and what goes when others hold it (design:
//! `kithkin_protocol::record::Quota`).
//!
//! An upload is named by its manifest root here: its batch may not stand on chain yet.

use super::desk::{Desk, lock};
use super::messages::KinError;
use super::roster::Circle;
use super::storage::{Kept, Put as _};
use crate::ports::store::Batch;
use crate::upload::Upload;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{BatchId, PatientId};
use kithkin_protocol::ledger::BatchPlace;
use kithkin_protocol::record::{BatchStatus, HeldBatch, QuotaError, Standing};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes kept for each patient.
pub(super) type Room = BTreeMap<PatientId, u64>;

/// Counts what is kept.
pub(super) fn count(all: &[(Digest, Kept)]) -> Room {
    let mut room = Room::new();
    for (_, kept) in all {
        let bytes = room.entry(kept.patient).or_default();
        *bytes = bytes.saturating_add(kept.bytes());
    }
    room
}

impl Desk {
    /// Takes room for `adds` bytes more of this patient's records. Whoever does not use it gives it back ([`Self::note_room`]).
    ///
    /// # Errors
    /// [`KinError::Full`] when they do not fit.
    pub(super) fn reserve(&self, patient: PatientId, adds: u64) -> Result<(), KinError> {
        self.check_room(patient, adds)?;
        let mut room = lock(&self.room);
        let bytes = room.entry(patient).or_default();
        let sum = bytes.saturating_add(adds);
        let bytes_max = self.setting.quota.bytes_max;
        // Others may have taken it meanwhile.
        if sum > bytes_max {
            let used = *bytes;
            return Err(KinError::Full {
                adds,
                used,
                bytes_max,
            });
        }
        *bytes = sum;
        Ok(())
    }

    /// Keeps an upload whose pieces are in the batch or written already. Its erasure may be ordered at the same time: whichever
    /// of the two is later sees the other.
    pub(super) fn keep(
        &self,
        root: Digest,
        upload: &Upload,
        kept: &Kept,
        batch: Batch,
    ) -> Result<(), KinError> {
        self.store.keep(&root, upload, kept, batch)?;
        if self.store.erased(&root)?.is_some() {
            self.store.forget(kept.patient, &root, None)?;
            return Err(KinError::Erased { root });
        }
        Ok(())
    }

    /// Whether `adds` bytes more of this patient's records fit.
    ///
    /// # Errors
    /// [`KinError::Full`] when they do not.
    pub(super) fn check_room(&self, patient: PatientId, adds: u64) -> Result<(), KinError> {
        let quota = self.setting.quota;
        let used = lock(&self.room).get(&patient).copied().unwrap_or_default();
        if used.saturating_add(adds) <= quota.bytes_max {
            return Ok(());
        }
        let all = self.store.all_kept()?.into_iter();
        let held = all.filter(|(_, kept)| kept.patient == patient);
        let held: Vec<HeldBatch> = held.map(|(root, kept)| held_batch(root, &kept)).collect();
        match quota.admit(&held, adds) {
            Ok(pruned) => {
                for batch in pruned.batches {
                    self.forget_upload(patient, Digest(batch.0), None)?;
                }
                Ok(())
            }
            Err(QuotaError::Full {
                adds,
                used,
                bytes_max,
                ..
            }) => Err(KinError::Full {
                adds,
                used,
                bytes_max,
            }),
            Err(error @ (QuotaError::Overflow | QuotaError::TooMany { .. })) => {
                Err(KinError::Store {
                    reason: error.to_string(),
                })
            }
        }
    }

    /// Notes that so much is kept now instead of so much.
    pub(super) fn note_room(&self, patient: PatientId, before: u64, after: u64) {
        let mut room = lock(&self.room);
        let bytes = room.entry(patient).or_default();
        *bytes = bytes.saturating_sub(before).saturating_add(after);
        if *bytes == 0 {
            room.remove(&patient);
        }
    }

    /// Makes an upload unreadable here and removes it. Durable on return; for threads that may wait.
    pub(super) fn forget_upload(
        &self,
        patient: PatientId,
        root: Digest,
        place: Option<BatchPlace>,
    ) -> Result<(), KinError> {
        let kept = self.store.kept(&root)?;
        self.store.forget(patient, &root, place.as_ref())?;
        if let Some(kept) = kept {
            self.uploads.fetch_sub(1, Ordering::Relaxed);
            self.note_room(patient, kept.bytes(), 0);
        }
        Ok(())
    }
}

fn held_batch(root: Digest, kept: &Kept) -> HeldBatch {
    let standing = match kept.moved_ms {
        // Those who have it now have not shown it: then it would have been pruned.
        Some(since) => Standing::Superseded {
            since,
            successor: BatchStatus::Degraded,
        },
        None => Standing::Current,
    };
    HeldBatch {
        batch: BatchId(root.0),
        bytes: kept.bytes(),
        standing,
        in_case: false,
    }
}

/// Removes pieces of one upload that have gone to others, who have shown theirs.
pub(super) async fn prune(desk: &Arc<Desk>, root: Digest, kept: Kept) -> Result<(), KinError> {
    desk.heavy(move |desk| {
        if kept.slots.is_empty() {
            return desk.forget_upload(kept.patient, root, None);
        }
        let mut batch = Batch::default();
        if let Some(upload) = desk.store.upload(&root)? {
            for entry in upload.manifest.entries() {
                for slot in &kept.surplus {
                    batch.no_shard(&root, &entry.record, *slot);
                }
            }
        }
        let pruned = Kept {
            surplus: Vec::new(),
            ..kept.clone()
        };
        batch.kept(&root, &pruned);
        desk.store.write_blocking(batch)?;
        desk.note_room(kept.patient, kept.bytes(), pruned.bytes());
        Ok(())
    })
    .await
}

/// A kin that has left a roster forgets what was kept for it, tier by tier, once those who have it now have shown it.
pub(super) async fn leave(desk: &Arc<Desk>, circle: &Circle) -> Result<(), KinError> {
    let (patient, entry) = (circle.patient, circle.entry.clone());
    desk.heavy(move |desk| {
        for (root, kept) in desk.store.all_kept()? {
            let era = entry.era_of(kept.epoch);
            let is_elsewhere = era.is_none_or(|era| entry.all_shown(kept.tier, era));
            if kept.patient == patient && is_elsewhere {
                desk.forget_upload(patient, root, None)?;
                tracing::info!(kin = %desk.me, %patient, %root, "others hold these pieces; forgotten here");
            }
        }
        Ok(())
    })
    .await
}
