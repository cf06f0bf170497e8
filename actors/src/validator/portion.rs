//! How much of what waits a validator puts into its next block.
//!
//! A master that proposes all it has proposes what the others have not judged yet. They ask for it, judge it out of turn, vote late,
//! the view runs out, more waits, and the next block is no smaller: a cluster under load does not find back by
//! itself. So a validator whose proposal more than `f` others lacked a good part of halves its blocks; one block of its own without
//! that, and the next may be a quarter larger. What is left is older next time, and the others have it.

use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::BLOCK_BYTES_MAX;
use std::collections::BTreeSet;

/// A block is never cut below this, in bytes; it has room for the largest transaction.
pub(super) const PORTION_BYTES_MIN: usize = 128 * 1024;
/// Who lacks less than one of so many transactions of a block lacks next to nothing.
const GOOD_PART: usize = 16;

/// Bytes of transactions in the next own block, at most.
#[derive(Debug)]
pub(super) struct Portion {
    bytes: usize,
    /// The own block that was asked about last, and who lacked a good part of it.
    asked: Option<(BlockId, BTreeSet<ValidatorId>)>,
}

impl Default for Portion {
    fn default() -> Self {
        Self {
            bytes: BLOCK_BYTES_MAX,
            asked: None,
        }
    }
}

impl Portion {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// `peer` lacks `lacking` of the `count` transactions in the own block `id`, which has `bytes`.
    pub(super) fn on_question(
        &mut self,
        (id, bytes, count): (BlockId, usize, usize),
        peer: ValidatorId,
        lacking: usize,
        f: usize,
    ) {
        if lacking.saturating_mul(GOOD_PART) < count {
            return;
        }
        let peers = match &mut self.asked {
            Some((asked, peers)) if *asked == id => peers,
            other => {
                let (_, peers) = other.insert((id, BTreeSet::new()));
                peers
            }
        };
        // Once per block: when the one comes that makes an honest one certain.
        if peers.insert(peer) && peers.len() == f.saturating_add(1) {
            self.bytes = self.bytes.min(bytes / 2).max(PORTION_BYTES_MIN);
        }
    }

    /// The own block `id` is final.
    pub(super) fn on_final(&mut self, id: BlockId, f: usize) {
        let lacked = self
            .asked
            .as_ref()
            .is_some_and(|(asked, peers)| *asked == id && peers.len() > f);
        if !lacked {
            self.bytes = (self.bytes + self.bytes / 4).min(BLOCK_BYTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::Digest;

    fn block(n: u8) -> BlockId {
        BlockId::from(Digest([n; 32]))
    }

    const F: usize = 1;

    fn ask(portion: &mut Portion, n: u8, peer: u16, lacking: usize) {
        let about = (block(n), 4 * 1024 * 1024, 1_600);
        portion.on_question(about, ValidatorId(peer), lacking, F);
    }

    #[test]
    fn blocks_that_others_lack_make_the_next_one_smaller() {
        let mut portion = Portion::default();
        assert_eq!(portion.bytes(), BLOCK_BYTES_MAX);
        ask(&mut portion, 1, 1, 100);
        // One may lie, and one may be the only one that is late.
        ask(&mut portion, 1, 1, 100);
        assert_eq!(portion.bytes(), BLOCK_BYTES_MAX);
        ask(&mut portion, 1, 2, 99);
        assert_eq!(portion.bytes(), BLOCK_BYTES_MAX, "next to nothing");
        ask(&mut portion, 1, 2, 100);
        assert_eq!(portion.bytes(), 2 * 1024 * 1024);
        // Once per block.
        ask(&mut portion, 1, 3, 1_600);
        assert_eq!(portion.bytes(), 2 * 1024 * 1024);
    }

    #[test]
    fn blocks_that_nobody_lacks_let_it_grow_to_the_full_size() {
        let mut portion = Portion::default();
        for n in 0..10 {
            let bytes = portion.bytes();
            for peer in 1..=2 {
                portion.on_question((block(n), bytes, 160), ValidatorId(peer), 160, F);
            }
            portion.on_final(block(n), F);
        }
        assert_eq!(portion.bytes(), PORTION_BYTES_MIN);
        portion.on_final(block(50), F);
        assert_eq!(portion.bytes(), PORTION_BYTES_MIN / 4 * 5);
        for n in 51..80 {
            portion.on_final(block(n), F);
        }
        assert_eq!(portion.bytes(), BLOCK_BYTES_MAX);
    }
}
