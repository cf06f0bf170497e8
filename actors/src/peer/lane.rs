//! The streams between two validators, one per kind of traffic, and their limits.

/// One stream in each direction. What is in a lane is delivered in order; lanes overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Votes, views, questions, evidence: small, and what everybody waits for.
    Votes,
    /// Blocks that are voted on.
    Blocks,
    /// Transactions on their way into blocks.
    Transactions,
    /// Finalized blocks for those who catch up.
    Sync,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 4] = [Self::Votes, Self::Blocks, Self::Transactions, Self::Sync];

    /// The lane's place in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Votes => 0,
            Self::Blocks => 1,
            Self::Transactions => 2,
            Self::Sync => 3,
        }
    }

    /// What two nodes agree on when the stream is opened.
    pub(super) fn protocol(self) -> &'static str {
        match self {
            Self::Votes => "/kithkin/votes/1",
            Self::Blocks => "/kithkin/blocks/1",
            Self::Transactions => "/kithkin/transactions/1",
            Self::Sync => "/kithkin/sync/1",
        }
    }

    /// Largest frame in bytes.
    pub(super) fn frame_bytes_max(self) -> usize {
        match self {
            // A page of nullifications of a large set, or evidence.
            Self::Votes => 1024 * 1024,
            Self::Blocks | Self::Sync => kithkin_protocol::wire::FRAME_BYTES_MAX,
            Self::Transactions => 2 * 1024 * 1024,
        }
    }

    /// Most bytes that wait for one peer. A frame for several peers is in memory once.
    pub(super) fn queue_bytes_max(self) -> usize {
        match self {
            Self::Votes => 4 * 1024 * 1024,
            Self::Blocks => 2 * kithkin_protocol::wire::FRAME_BYTES_MAX,
            Self::Transactions => 16 * 1024 * 1024,
            Self::Sync => kithkin_protocol::wire::FRAME_BYTES_MAX,
        }
    }

    /// Most frames that wait for one peer.
    pub(super) fn queue_frames_max(self) -> usize {
        match self {
            Self::Votes | Self::Transactions => 4_096,
            Self::Blocks => 16,
            Self::Sync => 4,
        }
    }
}

impl core::fmt::Display for Lane {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Votes => "votes",
            Self::Blocks => "blocks",
            Self::Transactions => "transactions",
            Self::Sync => "sync",
        })
    }
}
