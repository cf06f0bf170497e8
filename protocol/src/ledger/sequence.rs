//! Which sequence numbers of a signer are used: each counts once, in any order within a window.

use crate::units::Sequence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far ahead of the lowest unused number a signer may go: a quarter of a second of a hospital that sends 15,000
/// transactions a second, or four seconds of each of sixteen that share them. What is kept of it is a bit per number.
pub const SEQUENCE_WINDOW: u64 = 4_096;

/// Numbers in one word of the bit map.
const WORD: u64 = u64::BITS as u64;

/// A sequence number that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// Used already: the transaction, or another with its number, was executed before.
    #[error("sequence {sequence} is used already")]
    Used {
        /// The number.
        sequence: Sequence,
    },
    /// Too far ahead.
    #[error(
        "sequence {sequence} is more than {SEQUENCE_WINDOW} ahead of {lowest}, the lowest unused"
    )]
    TooFar {
        /// The number.
        sequence: Sequence,
        /// The lowest unused one.
        lowest: Sequence,
    },
}

/// The used numbers of one signer.
///
/// Every state has one form: numbers are kept from the word that holds the lowest unused one, to the last used one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u64, Vec<u64>)", into = "(u64, Vec<u64>)")]
pub struct SequenceWindow {
    /// Number of the first bit, a multiple of [`WORD`]; all below are used.
    base: u64,
    /// A bit for each used number, the lowest first. The first word is not full, the last not empty.
    used: Vec<u64>,
}

/// Bits that no window has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no sequence window has this form")]
pub struct BadSequenceWindow;

impl TryFrom<(u64, Vec<u64>)> for SequenceWindow {
    type Error = BadSequenceWindow;

    fn try_from((base, used): (u64, Vec<u64>)) -> Result<Self, BadSequenceWindow> {
        let fits = used.len() as u64 <= SEQUENCE_WINDOW / WORD + 1
            && base.is_multiple_of(WORD)
            && used.first() != Some(&u64::MAX)
            && used.last() != Some(&0);
        fits.then_some(Self { base, used }).ok_or(BadSequenceWindow)
    }
}

impl From<SequenceWindow> for (u64, Vec<u64>) {
    fn from(window: SequenceWindow) -> Self {
        (window.base, window.used)
    }
}

impl SequenceWindow {
    /// The lowest unused number.
    #[must_use]
    pub fn lowest(&self) -> Sequence {
        let ahead = self.used.first().map_or(0, |word| word.trailing_ones());
        Sequence(self.base).plus(u64::from(ahead))
    }

    /// Word and bit of a number that is not below the base.
    fn place(&self, sequence: Sequence) -> (usize, u64) {
        let offset = sequence.0.saturating_sub(self.base);
        let word = usize::try_from(offset / WORD).unwrap_or(usize::MAX);
        (word, 1 << (offset % WORD))
    }

    fn is_used(&self, sequence: Sequence) -> bool {
        let (word, bit) = self.place(sequence);
        sequence.0 < self.base || self.used.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Checks whether `sequence` can be used.
    ///
    /// # Errors
    /// Both [`SequenceError`]s.
    pub fn check(&self, sequence: Sequence) -> Result<(), SequenceError> {
        // The very last number would leave no lowest unused one.
        if self.is_used(sequence) || sequence.0 == u64::MAX {
            return Err(SequenceError::Used { sequence });
        }
        let lowest = self.lowest();
        if sequence.minus(lowest.0).0 >= SEQUENCE_WINDOW {
            return Err(SequenceError::TooFar { sequence, lowest });
        }
        Ok(())
    }

    /// Marks `sequence` as used.
    ///
    /// # Errors
    /// Both [`SequenceError`]s; nothing changes.
    pub fn take(&mut self, sequence: Sequence) -> Result<(), SequenceError> {
        self.check(sequence)?;
        let (word, bit) = self.place(sequence);
        if self.used.len() <= word {
            self.used.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = self.used.get_mut(word) {
            *word |= bit;
        }
        let full = self
            .used
            .iter()
            .take_while(|word| **word == u64::MAX)
            .count();
        self.used.drain(..full);
        self.base = self.base.saturating_add(WORD.saturating_mul(full as u64));
        Ok(())
    }

    /// The lowest number that is unused here and not in `pending`.
    #[must_use]
    pub fn next_free(&self, pending: &BTreeSet<Sequence>) -> Sequence {
        let mut next = self.lowest();
        while self.is_used(next) || pending.contains(&next) {
            next = next.plus(1);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_once_in_any_order_within_the_window() {
        let mut window = SequenceWindow::default();
        for n in [2, 0, 1, 5] {
            assert_eq!(window.take(Sequence(n)), Ok(()));
        }
        assert_eq!(window.lowest(), Sequence(3));
        for n in [0, 1, 2, 5] {
            let sequence = Sequence(n);
            assert_eq!(window.take(sequence), Err(SequenceError::Used { sequence }));
        }
        assert!(window.take(Sequence(3 + SEQUENCE_WINDOW)).is_err());
        assert!(window.take(Sequence(2 + SEQUENCE_WINDOW)).is_ok());
        assert_eq!(
            window.next_free(&BTreeSet::from([Sequence(3)])),
            Sequence(4)
        );
    }

    /// Against a set of all used numbers; and every state is read back as it was written.
    #[test]
    fn agrees_with_a_plain_set() {
        use crate::wire;
        use proptest::prelude::*;
        // Mostly in order, sometimes ahead or behind, up to beyond the window.
        let steps = prop::collection::vec((0u8..8, 0u64..2 * SEQUENCE_WINDOW), 0..400);
        proptest!(|(steps in steps)| {
            let mut window = SequenceWindow::default();
            let mut used = BTreeSet::new();
            for (kind, distance) in steps {
                let lowest = (0..).find(|n| !used.contains(n)).expect("some");
                let n = match kind {
                    0 => distance,
                    1 => lowest + distance,
                    2 => lowest + distance % 70,
                    _ => lowest,
                };
                let expected = if used.contains(&n) {
                    Err(SequenceError::Used { sequence: Sequence(n) })
                } else if n - lowest >= SEQUENCE_WINDOW {
                    Err(SequenceError::TooFar { sequence: Sequence(n), lowest: Sequence(lowest) })
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(Sequence(n)), expected);
                prop_assert_eq!(window.take(Sequence(n)), expected);
                if expected.is_ok() {
                    used.insert(n);
                }
                let frame = wire::encode(&window);
                prop_assert_eq!(wire::decode(&frame), Ok(window.clone()));
            }
            let lowest = (0..).find(|n| !used.contains(n)).expect("some");
            prop_assert_eq!(window.lowest(), Sequence(lowest));
        });
    }

    #[test]
    fn other_forms_of_a_window_are_not_read() {
        use crate::wire;
        let words = usize::try_from(SEQUENCE_WINDOW / WORD).expect("small");
        for (base, used) in [
            (1, vec![]),
            (0, vec![u64::MAX, 1]),
            (0, vec![1, 0]),
            (0, vec![1; words + 2]),
        ] {
            let frame = wire::encode(&(base, used));
            assert!(wire::decode::<SequenceWindow>(&frame).is_err());
        }
    }

    #[test]
    fn the_end_of_all_numbers_is_reached_safely() {
        let base = u64::MAX - (WORD - 1);
        let mut window = SequenceWindow { base, used: vec![] };
        for n in base..u64::MAX {
            assert_eq!(window.take(Sequence(n)), Ok(()));
        }
        assert!(window.take(Sequence(u64::MAX)).is_err());
        assert_eq!(window.lowest(), Sequence(u64::MAX));
    }
}
