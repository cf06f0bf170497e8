//! Possession: a kin shows drawn places of what it should hold ("Redundant data" in `docs/spec/opening.md`).
//!
//! A finalized block's seed, the kin's place in the roster and the round draw
//! [`CHALLENGES`] places, uniformly over the bytes that the kin should hold. Who
//! draws needs only the batch headers on chain: a place is a batch with a slot, weighted
//! by the shard's length, a byte of the batch's ciphertexts behind one another,
//! and a chunk. The byte says which record, since manifest leaves bind
//! where their ciphertext starts; the record's length then says which of its chunks.
//! So a large record is drawn as often as it has bytes, whatever else is in its batch.
//!
//! **How likely a loss is seen.** Draws are independent. A kin that lost the part `p`
//! of its bytes passes one draw with `1 - p`, and all of them with `(1 - p)^20`:
//!
//! | lost | 5 % | 10 % | 20 % | 30 % | 50 % |
//! |---|---|---|---|---|---|
//! | seen in one round | 0.642 | 0.878 | 0.988 | 0.9992 | 0.999999 |
//!
//! and `r` rounds have `(1 - p)^(20 r)`. It makes no difference whether single chunks or whole
//! records are gone, nor how many records share the bytes. `p` counts bytes, not records: if the lost 30 % of the
//! records are small and have 1 % of the bytes, a round sees it with 0.18 only, and 20 with 0.98. Tiers
//! are drawn apart, so that small summaries do not hide behind large charts. The weights
//! differ from what is held by the padding alone: less than two bytes a shard, and a last chunk, even a short one, is drawn as often as a full one.
//!
//! Drawing a *record* evenly from the number in the header would be simpler, and worse: a kin
//! that dropped the one large record of a batch of 4,096 would lose nearly all bytes and be seen with 0.005.
//!
//! **What an answer does not show.** A kin that fetched the chunk from others after the draw passes too:
//! it is shown that the chunk can be had, within the time allowed for the answer.

use super::duties::{Draw, Stage};
use super::{
    BatchHeader, ChunkFault, ChunkProof, Duties, Duty, Manifest, ManifestLine, RecordEntry, Shard,
};
use crate::crypto::{Digest, HashWriter};
use crate::ids::HospitalId;
use crate::units::{Epoch, ShareIndex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Places drawn in one round.
pub const CHALLENGES: usize = 20;
/// Longest answer in bytes, as a frame; leaves 24 KiB of a transaction for what surrounds it.
pub const ANSWER_BYTES_MAX: usize = 40 * 1024;

/// One round for one kin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Of a finalized block; nobody knew it before.
    pub seed: Digest,
    /// Generation of the roster that the kin stands in.
    pub epoch: Epoch,
    /// The kin's place in that roster.
    pub index: ShareIndex,
    /// Number of the round.
    pub round: u64,
}

/// A place that was drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// The batch and slot.
    pub duty: Duty<'a>,
    /// Byte of the batch's ciphertexts behind one another: says which record.
    pub offset: u64,
    draw: Draw,
}

/// What a kin says to one place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Proof {
    /// Here is the chunk, and the record's line.
    Held(ManifestLine, ChunkProof),
    /// There is nothing to show: the record of this line was erased by order, or the
    /// place lies behind this last line, because the header on chain says more bytes than there are.
    Excused(ManifestLine),
    /// It should be there and is not; an honest kin says so, and is repaired.
    Lost,
}

/// One proof for each place, in the order of the draws.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Proof>", into = "Vec<Proof>")]
pub struct Answer(Vec<Proof>);

/// What a good proof shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The chunk is there.
    Held,
    /// The kin says itself that it is not.
    Lost,
    /// The record was erased by order.
    Erased,
    /// No record has the place: the header says more bytes than the manifest has.
    Beyond,
}

/// What an answer shows whose proofs all hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Places that were shown.
    pub held: usize,
    /// Places that the kin says it lost, in the order of the draws.
    pub lost: Vec<usize>,
    /// Places of erased records: tell nothing.
    pub erased: usize,
    /// Places behind the end of a batch: tell nothing of the kin.
    pub beyond: usize,
    /// Manifest roots of batches whose header has a wrong length or count, as proved, with the author who signed it.
    pub misstated: BTreeSet<(Digest, HospitalId)>,
}

/// Why one proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceFault {
    /// The line does not stand in the batch's manifest.
    #[error("the line does not stand in the manifest of the batch")]
    Line,
    /// A line of the manifest, but not the one that was drawn.
    #[error("the line is not the one that was drawn")]
    Elsewhere,
    /// Excused, though the record was not erased and the place lies within the batch.
    #[error("the record was not erased")]
    NotErased,
    /// The chunk does not hold.
    #[error(transparent)]
    Chunk(#[from] ChunkFault),
}

/// Why an answer does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError {
    /// Not one proof for each place.
    #[error("an answer has {CHALLENGES} proofs, not {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A proof that does not hold.
    #[error("place {number}: {fault}")]
    Place {
        /// Which place, from 0.
        number: usize,
        /// Why.
        fault: PlaceFault,
    },
}

