//! Who this node is, and its local policy. What all nodes must agree on is in the genesis, not here.

use crate::credit::ValidatorSet;
use crate::crypto::SigningKey;
use crate::crypto::vrf::VrfSecretKey;
use crate::ids::ValidatorId;
use crate::units::{Height, Millis, View};
use std::sync::Arc;

/// A validator's number and keys.
#[derive(Debug)]
pub struct Identity {
    /// Its number.
    pub id: ValidatorId,
    /// Signs votes and proposals; never equal to the VRF key.
    pub vote_key: SigningKey,
    /// Makes the beacon.
    pub vrf_key: VrfSecretKey,
}

impl Identity {
    /// Whether a set of validators holds this number with exactly these keys.
    #[must_use]
    pub fn is_in(&self, set: &ValidatorSet) -> bool {
        set.get(self.id).is_some_and(|info| {
            info.vote_key == self.vote_key.verifying_key()
                && info.vrf_key == self.vrf_key.public_key()
        })
    }
}

/// Local timing policy: nodes need not agree on it, but progress is best when they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Timeout of the first view; 300 in a local network, 1,500 over a wide one.
    pub base_ms: u64,
    /// Longest timeout.
    pub max_ms: u64,
    /// An idle master writes an empty block so long after the last block.
    pub heartbeat_ms: u64,
    /// Those who are not the master wait so much longer for the heartbeat; covers clocks apart.
    pub heartbeat_grace_ms: u64,
    /// Votes of f or fewer validators rouse an idle node only so long after the last block.
    pub rouse_ms: u64,
    /// See [`Self::silent_after`].
    pub silent_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            base_ms: 300,
            max_ms: 60_000,
            heartbeat_ms: 10_000,
            heartbeat_grace_ms: 2_000,
            rouse_ms: 1_000,
            silent_ms: 10_000,
        }
    }
}

impl Timing {
    /// For validators far apart.
    #[must_use]
    pub fn wide() -> Self {
        Self {
            base_ms: 1_500,
            ..Self::default()
        }
    }

    /// `timeout(v) = min(T_MAX, T_BASE << min(v-1, 6))` (spec section 1).
    #[must_use]
    pub fn timeout(&self, view: View) -> Millis {
        let doublings = view.0.saturating_sub(1).min(6);
        Millis(
            self.base_ms
                .saturating_mul(1 << doublings)
                .min(self.max_ms)
                .max(1),
        )
    }

    /// A master that let two whole heights pass without a word, and said none while this node waited in views for so long
    /// (idle time does not count), is not waited for.
    /// Shorter than the timeout, or nothing is gained; longer than a healthy node pauses, at however many heights a
    /// second.
    #[must_use]
    pub fn pause(&self) -> Millis {
        Millis((self.base_ms / 3).max(1))
    }

    /// A master is not waited for when a quorum was still heard so long after its last word, at whatever height. More
    /// than two heartbeats, because on an idle ledger words come that seldom.
    #[must_use]
    pub fn silent_after(&self) -> Millis {
        let heartbeat = self.heartbeat_ms.saturating_add(self.heartbeat_grace_ms);
        Millis(self.silent_ms.max(heartbeat.saturating_mul(2)))
    }

    /// D_REP: how long a master waits for the finalization before it re-proposes a notarized block.
    #[must_use]
    pub fn repropose_after(&self) -> Millis {
        Millis((self.base_ms / 2).max(1))
    }

    /// REBCAST: how often a node that is stuck repeats itself.
    #[must_use]
    pub fn rebroadcast_every(&self) -> Millis {
        Millis(self.base_ms.max(1))
    }
}

/// What a node is started with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Number and keys; none for a node that only follows.
    pub me: Option<Arc<Identity>>,
    /// The same validator's keys after a governance vote that changes them: the node goes on with them at the height
    /// from which they count, without a restart.
    pub successor: Option<Arc<Identity>>,
    /// Local timing policy.
    pub timing: Timing,
    /// No votes and no proposals below this height: the quarantine after a lost write-ahead log (spec section 5).
    pub vote_from: Height,
    /// Whether the node asks the others for its own votes when it starts, and does not vote before a quorum has
    /// been heard. Every node with a disk of its own should.
    pub recall: bool,
    /// Whether the node is to be in quarantine whatever the others say: its log is lost. Needs `recall`.
    pub quarantine: bool,
    /// Tells this start from every earlier one of this node, so that answers to an earlier question count no more. At
    /// random: a clock may be set back, and a disk with a counter too.
    pub start: u64,
    /// A bug that is planted in this node; for tests.
    #[cfg(any(test, feature = "testing"))]
    pub mutant: Option<crate::consensus::Mutant>,
}

impl Config {
    /// A validator that may vote from the first height on.
    #[must_use]
    pub fn new(me: Arc<Identity>, timing: Timing) -> Self {
        Self {
            me: Some(me),
            successor: None,
            timing,
            vote_from: Height(0),
            recall: false,
            quarantine: false,
            start: 0,
            #[cfg(any(test, feature = "testing"))]
            mutant: None,
        }
    }
}
