//! What a node grants to strangers, clients and peers: the bounds that an operator may set.
//!
//! All other bounds are constants where they are kept. What they come to in bytes stands in `docs/architecture.md`, "What
//! a flood can cost".

use serde::Deserialize;

/// The bounds that an operator may set; the keys of `[limits]` in a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most clients at a time.
    pub clients_max: u32,
    /// Most clients at a time from one address.
    pub clients_per_address_max: u32,
    /// After how many seconds a client is hung up on that asks nothing, follows nothing and waits for nothing.
    pub client_idle_s_max: u64,
    /// Most inbound connections of the peers' port that have not proved who they are.
    pub handshakes_max: u32,
    /// As many of these from one address.
    pub handshakes_per_address_max: u32,
    /// Most votes and other small messages that are read from one peer in a second. A peer that sends more is read more
    /// slowly.
    pub peer_votes_per_s_max: u32,
    /// Most bytes of blocks that are read from one peer in a second; as many of transactions, and of answers to a node that
    /// catches up.
    pub peer_bytes_per_s_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients_max: 64,
            clients_per_address_max: 32,
            client_idle_s_max: 300,
            handshakes_max: 64,
            handshakes_per_address_max: 32,
            // Ten times of what validators say at a hundred blocks a second.
            peer_votes_per_s_max: 4_000,
            // Twice the 60,000 transactions of 512 bytes a second that a ledger is built for.
            peer_bytes_per_s_max: 64 * 1024 * 1024,
        }
    }
}

/// A bound with which a node could not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Nothing would get in.
    #[error("{key} must be at least {least}")]
    TooSmall {
        /// Which one.
        key: &'static str,
        /// The smallest that works.
        least: u64,
    },
}

impl Limits {
    /// Checks that a node can work with these bounds.
    ///
    /// # Errors
    /// [`LimitsError`] for the first that is too small.
    pub fn check(&self) -> Result<(), LimitsError> {
        let all = [
            ("clients_max", u64::from(self.clients_max), 1),
            (
                "clients_per_address_max",
                u64::from(self.clients_per_address_max),
                1,
            ),
            ("client_idle_s_max", self.client_idle_s_max, 1),
            ("handshakes_max", u64::from(self.handshakes_max), 1),
            (
                "handshakes_per_address_max",
                u64::from(self.handshakes_per_address_max),
                1,
            ),
            // A height takes a few messages of each peer.
            (
                "peer_votes_per_s_max",
                u64::from(self.peer_votes_per_s_max),
                100,
            ),
            // A block of the largest size in four seconds.
            (
                "peer_bytes_per_s_max",
                u64::from(self.peer_bytes_per_s_max),
                1024 * 1024,
            ),
        ];
        let small = all.into_iter().find(|(_, value, least)| value < least);
        small.map_or(Ok(()), |(key, _, least)| {
            Err(LimitsError::TooSmall { key, least })
        })
    }
}
