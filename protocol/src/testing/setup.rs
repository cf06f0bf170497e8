//! What a cluster is made of, and what its network does.

use crate::consensus::Timing;
use crate::ledger::Profile;
use crate::testing::byzantine::Behaviour;
use std::collections::BTreeMap;

/// What the network does to messages.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Shortest delay, in milliseconds.
    pub delay_min_ms: u64,
    /// Longest delay; different delays reorder.
    pub delay_max_ms: u64,
    /// How many of a hundred messages are lost.
    pub loss_percent: u64,
    /// How many of a hundred messages arrive twice.
    pub duplicate_percent: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay_min_ms: 1,
            delay_max_ms: 10,
            loss_percent: 0,
            duplicate_percent: 0,
        }
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Number of validators.
    pub n: u16,
    /// How masters are ordered.
    pub profile: Profile,
    /// Draws delays, losses and duplicates.
    pub seed: u64,
    /// What the network does.
    pub network: Network,
    /// Timing policy of every node.
    pub timing: Timing,
    /// Validators that do not follow the rules.
    pub byzantine: BTreeMap<u16, Behaviour>,
    /// Whether messages and records are encoded and decoded on their way.
    pub through_wire: bool,
}

impl Setup {
    /// `n` honest validators, the default profile, a good network.
    #[must_use]
    pub fn new(n: u16, seed: u64) -> Self {
        Self {
            n,
            profile: Profile::Balanced,
            seed,
            network: Network::default(),
            timing: Timing::default(),
            byzantine: BTreeMap::new(),
            through_wire: false,
        }
    }
}