impl Challenge {
    /// The places of this round, in order: [`CHALLENGES`] of them.
    pub fn places<'a>(self, duties: &Duties<'a>) -> impl Iterator<Item = Place<'a>> {
        let mut writer = HashWriter::new("kithkin/possession/1");
        duties.name(writer.field(self.seed));
        writer
            .number(u64::from(self.epoch.0))
            .number(u64::from(self.index.get()))
            .number(self.round);
        let base = writer.finish();
        (0..CHALLENGES).filter_map(move |number| {
            let draw = Draw { base, number };
            let duty = duties.at(draw.below(duties.bytes(), Stage::Duty))?;
            let offset = draw.below(duty.header.bytes, Stage::Byte);
            Some(Place { duty, offset, draw })
        })
    }

    /// Checks an answer against the headers alone.
    ///
    /// A kin passes when nothing is in [`Verdict::lost`]. Whoever counts a round should look at [`Verdict::held`]
    /// too: batches in [`Verdict::misstated`] are their author's fault, and best left out of later rounds.
    ///
    /// # Errors
    /// [`PossessionError::Count`] or [`PossessionError::Place`], naming the first place whose proof does not hold.
    pub fn verify(&self, duties: &Duties<'_>, answer: &Answer) -> Result<Verdict, PossessionError> {
        let found = answer.0.len();
        if found != CHALLENGES {
            return Err(PossessionError::Count { found });
        }
        let mut verdict = Verdict::default();
        for (number, (place, proof)) in self.places(duties).zip(&answer.0).enumerate() {
            let outcome = place
                .check(proof)
                .map_err(|fault| PossessionError::Place { number, fault })?;
            match outcome {
                Outcome::Held => verdict.held += 1,
                Outcome::Lost => verdict.lost.push(number),
                Outcome::Erased => verdict.erased += 1,
                Outcome::Beyond => verdict.beyond += 1,
            }
            if let Proof::Held(line, _) | Proof::Excused(line) = proof
                && misstated(place.duty.header, line)
            {
                let header = place.duty.header;
                let named = (header.manifest_root, header.author);
                verdict.misstated.insert(named);
            }
        }
        Ok(verdict)
    }
}

/// Whether a line that stands in the header's manifest shows that the header has a wrong length or count.
fn misstated(header: &BatchHeader, line: &ManifestLine) -> bool {
    line.path.leaves != header.records
        || line.end() > header.bytes
        || (line.is_last() && line.end() != header.bytes)
}

impl Place<'_> {
    /// The record that was drawn; none if the batch is shorter than its header says.
    #[must_use]
    pub fn record<'m>(&self, manifest: &'m Manifest) -> Option<&'m RecordEntry> {
        manifest.entries().get(manifest.position_at(self.offset)?)
    }

    /// Which chunk of the record's shard was drawn, from 0; none for a length that no ciphertext has.
    #[must_use]
    pub fn chunk(&self, entry: &RecordEntry) -> Option<usize> {
        let chunks = entry.chunks(self.duty.shape)?;
        usize::try_from(self.draw.below(chunks as u64, Stage::Chunk)).ok()
    }

    /// The kin's proof: `manifest` is the batch's, `shard` that of [`record`](Self::record) as the disk gives it. A
    /// shard that is not the one that was stored counts as lost.
    #[must_use]
    pub fn prove(&self, manifest: &Manifest, shard: Option<&Shard>) -> Proof {
        let position = manifest.position_at(self.offset);
        let last = manifest.entries().len().saturating_sub(1);
        let Some(line) = manifest.line(position.unwrap_or(last)) else {
            return Proof::Lost;
        };
        if position.is_none() || self.duty.erased.contains(&line.entry.record) {
            return Proof::Excused(line);
        }
        let (slot, shape) = (self.duty.slot, self.duty.shape);
        self.chunk(&line.entry)
            .and_then(|number| {
                let chunk = shard?.chunk(number)?;
                let held = chunk.verify(&line.entry, shape, slot, number).is_ok();
                held.then_some(Proof::Held(line, chunk))
            })
            .unwrap_or(Proof::Lost)
    }

    /// Checks the proof for this place.
    ///
    /// # Errors
    /// Every [`PlaceFault`].
    pub fn check(&self, proof: &Proof) -> Result<Outcome, PlaceFault> {
        match proof {
            Proof::Lost => Ok(Outcome::Lost),
            Proof::Held(line, chunk) => {
                self.check_line(line)?;
                if !self.lies_in(line) {
                    return Err(PlaceFault::Elsewhere);
                }
                let number = self.chunk(&line.entry).ok_or(PlaceFault::Elsewhere)?;
                chunk.verify(&line.entry, self.duty.shape, self.duty.slot, number)?;
                Ok(Outcome::Held)
            }
            Proof::Excused(line) => {
                self.check_line(line)?;
                if line.is_last() && line.end() <= self.offset {
                    Ok(Outcome::Beyond)
                } else if !self.lies_in(line) {
                    Err(PlaceFault::Elsewhere)
                } else if self.duty.erased.contains(&line.entry.record) {
                    Ok(Outcome::Erased)
                } else {
                    Err(PlaceFault::NotErased)
                }
            }
        }
    }

    fn check_line(&self, line: &ManifestLine) -> Result<(), PlaceFault> {
        line.verify(&self.duty.header.manifest_root)
            .map_err(|_| PlaceFault::Line)
    }

    fn lies_in(&self, line: &ManifestLine) -> bool {
        (line.start..line.end()).contains(&self.offset)
    }
}

impl Answer {
    /// The answer of these proofs.
    ///
    /// # Errors
    /// [`PossessionError::Count`].
    pub fn new(proofs: Vec<Proof>) -> Result<Self, PossessionError> {
        match proofs.len() {
            CHALLENGES => Ok(Self(proofs)),
            found => Err(PossessionError::Count { found }),
        }
    }

    /// The proofs in the order of the draws.
    #[must_use]
    pub fn proofs(&self) -> &[Proof] {
        &self.0
    }
}

impl TryFrom<Vec<Proof>> for Answer {
    type Error = PossessionError;
    fn try_from(proofs: Vec<Proof>) -> Result<Self, PossessionError> {
        Self::new(proofs)
    }
}

impl From<Answer> for Vec<Proof> {
    fn from(answer: Answer) -> Self {
        answer.0
    }
}
