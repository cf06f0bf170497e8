//! Slots: who holds which shard of records that were sealed before the roster changed (ADR 33).
//!
//! A record keeps the shards into which it was cut. Each is a slot, named by
//! its index, and a change of the roster hands slots on: whoever takes one over has its shard made
//! anew from those of the others ([`super::Repair`]). [`assign_slots`] is a pure function of the holders before and the
//! new roster, so everybody who reads the chain knows who should hold what.

use crate::ids::KinId;
use crate::sharing::{KIN_MAX, KIN_MIN, Threshold, majority};
use crate::units::ShareIndex;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The holder of each slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slots {
    holders: Vec<KinId>,
    shape: Threshold,
    kin: usize,
}

/// What losses of holders the shards survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Endurance {
    /// Fewer than the present roster can lose and still open: the records should be cut anew for it.
    Weakened,
    /// As many as the present roster can lose and still open, but fewer than when they were sealed.
    AsRoster,
    /// As many as when they were sealed: any `n - k`.
    AsSealed,
}

/// Why slots cannot be assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Fewer kin than a patient must have, or more than there can be.
    #[error("a roster has {KIN_MIN} to {KIN_MAX} kin, not {found}")]
    Roster {
        /// How many there are.
        found: usize,
    },
    /// A kin that stands twice in the roster.
    #[error("kin {kin} stands twice in the roster")]
    Duplicate {
        /// The kin.
        kin: KinId,
    },
    /// Not one holder for each slot of the shape.
    #[error("{found} holders for {slots} slots")]
    Holders {
        /// How many holders were given.
        found: usize,
        /// How many slots the shape has.
        slots: usize,
    },
}

/// Hands the slots of `before` on to `roster`.
///
/// * Every slot has a holder, who stands in the roster.
/// * No kin holds more than one slot more than another.
/// * Whoever held slots keeps them, up to its part; the odd ones go to those who held most, so that as few shards as possible move.
/// * A slot that falls free goes to the member at its place of the roster if that one has room: a
///   replacement that takes the place of somebody takes the slot too. Else the first member that has room takes it.
///
/// With as many kin as slots nobody holds two; with more, some hold none. A kin never holds `k` slots,
/// since three kin or more share them.
///
/// # Errors
/// Every [`SlotError`].
pub fn assign_slots(
    before: &[KinId],
    roster: &[KinId],
    shape: Threshold,
) -> Result<Slots, SlotError> {
    let (found, slots) = (before.len(), shape.kin());
    if found != slots {
        return Err(SlotError::Holders { found, slots });
    }
    check_roster(roster)?;
    let held = |kin: &KinId| before.iter().filter(|holder| *holder == kin).count();
    let mut ranked: Vec<(usize, &KinId)> = roster.iter().enumerate().collect();
    ranked.sort_by_key(|&(position, kin)| (Reverse(held(kin)), position));
    let (part, odd) = (slots / roster.len(), slots % roster.len());
    // How many more each member may take, at its place of the roster.
    let mut room = vec![part; roster.len()];
    for (position, _) in ranked.into_iter().take(odd) {
        if let Some(room) = room.get_mut(position) {
            *room += 1;
        }
    }
    let mut take = |position: usize| match room.get_mut(position) {
        Some(room) if *room > 0 => {
            *room -= 1;
            roster.get(position).copied()
        }
        _ => None,
    };
    let mut holders: Vec<Option<KinId>> = before
        .iter()
        .map(|holder| take(roster.iter().position(|kin| kin == holder)?))
        .collect();
    for (slot, holder) in holders.iter_mut().enumerate() {
        *holder = holder.or_else(|| take(slot));
    }
    for holder in &mut holders {
        *holder = holder.or_else(|| (0..roster.len()).find_map(&mut take));
    }
    // Parts add up to the slots, so each found a holder.
    let holders: Vec<KinId> = holders.into_iter().flatten().collect();
    match holders.len() {
        found if found == slots => Ok(Slots {
            holders,
            shape,
            kin: roster.len(),
        }),
        found => Err(SlotError::Holders { found, slots }),
    }
}

fn check_roster(roster: &[KinId]) -> Result<(), SlotError> {
    let found = roster.len();
    if !(KIN_MIN..=KIN_MAX).contains(&found) {
        return Err(SlotError::Roster { found });
    }
    let mut seen = BTreeSet::new();
    match roster.iter().find(|kin| !seen.insert(**kin)) {
        Some(kin) => Err(SlotError::Duplicate { kin: *kin }),
        None => Ok(()),
    }
}

impl Slots {
    /// The slots as the roster of the sealing epoch holds them: each its own.
    ///
    /// # Errors
    /// Every [`SlotError`].
    pub fn sealed(roster: &[KinId], shape: Threshold) -> Result<Self, SlotError> {
        assign_slots(roster, roster, shape)
    }

    /// The slots after the next change.
    ///
    /// # Errors
    /// [`SlotError::Roster`] or [`SlotError::Duplicate`].
    pub fn handed_on(&self, roster: &[KinId]) -> Result<Self, SlotError> {
        assign_slots(&self.holders, roster, self.shape)
    }

    /// How the records were cut.
    #[must_use]
    pub fn shape(&self) -> Threshold {
        self.shape
    }

    /// The holder of each slot, in the order of the indices.
    #[must_use]
    pub fn holders(&self) -> &[KinId] {
        &self.holders
    }

    /// The holder of one slot; none if the shape does not have it.
    #[must_use]
    pub fn holder(&self, slot: ShareIndex) -> Option<KinId> {
        self.holders.get(slot.position()).copied()
    }

    /// The slots that one kin holds, in order.
    pub fn of(&self, kin: KinId) -> impl Iterator<Item = ShareIndex> {
        let holders = self.holders.iter().enumerate();
        let own = holders.filter(move |(_, holder)| **holder == kin);
        own.filter_map(|(position, _)| ShareIndex::from_position(position))
    }

    /// How many holders may be lost, whoever they are, so that any `k` slots are left.
    #[must_use]
    pub fn survives(&self) -> usize {
        let distinct: BTreeSet<KinId> = self.holders.iter().copied().collect();
        let mut counts: Vec<usize> = distinct.iter().map(|kin| self.of(*kin).count()).collect();
        counts.sort_unstable_by_key(|count| Reverse(*count));
        let mut spare = self.shape.kin() - self.shape.needed();
        counts
            .into_iter()
            .take_while(|count| {
                let left = spare.checked_sub(*count);
                spare = left.unwrap_or(0);
                left.is_some()
            })
            .count()
    }

    /// Whether the loss of any `n - k` holders is still survived, and if not, what is.
    #[must_use]
    pub fn endurance(&self) -> Endurance {
        let survives = self.survives();
        if survives >= self.shape.kin() - self.shape.needed() {
            Endurance::AsSealed
        } else if survives >= self.kin - majority(self.kin) {
            Endurance::AsRoster
        } else {
            Endurance::Weakened
        }
    }
}
