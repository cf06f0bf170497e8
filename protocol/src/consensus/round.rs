//! What belongs to one height; a commit throws it away whole.

use crate::consensus::activity::Activity;
use crate::consensus::book::Book;
use crate::consensus::config::{Config, Identity};
use crate::consensus::inbox::Inbox;
use crate::consensus::proposals::{Pending, Seen};
use crate::consensus::tally::Tally;
use crate::consensus::views::Views;
use crate::consensus::vote::{Certificate, SignedProposalId};
use crate::consensus::wal::Wal;
use crate::credit::{Standings, ValidatorSet, leader};
use crate::crypto::vrf::VrfProof;
use crate::ids::{BlockId, ValidatorId};
use crate::ledger::{Block, Ledger};
use crate::units::{Height, Millis, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One height that is being agreed on.
#[derive(Clone)]
pub(super) struct Round {
    pub(super) height: Height,
    pub(super) set: ValidatorSet,
    pub(super) order: Vec<ValidatorId>,
    /// Our keys, when we vote on this height.
    pub(super) voter: Option<Arc<Identity>>,
    // Durable, as in the write-ahead log:
    pub(super) views: Views,
    pub(super) book: Book,
    /// Own proposals, with the base of their justification.
    pub(super) proposals: BTreeMap<View, (SignedProposalId, Option<View>)>,
    /// Blocks voted for, proposed or fetched: at most one per view, each by a master of that view. All are kept,
    /// because any of them may turn out to be notarized, and then somebody must still have it.
    pub(super) bodies: BTreeMap<BlockId, Arc<Block>>,
    // Volatile:
    pub(super) inbox: Inbox,
    pub(super) tally: Tally,
    pub(super) seen: Seen,
    pub(super) pending: Pending,
    pub(super) activity: Activity,
    /// Since when the timers of the current view run; none while they don't.
    pub(super) armed: Option<Millis>,
    /// Whether the master of the current view is given less time than is usual, because it is silent.
    pub(super) is_hurried: bool,
    /// Whether the master of the current view is to propose now.
    pub(super) propose_due: bool,
    /// The block that was ordered: its view and time.
    pub(super) building: Option<(View, Millis)>,
    /// Proves what this height's block is.
    pub(super) finalization: Option<Certificate>,
    /// A block body that is being fetched.
    pub(super) fetch: Option<Fetch>,
    /// Our contribution to the beacon, once it was needed.
    pub(super) beacon: Option<VrfProof>,
}

/// A block body that is asked for, peer after peer.
#[derive(Clone)]
pub(super) struct Fetch {
    pub(super) id: BlockId,
    /// Signers of a certificate for it, most of which must have it.
    pub(super) peers: Vec<ValidatorId>,
    /// How many requests were sent.
    pub(super) asked: usize,
}

impl Round {
    /// The height after the ledger's head, with what was durable of it.
    pub(super) fn new(config: &Config, ledger: &Ledger, wal: Wal) -> Self {
        let standings = ledger.standings();
        let height = ledger.height().plus(1);
        let set = standings.validators().clone();
        let order = standings.leader_order();
        let voter = voter(config, standings).filter(|_| height >= config.vote_from);
        let leads = voter
            .as_ref()
            .is_some_and(|me| order.first() == Some(&me.id));
        let mut round = Self {
            height,
            set,
            order,
            voter,
            views: Views::restore(wal.view, wal.notarizations, wal.nullifications),
            book: Book::restore(wal.votes),
            proposals: wal.proposals,
            bodies: wal.bodies,
            inbox: Inbox::default(),
            tally: Tally::new(height),
            seen: Seen::default(),
            pending: Pending::default(),
            activity: Activity::new(&config.timing, ledger.head_time(), leads),
            armed: None,
            is_hurried: false,
            propose_due: false,
            building: None,
            finalization: None,
            fetch: None,
            beacon: None,
        };
        for (signed, _) in round.proposals.values() {
            round.seen.note(signed.clone());
        }
        for vote in round.book.votes() {
            round.tally.insert(vote);
        }
        round
    }

    /// The master of `view`.
    pub(super) fn leader(&self, view: View) -> Option<ValidatorId> {
        leader(&self.order, view)
    }

    /// Whether we are the master of the current view.
    pub(super) fn leads(&self) -> bool {
        let leader = self.leader(self.views.current());
        self.voter.as_ref().is_some_and(|me| leader == Some(me.id))
    }
}

/// Our keys, when the validators of the next height include us with exactly these keys.
pub(super) fn voter(config: &Config, standings: &Standings) -> Option<Arc<Identity>> {
    let own = config.me.iter().chain(&config.successor);
    own.into_iter()
        .find(|me| me.is_in(standings.validators()))
        .cloned()
}
