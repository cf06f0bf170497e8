//! Repair: a lost shard made anew from those of other kin, without the patient and without a hospital.
//!
//! A [`Repair`] takes shards as they come, names whoever sent a wrong one, and
//! when there are enough makes the lost shard and proves that it is the one that
//! the manifest binds. Whoever runs it sees ciphertext only.
//!
//! Not here: who asks whom, and who should hold what ([`super::assign_slots`]).

use super::shards::{Cut, join};
use super::{RecordEntry, Shard, ShardError, shards};
use crate::ids::{KinId, RecordId};
use crate::sharing::Threshold;
use crate::units::ShareIndex;
use std::collections::BTreeMap;

/// One lost shard on its way back.
#[derive(Clone, Debug)]
pub struct Repair {
    entry: RecordEntry,
    shape: Threshold,
    slot: ShareIndex,
    /// Verified shards: fewer than there can be kin.
    good: BTreeMap<ShareIndex, Shard>,
}

/// What became of a good shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offered {
    /// It helps.
    Taken,
    /// There is one of this index, or there are enough.
    Spare,
}

/// A wrong shard, and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("kin {from} sent something else than shard {index} of record {record}")]
pub struct RepairFault {
    /// Who sent it, as the transport knows.
    pub from: KinId,
    /// What it claims to be.
    pub index: ShareIndex,
    /// Of which record.
    pub record: RecordId,
}

/// Why a shard cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepairError {
    /// A slot that the shape does not have.
    #[error("there is no shard {slot} of {kin}")]
    Slot {
        /// The slot.
        slot: ShareIndex,
        /// How many the shape has.
        kin: usize,
    },
    /// The manifest binds shards that are no code word of its ciphertext: the author did that, no kin.
    #[error("the author of record {record} cut it wrongly: its shards cannot be made anew")]
    Author {
        /// The record.
        record: RecordId,
    },
    /// Too few so far, or a length that no ciphertext has.
    #[error(transparent)]
    Shards(ShardError),
}

impl Repair {
    /// The repair of the shard of `slot`; `entry` is from the batch's manifest and `shape` from its epoch's roster.
    ///
    /// # Errors
    /// [`RepairError::Slot`], or [`RepairError::Shards`] for a length that no ciphertext has.
    pub fn new(
        entry: RecordEntry,
        shape: Threshold,
        slot: ShareIndex,
    ) -> Result<Self, RepairError> {
        let kin = shape.kin();
        if slot.position() >= kin {
            return Err(RepairError::Slot { slot, kin });
        }
        Cut::of(&entry, shape).map_err(RepairError::Shards)?;
        Ok(Self {
            entry,
            shape,
            slot,
            good: BTreeMap::new(),
        })
    }

    /// Takes a shard that `from` sent. Whose slot it is does not matter: a good one proves itself.
    ///
    /// # Errors
    /// [`RepairFault`] for a wrong one; nothing has changed then.
    pub fn offer(&mut self, from: KinId, shard: Shard) -> Result<Offered, RepairFault> {
        let index = shard.index;
        shard
            .verify(&self.entry, self.shape)
            .map_err(|_| RepairFault {
                from,
                index,
                record: self.entry.record,
            })?;
        if self.is_ready() || self.good.contains_key(&index) {
            return Ok(Offered::Spare);
        }
        self.good.insert(index, shard);
        Ok(Offered::Taken)
    }

    /// Whether [`finish`](Self::finish) has what it needs: enough shards, or the lost one itself.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.missing() == 0
    }

    /// How many good shards of other indices are still needed.
    #[must_use]
    pub fn missing(&self) -> usize {
        if self.good.contains_key(&self.slot) {
            return 0;
        }
        self.shape.needed().saturating_sub(self.good.len())
    }

    /// The lost shard, proved to be the one that the manifest binds.
    ///
    /// # Errors
    /// [`RepairError::Shards`] while some are missing; [`RepairError::Author`].
    pub fn finish(&self) -> Result<Shard, RepairError> {
        if let Some(shard) = self.good.get(&self.slot) {
            return Ok(shard.clone());
        }
        let (good, needed) = (self.good.len(), self.shape.needed());
        if good < needed {
            return Err(RepairError::Shards(ShardError::TooFew {
                good,
                needed,
                refused: Vec::new(),
            }));
        }
        let record = self.entry.record;
        let author = RepairError::Author { record };
        let bytes = self.good.iter();
        let bytes = bytes.map(|(index, shard)| (*index, shard.bytes.as_slice()));
        let ciphertext = match join(&bytes.collect(), self.shape, &self.entry) {
            Ok(ciphertext) => ciphertext,
            Err(ShardError::Inconsistent) => return Err(author),
            Err(error) => return Err(RepairError::Shards(error)),
        };
        let set = shards(&ciphertext, self.shape).map_err(RepairError::Shards)?;
        if set.root != self.entry.shard_root {
            return Err(author);
        }
        let made = set.shards.into_iter();
        made.filter(|shard| shard.index == self.slot)
            .find(|shard| shard.verify(&self.entry, self.shape).is_ok())
            .ok_or(author)
    }
}
