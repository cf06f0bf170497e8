//! How many of how many: opening.md section 1.

use super::SharingError;
use crate::units::ShareIndex;
use serde::{Deserialize, Serialize};

/// Fewest kin of a patient.
pub const KIN_MIN: usize = 3;
/// Most kin of a patient, and so most shares of a key.
pub const KIN_MAX: usize = 64;

/// The smallest number that is more than half of `kin`.
#[must_use]
pub fn majority(kin: usize) -> usize {
    kin / 2 + 1
}

/// `needed` of `kin` shares open: `KIN_MIN..=KIN_MAX` kin, `majority(kin)..=kin` needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
pub struct Threshold {
    needed: u8,
    kin: u8,
}

impl Threshold {
    /// # Errors
    /// [`SharingError::Threshold`] for numbers outside the ranges above.
    pub fn new(needed: usize, kin: usize) -> Result<Self, SharingError> {
        let bad = SharingError::Threshold { needed, kin };
        if !(KIN_MIN..=KIN_MAX).contains(&kin) || !(majority(kin)..=kin).contains(&needed) {
            return Err(bad);
        }
        Ok(Self {
            needed: u8::try_from(needed).map_err(|_| bad)?,
            kin: u8::try_from(kin).map_err(|_| bad)?,
        })
    }

    /// The smallest threshold for `kin`.
    ///
    /// # Errors
    /// [`SharingError::Threshold`] outside `KIN_MIN..=KIN_MAX`.
    pub fn majority(kin: usize) -> Result<Self, SharingError> {
        Self::new(majority(kin), kin)
    }

    /// How many shares open.
    #[must_use]
    pub fn needed(self) -> usize {
        usize::from(self.needed)
    }

    /// How many shares there are.
    #[must_use]
    pub fn kin(self) -> usize {
        usize::from(self.kin)
    }

    /// Whether there is a share of this index.
    #[must_use]
    pub fn contains(self, index: ShareIndex) -> bool {
        index.get() <= self.kin
    }

    /// The indices of the shares, `1..=kin`, ascending.
    pub fn indices(self) -> impl Iterator<Item = ShareIndex> {
        (0..self.kin()).filter_map(ShareIndex::from_position)
    }
}

impl TryFrom<(u8, u8)> for Threshold {
    type Error = SharingError;
    fn try_from((needed, kin): (u8, u8)) -> Result<Self, SharingError> {
        Self::new(usize::from(needed), usize::from(kin))
    }
}

impl From<Threshold> for (u8, u8) {
    fn from(threshold: Threshold) -> Self {
        (threshold.needed, threshold.kin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_and_no_more_than_all() {
        for kin in 0..300 {
            for needed in 0..300 {
                let good = (3..=64).contains(&kin) && 2 * needed > kin && needed <= kin;
                assert_eq!(
                    Threshold::new(needed, kin).is_ok(),
                    good,
                    "{needed} of {kin}"
                );
            }
        }
        assert_eq!(Threshold::majority(5).expect("5").needed(), 3);
        assert_eq!(Threshold::majority(6).expect("6").needed(), 4);
        let frame = crate::wire::encode(&(2u8, 5u8));
        assert!(crate::wire::decode::<Threshold>(&frame).is_err());
    }
}
