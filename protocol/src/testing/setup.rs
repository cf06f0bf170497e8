//! What a cluster is made of, and what its network and disks do.

use crate::consensus::{Mutant, Timing};
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
    /// How many of a hundred messages are late by a spike.
    pub spike_percent: u64,
    /// How late these are, in milliseconds.
    pub spike_ms: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay_min_ms: 1,
            delay_max_ms: 10,
            loss_percent: 0,
            duplicate_percent: 0,
            spike_percent: 0,
            spike_ms: 0,
        }
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Number of validators.
    pub n: u16,
    /// How many more may be admitted later, under the next numbers.
    pub newcomers: u16,
    /// How masters are ordered.
    pub profile: Profile,
    /// Draws delays, losses and duplicates.
    pub seed: u64,
    /// What the network does.
    pub network: Network,
    /// Longest time that a sync takes, in milliseconds; 0 makes every write durable at once.
    pub sync_ms_max: u64,
    /// Timing policy of every node.
    pub timing: Timing,
    /// Validators that do not follow the rules.
    pub byzantine: BTreeMap<u16, Behaviour>,
    /// A bug that is planted in every node.
    pub mutant: Option<Mutant>,
    /// Whether messages and records are encoded and decoded on their way.
    pub through_wire: bool,
    /// Whether restarts execute the whole chain again, instead of taking the state that everybody agreed on.
    pub replay_chain: bool,
    /// Whether nodes ask for their own votes whenever they start, as nodes with disks of their own should.
    pub recall: bool,
    /// Whether to keep a readable account of everything.
    pub trace: bool,
}

impl Setup {
    /// `n` honest validators, the default profile, a good network, disks that sync at once.
    #[must_use]
    pub fn new(n: u16, seed: u64) -> Self {
        Self {
            n,
            newcomers: 0,
            profile: Profile::Balanced,
            seed,
            network: Network::default(),
            sync_ms_max: 0,
            timing: Timing::default(),
            byzantine: BTreeMap::new(),
            mutant: None,
            through_wire: false,
            replay_chain: false,
            recall: false,
            trace: false,
        }
    }
}
