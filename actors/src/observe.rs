//! Watching a cluster from inside the process: what validators tell whoever runs them.
//!
//! For tables, timelines and scenario checks. Nothing that an actor does depends on it.

use kithkin_protocol::consensus::ViewReason;
use kithkin_protocol::credit::{CreditChange, Part, StandingRow};
use kithkin_protocol::ids::{BlockId, ValidatorId};
use kithkin_protocol::ledger::{Block, Effects, Event, Ledger};
use kithkin_protocol::units::{Height, Millis, View};
use std::sync::Arc;

/// A validator's view of a block that it has just made durable.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The validator.
    pub validator: ValidatorId,
    /// The block's height.
    pub height: Height,
    /// The block.
    pub id: BlockId,
    /// The master that built it.
    pub author: ValidatorId,
    /// The view in which it was built.
    pub view: View,
    /// Block time.
    pub time_ms: Millis,
    /// How many transactions it holds.
    pub transactions: usize,
    /// The block itself; shared.
    pub block: Arc<Block>,
    /// Credit of every validator after it.
    pub rows: Vec<StandingRow>,
    /// What changed of it by this block, and why.
    pub credit: Vec<CreditChange>,
    /// Candidates for master of the next height.
    pub leader_set: Vec<ValidatorId>,
    /// Who is master of the first view of the next height; none without validators.
    pub next_master: Option<ValidatorId>,
}

impl Seen {
    pub(crate) fn new(
        validator: ValidatorId,
        ledger: &Ledger,
        block: &Arc<Block>,
        effects: &Effects,
    ) -> Self {
        let standings = ledger.standings();
        Self {
            validator,
            height: block.header.height,
            id: block.id(),
            author: block.header.author,
            view: block.header.view,
            time_ms: block.header.time_ms,
            transactions: block.transactions.len(),
            block: block.clone(),
            rows: standings.rows().collect(),
            credit: effects.credit.clone(),
            leader_set: standings.leader_set(),
            next_master: standings.leader_order().first().copied(),
        }
    }
}

/// Something that a validator saw.
#[derive(Clone, Debug)]
pub enum Sight {
    /// A block became durable at one validator.
    Block(Box<Seen>, Arc<Vec<Event>>),
    /// A validator entered a view.
    View {
        /// The validator.
        validator: ValidatorId,
        /// Height.
        height: Height,
        /// The view entered.
        view: View,
        /// Why.
        reason: ViewReason,
    },
    /// The part of a validator's keys in the ledger: when it starts, and when it changes.
    Part {
        /// The validator.
        validator: ValidatorId,
        /// From now on.
        part: Part,
    },
}

/// Takes sights in; called on the validators' threads, so it must be quick.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<dyn Fn(Sight) + Send + Sync>>);

impl Observer {
    /// Hands every sight to `see`.
    #[must_use]
    pub fn new(see: impl Fn(Sight) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(see)))
    }

    /// Watches nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Tells of something that another observer was told.
    pub(crate) fn pass_on(&self, sight: Sight) {
        if let Some(see) = &self.0 {
            see(sight);
        }
    }

    pub(crate) fn saw(&self, seen: Seen, events: Arc<Vec<Event>>) {
        if let Some(see) = &self.0 {
            see(Sight::Block(Box::new(seen), events));
        }
    }

    pub(crate) fn part(&self, validator: ValidatorId, part: Part) {
        if let Some(see) = &self.0 {
            see(Sight::Part { validator, part });
        }
    }

    pub(crate) fn view_changed(
        &self,
        validator: ValidatorId,
        height: Height,
        view: View,
        reason: ViewReason,
    ) {
        if let Some(see) = &self.0 {
            see(Sight::View {
                validator,
                height,
                view,
                reason,
            });
        }
    }
}
