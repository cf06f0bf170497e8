//! A model check: every order of events of one height, up to a number of views, on the real core.
//!
//! [`check`] walks through all states that the validators of a [`Scenario`] can come to together and looks for
//! violations of the safety rules (specification, section 6) and for states in which nobody can go on. Nothing is
//! rewritten for the check: every step of every node is a step of [`Consensus`](crate::consensus::Consensus), with its
//! write-ahead log, and a crash is a restart from exactly the outputs that were executed before it.
//!
//! # How the space is kept small
//!
//! *Local steps are taken once.* A node's state is interned; what an event makes of it is computed once by the real core and
//! looked up ever after. A global state is a tuple of such numbers, because what was sent is a function of the local
//! states: the network never forgets a message, and a receiver may get it at any later time or never.
//!
//! *Steps that nobody sees are not ordered.* All of these commute with everything else, or change nothing:
//!
//! 1. Votes below a quorum cause nothing. So the votes of a certificate are delivered together, at the moment at which
//!    it is complete; all but the last one by one first, and each time it is checked that nothing happens.
//!    Which quorum of several it was does not matter to the rest of the height.
//! 2. A nullification matters in the view that it ends. Later it travels inside of proposals.
//! 3. A notarization of a view left behind matters if the finalize vote can still be signed, or if the node leads a
//!    later view, where it may become the base; proposals bring theirs along. A base matters to the master of its view.
//! 4. What a master does by itself (build, fetch the block of its base, re-propose after a while), a node does at once.
//! 5. A vote to notarize the only proposal of an honest master, and a late finalize vote, take nothing away from what
//!    the node may do later, and all rules are about what is sent: to do it at once loses no violation. To stop after a
//!    commit only takes steps away: finalizations are not delivered but looked at (two for different blocks are a fork),
//!    and one node is given each of them, to see that it commits that block.
//! 6. A second proposal of a view in which the node has voted, evidence and the repetition of messages change nothing
//!    that is agreed on in this height. A message for a later view does what the certificates in it, one by one, do.
//! 7. A justification with gaps waits at its receiver until the certificates are there: the same as a complete one then.
//! 8. Validators differ by the views they lead alone, so the faulty one is tried in the place of each master.
//!
//! Exhaustive is the check therefore up to these, within its bounds: one height, empty blocks, views up to
//! [`Scenario::views`] (who comes to the view after is parked there), clocks that agree to a millisecond.
//!
//! # Liveness
//!
//! No state may be a dead end: if all that was sent arrives and all timers fire, everybody leaves every view. And
//! from a sample of states (every last one, and some on the way) the cluster is let go on with a good network
//! and a silent adversary: all honest validators must commit the same block.

#![expect(
    clippy::disallowed_types,
    reason = "millions of states in hash tables that are asked, never walked through"
)]

mod bits;
mod heal;
mod local;
mod search;
mod world;

#[cfg(test)]
mod tests;

use crate::consensus::Mutant;
use std::collections::{BTreeMap, BTreeSet};

/// Who is faulty, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adversary {
    /// Two honest instances share the key of the master of this view; the second's clock is a millisecond ahead, so
    /// they build different blocks.
    Twin {
        /// View that the faulty validator leads.
        leads: u64,
    },
    /// The master of this view signs any vote at any time, and proposes either of two blocks, or the block
    /// of a base, to anyone under any justification that can be put together.
    Byzantine {
        /// View that the faulty validator leads.
        leads: u64,
    },
    /// Every validator may crash before every output, any number of times.
    Crashes,
}

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Number of validators.
    pub n: u16,
    /// How many views are explored.
    pub views: u64,
    /// Who is faulty.
    pub adversary: Adversary,
    /// A bug that is planted in every node.
    pub mutant: Option<Mutant>,
    /// The search ends when this rule is broken; without it, with the first broken rule.
    pub until: Option<Rule>,
    /// The search ends after so many states.
    pub states_max: usize,
    /// How many states are healed at most.
    pub heals_max: usize,
}

impl Scenario {
    /// Everything up to view `views`, without a planted bug.
    #[must_use]
    pub fn new(n: u16, views: u64, adversary: Adversary) -> Self {
        Self {
            n,
            views,
            adversary,
            mutant: None,
            until: None,
            states_max: usize::MAX,
            heals_max: 200,
        }
    }

    /// With a planted bug, until a fork is found.
    #[must_use]
    pub fn until_fork(self, mutant: Mutant) -> Self {
        Self {
            mutant: Some(mutant),
            until: Some(Rule::I1),
            heals_max: 0,
            ..self
        }
    }
}

/// The rules of the specification's section 6 that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// One block per height.
    I1,
    /// A finalized block is executed.
    I2,
    /// Nobody honest signs twice, across restarts.
    I3,
    /// No view is nullified and finalized.
    I4,
    /// One block is notarized per view.
    I5,
    /// What is finalized was notarized.
    I6,
    /// Every certificate verifies.
    I7,
    /// Nobody honest is accused.
    I9,
    /// Nobody is stuck.
    I20,
}

/// A broken rule, and how it came to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
    /// The events that led there, in order.
    pub trace: Vec<String>,
}

/// What a check has seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Global states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Different states of single nodes, over all nodes.
    pub local_states: usize,
    /// Steps that the real core took.
    pub core_steps: usize,
    /// States in which nothing is left to do within the bound.
    pub last_states: usize,
    /// States from which the cluster was let go on until everybody had committed.
    pub healed: usize,
    /// Views in which a finalization was reached.
    pub finalized_views: BTreeSet<u64>,
    /// Views in which a block of an earlier view was notarized again.
    pub re_proposed_views: BTreeSet<u64>,
    /// Views in which a block of an earlier view was finalized.
    pub re_proposed_finalized_views: BTreeSet<u64>,
    /// Whether every state within the bounds was visited.
    pub exhaustive: bool,
    /// The first violation of each rule.
    pub violations: BTreeMap<Rule, Violation>,
}

/// Checks a scenario. Single-threaded; signatures are simulated.
#[must_use]
pub fn check(scenario: Scenario) -> Report {
    let _scope = crate::crypto::Simulated::enter();
    search::Search::new(scenario).run()
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            states,
            steps,
            local_states,
            core_steps,
            last_states,
            healed,
            ..
        } = self;
        let extent = if self.exhaustive {
            "all states"
        } else {
            "not all states"
        };
        let list = |views: &BTreeSet<u64>| {
            let views: Vec<_> = views.iter().map(u64::to_string).collect();
            views.join(",")
        };
        write!(
            f,
            "{extent}: {states} states, {steps} steps, {local_states} states of single nodes, {core_steps} steps of the \
             core, {last_states} last states, {healed} healed; finalized in views {}; re-proposed in views {}, and \
             finalized there in views {}; violations: {:?}",
            list(&self.finalized_views),
            list(&self.re_proposed_views),
            list(&self.re_proposed_finalized_views),
            self.violations.keys().collect::<Vec<_>>(),
        )
    }
}
