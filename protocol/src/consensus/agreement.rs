//! The seam between an agreement core and the shell around it: what a validator's shell needs of whatever decides
//! on one block per height.
//!
//! Credit-BFT ([`Consensus`]) is the only core that ships. Another one can stand
//! in for it, with the same messages, records, disk and network around it, so
//! that two protocols can be measured side by side and nothing else differs.

use crate::consensus::config::Config;
use crate::consensus::core::Consensus;
use crate::consensus::io::{Input, Output};
use crate::consensus::vote::Certificate;
use crate::consensus::wal::Wal;
use crate::credit::Standings;
use crate::ids::ValidatorId;
use crate::ledger::Ledger;
use crate::units::{Height, Millis, View};
use std::fmt;
use std::sync::Arc;

/// A pure core that agrees on one block per height. The contract of every method is that of [`Consensus`].
pub trait Agreement: Send {
    /// See [`Consensus::step`].
    #[must_use]
    fn step(&mut self, now: Millis, input: Input) -> Vec<Output>;
    /// See [`Consensus::ledger`].
    fn ledger(&self) -> &Ledger;
    /// See [`Consensus::height`].
    fn height(&self) -> Height;
    /// See [`Consensus::view`].
    fn view(&self) -> View;
    /// See [`Consensus::leader`].
    fn leader(&self) -> Option<ValidatorId>;
    /// See [`Consensus::head_certificate`].
    fn head_certificate(&self) -> Option<Certificate>;
    /// See [`Consensus::is_halted`].
    fn is_halted(&self) -> bool;
    /// Who proposes first at the height after `standings`, which a block of the present height leads to: it may prepare.
    fn next_master(&self, standings: &Standings) -> Option<ValidatorId> {
        standings.leader_order().first().copied()
    }
}

impl Agreement for Consensus {
    fn step(&mut self, now: Millis, input: Input) -> Vec<Output> {
        Self::step(self, now, input)
    }

    fn ledger(&self) -> &Ledger {
        Self::ledger(self)
    }

    fn height(&self) -> Height {
        Self::height(self)
    }

    fn view(&self) -> View {
        Self::view(self)
    }

    fn leader(&self) -> Option<ValidatorId> {
        Self::leader(self)
    }

    fn head_certificate(&self) -> Option<Certificate> {
        Self::head_certificate(self)
    }

    fn is_halted(&self) -> bool {
        Self::is_halted(self)
    }
}

/// A core that has just started, and what it orders first.
pub type Started = (Box<dyn Agreement>, Vec<Output>);

/// Starts a core: the arguments of [`Consensus::start`].
type Start = dyn Fn(Config, Ledger, Wal, Millis) -> Started + Send + Sync;

/// Which core a validator runs; credit-BFT unless said otherwise.
#[derive(Clone)]
pub struct Algorithm {
    name: &'static str,
    start: Arc<Start>,
}

impl Algorithm {
    /// The core that `start` starts, with a name for people.
    #[must_use]
    pub fn new(
        name: &'static str,
        start: impl Fn(Config, Ledger, Wal, Millis) -> Started + Send + Sync + 'static,
    ) -> Self {
        let start = Arc::new(start);
        Self { name, start }
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Starts a core after the ledger's head; see [`Consensus::start`].
    #[must_use]
    pub fn start(&self, config: Config, ledger: Ledger, wal: Wal, now: Millis) -> Started {
        (self.start)(config, ledger, wal, now)
    }
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::new("credit-bft", |config, ledger, wal, now| {
            let (core, outputs) = Consensus::start(config, ledger, wal, now);
            (Box::new(core), outputs)
        })
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Algorithm").field(&self.name).finish()
    }
}
