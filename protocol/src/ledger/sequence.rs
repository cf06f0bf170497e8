//! Which sequence numbers of a signer are used: each counts once, in any order within a window.

use crate::units::Sequence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far ahead of the lowest unused number a signer may go.
pub const SEQUENCE_WINDOW: u64 = 256;

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

/// The used numbers of one signer: all below `lowest`, and those in `used`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceWindow {
    lowest: Sequence,
    used: BTreeSet<Sequence>,
}

impl SequenceWindow {
    /// The lowest unused number.
    #[must_use]
    pub fn lowest(&self) -> Sequence {
        self.lowest
    }

    /// Checks whether `sequence` can be used.
    ///
    /// # Errors
    /// Both [`SequenceError`]s.
    pub fn check(&self, sequence: Sequence) -> Result<(), SequenceError> {
        if sequence < self.lowest || self.used.contains(&sequence) {
            return Err(SequenceError::Used { sequence });
        }
        if sequence.minus(self.lowest.0).0 >= SEQUENCE_WINDOW {
            let lowest = self.lowest;
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
        self.used.insert(sequence);
        while self.used.remove(&self.lowest) {
            self.lowest = self.lowest.plus(1);
        }
        Ok(())
    }

    /// The lowest number that is unused here and not in `pending`.
    #[must_use]
    pub fn next_free(&self, pending: &BTreeSet<Sequence>) -> Sequence {
        let mut next = self.lowest;
        while self.used.contains(&next) || pending.contains(&next) {
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
}
