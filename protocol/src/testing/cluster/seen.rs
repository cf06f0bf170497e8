//! [`Cluster`] continued: what can be seen of it.

use super::Cluster;
use crate::consensus::Consensus;
use crate::ids::ChainId;
use crate::testing::disk::Disk;
use crate::testing::fixture::GENESIS_MS;

impl Cluster {
    /// The ledger's identifier.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// How many places there are: validators, and the second instances of twins.
    #[must_use]
    pub fn places(&self) -> u16 {
        u16::try_from(self.nodes.len()).unwrap()
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.now_ms - GENESIS_MS - 1
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Height of a node's durable chain.
    #[must_use]
    pub fn height(&self, node: u16) -> u64 {
        self.nodes[usize::from(node)].height()
    }

    /// A node's core; none while crashed.
    #[must_use]
    pub fn core(&self, node: u16) -> Option<&Consensus> {
        self.nodes[usize::from(node)].core.as_ref()
    }

    /// A node's disk.
    #[must_use]
    pub fn disk(&self, node: u16) -> &Disk {
        &self.nodes[usize::from(node)].disk
    }

    /// Outputs that a node has executed.
    #[must_use]
    pub fn executed(&self, node: u16) -> u64 {
        self.nodes[usize::from(node)].executed
    }

    /// Honest nodes, also crashed ones.
    #[must_use]
    pub fn honest(&self) -> Vec<u16> {
        (0..self.people())
            .filter(|&node| {
                let node = &self.nodes[usize::from(node)];
                node.is_honest() && node.joined
            })
            .collect()
    }

    /// Whether every honest node has finalized `height`.
    #[must_use]
    pub fn all_at(&self, height: u64) -> bool {
        self.nodes
            .iter()
            .filter(|node| node.is_honest() && node.joined)
            .all(|node| node.height() >= height)
    }

    /// Digest over everything that happened.
    #[must_use]
    pub fn log(&self) -> [u8; 16] {
        self.log.digest()
    }

    /// The sequence diagram, if one was asked for.
    #[must_use]
    pub fn diagram(&self) -> String {
        self.trace.text(self.nodes.len())
    }

    /// Heights and views of all nodes, for reports.
    pub(in crate::testing) fn standing(&self) -> String {
        let heights: Vec<_> = (0..self.places()).map(|node| self.height(node)).collect();
        let views: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                node.core
                    .as_ref()
                    .map(|core| (core.height().0, core.view().0))
            })
            .collect();
        format!("chains {heights:?}, at height and view {views:?}")
    }

    /// How many transactions were submitted so far: no more heights than that have work. Amendments may come to nothing.
    pub(in crate::testing) fn height_of_work(&self) -> u64 {
        self.sequence - self.amendments
    }

    /// The highest view of an honest node that works on `height`.
    pub(in crate::testing) fn highest_view(&self, height: u64) -> u64 {
        let honest = self.nodes.iter().filter(|node| node.is_honest());
        honest
            .filter_map(|node| node.core.as_ref())
            .filter(|core| core.height().0 == height)
            .map(|core| core.view().0)
            .max()
            .unwrap_or(1)
    }
}
