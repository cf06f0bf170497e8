//! What a kin should hold, as the batch headers on chain say, and the draw of numbers that chooses from it.
//!
//! Not here: how often a loss is seen, and what a kin answers ([`super::Challenge`]).

use super::BatchHeader;
use crate::crypto::{Digest, HashWriter};
use crate::ids::{ChainId, PatientId, RecordId};
use crate::sharing::Threshold;
use crate::units::{ShareIndex, Tier};
use std::collections::BTreeSet;

/// Most batches with a slot that one kin answers for.
pub const DUTIES_MAX: usize = 1 << 20;

/// One slot of one batch that a kin should hold, as the chain says. Also of a batch that stands as degraded:
/// a kin makes pieces that it never got from those of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duty<'a> {
    /// The batch.
    pub header: &'a BatchHeader,
    /// How its ciphertexts were cut: by the roster of the header's epoch.
    pub shape: Threshold,
    /// Which shard: the kin's own share index, or the one that it took over ([`super::Slots`]).
    pub slot: ShareIndex,
    /// Records of the batch that the kin erased by order ([`super::Erasure`]).
    pub erased: &'a BTreeSet<RecordId>,
}

/// Everything that one kin should hold of one patient and tier.
#[derive(Clone, Debug)]
pub struct Duties<'a> {
    chain: ChainId,
    patient: PatientId,
    tier: Tier,
    /// Where each duty ends when all lie behind one another, in bytes of shards.
    ends: Vec<(u64, Duty<'a>)>,
    total: u64,
}

/// Why these cannot be what a kin should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DutyError {
    /// A batch of another ledger, patient or tier.
    #[error("the batch of manifest {manifest_root} belongs to another ledger, patient or tier")]
    Foreign {
        /// The batch's manifest.
        manifest_root: Digest,
    },
    /// A slot that the batch's shape does not have.
    #[error("there is no shard {slot} of {kin}")]
    Slot {
        /// The slot.
        slot: ShareIndex,
        /// How many the shape has.
        kin: usize,
    },
    /// More than [`DUTIES_MAX`], or more bytes than a number holds.
    #[error("{found} batches; a kin answers for at most {DUTIES_MAX}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// The kin should hold nothing.
    #[error("there is nothing that the kin should hold")]
    Nothing,
}

impl<'a> Duties<'a> {
    /// What a kin should hold; the order in which it is given does not matter.
    ///
    /// # Errors
    /// Every [`DutyError`].
    pub fn new(
        chain: ChainId,
        patient: PatientId,
        tier: Tier,
        duties: impl IntoIterator<Item = Duty<'a>>,
    ) -> Result<Self, DutyError> {
        let mut sorted: Vec<Duty<'a>> = duties.into_iter().take(DUTIES_MAX + 1).collect();
        let found = sorted.len();
        let too_many = DutyError::TooMany { found };
        if found > DUTIES_MAX {
            return Err(too_many);
        }
        sorted.sort_by_cached_key(|duty| {
            let header = duty.header;
            (header.manifest_root, duty.slot, header.id())
        });
        let (mut total, mut ends) = (0u64, Vec::with_capacity(found));
        for duty in sorted {
            let (header, slot, kin) = (duty.header, duty.slot, duty.shape.kin());
            if (header.chain, header.patient, header.tier) != (chain, patient, tier) {
                let manifest_root = header.manifest_root;
                return Err(DutyError::Foreign { manifest_root });
            }
            if slot.position() >= kin {
                return Err(DutyError::Slot { slot, kin });
            }
            let held = header.bytes.div_ceil(duty.shape.needed() as u64);
            total = total.checked_add(held).ok_or(too_many)?;
            ends.push((total, duty));
        }
        if total == 0 {
            return Err(DutyError::Nothing);
        }
        Ok(Self {
            chain,
            patient,
            tier,
            ends,
            total,
        })
    }

    /// How much that is in bytes of shards, padding left out.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.total
    }

    /// Names ledger, patient and tier in a hash.
    pub(super) fn name(&self, writer: &mut HashWriter) {
        writer
            .field(self.chain)
            .field(self.patient)
            .field(self.tier.as_str());
    }

    /// The duty that has the byte at `offset` of all shards behind one another.
    pub(super) fn at(&self, offset: u64) -> Option<Duty<'a>> {
        let position = self.ends.partition_point(|(end, _)| *end <= offset);
        self.ends.get(position).map(|(_, duty)| *duty)
    }
}

/// What is drawn for a place, one after the other.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    Duty,
    Byte,
    Chunk,
}

/// The numbers of one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Draw {
    pub(super) base: Digest,
    pub(super) number: usize,
}

impl Draw {
    /// A uniform number in `0..bound`; 0 for a bound of 0. Candidates above the largest multiple of
    /// `bound` are thrown away, as in the master's draw ([`crate::credit`]), so that none is more likely.
    pub(super) fn below(self, bound: u64, stage: Stage) -> u64 {
        for counter in 0..=u64::MAX {
            let mut writer = HashWriter::new("kithkin/possession-draw/1");
            writer
                .field(self.base)
                .number(self.number as u64)
                .number(stage as u64)
                .number(counter);
            let digest = writer.finish();
            let candidate = digest.0.first_chunk().copied().map(u64::from_be_bytes);
            if let Some(drawn) = residue(candidate.unwrap_or(0), u64::MAX, bound) {
                return drawn;
            }
            if bound == 0 {
                break;
            }
        }
        0
    }
}

/// `candidate mod bound` when `candidate`, uniform in `0..=most`, lies below the largest multiple of `bound`.
fn residue(candidate: u64, most: u64, bound: u64) -> Option<u64> {
    let excess = (most.checked_rem(bound)? + 1) % bound;
    (candidate <= most - excess).then(|| candidate % bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every candidate of eight bits, every bound: each number is drawn exactly `256 / bound` times, the rest is refused.
    #[test]
    fn the_draw_is_exactly_uniform() {
        for bound in 1..=256u64 {
            let mut hits = vec![0u64; bound as usize];
            for drawn in (0..=255).filter_map(|candidate| residue(candidate, 255, bound)) {
                hits[drawn as usize] += 1;
            }
            assert!(hits.iter().all(|&count| count == 256 / bound), "{bound}");
        }
        assert_eq!(residue(5, u64::MAX, 0), None);
        assert_eq!(residue(u64::MAX, u64::MAX, 1), Some(0));
        assert_eq!(residue(u64::MAX, u64::MAX, 3), None);
        assert_eq!(residue(u64::MAX - 1, u64::MAX, 3), Some(2));
        assert_eq!(residue(u64::MAX, u64::MAX, 1 << 63), Some((1 << 63) - 1));
        assert_eq!(residue(u64::MAX, u64::MAX, (1 << 63) + 1), None);
    }

    #[test]
    fn a_bound_of_nothing_ends() {
        let draw = Draw {
            base: Digest::ZERO,
            number: 0,
        };
        assert_eq!(draw.below(0, Stage::Byte), 0);
        assert_eq!(draw.below(1, Stage::Byte), 0);
    }
}
