//! How much a node holds of what others can make it hold, beside the most that it may (spec section 6, I22). For tests.

use crate::consensus::core::Consensus;
use crate::consensus::{VIEWS_AHEAD_MAX, catchup, pool, proposals};
use crate::credit::LATE;

impl Consensus {
    /// Name, size and bound of every collection that peers can make grow.
    #[must_use]
    pub fn census(&self) -> Vec<(&'static str, usize, usize)> {
        let n = self
            .round
            .set
            .n()
            .max(self.past.as_ref().map_or(0, |past| past.set.n()));
        let reach = usize::try_from(2 * VIEWS_AHEAD_MAX + 1).unwrap_or(usize::MAX);
        // Three kinds, two blocks of one signer.
        let votes = reach.saturating_mul(6).saturating_mul(n);
        let view = usize::try_from(self.view().0).unwrap_or(usize::MAX);
        let ahead = view.saturating_add(reach);
        let past = self.past.as_ref();
        let late = usize::try_from(LATE).unwrap_or(0).saturating_add(1);
        vec![
            ("counted votes", self.round.tally.len(), votes),
            ("unverified votes", self.round.inbox.len(), votes),
            (
                "votes of the height before",
                past.map_or(0, |past| past.tally.len()),
                votes,
            ),
            (
                "signatures of masters",
                self.round.seen.len(),
                reach.saturating_mul(2),
            ),
            (
                "waiting proposals",
                self.round.pending.len(),
                proposals::PENDING_MAX,
            ),
            (
                "certificates",
                self.round.views.len(),
                ahead.saturating_mul(2),
            ),
            ("block bodies", self.round.bodies.len(), ahead),
            ("late votes", self.late.len(), late.saturating_mul(n)),
            ("waiting evidence", self.pool.len(), pool::WAITING_MAX),
            (
                "claims to be ahead",
                self.catch_up.len(),
                catchup::PEERS_MAX,
            ),
            (
                "early messages",
                self.future.len(),
                catchup::FUTURE_PER_PEER.saturating_mul(n),
            ),
            ("signs of life", self.heard.len(), catchup::PEERS_MAX),
            (
                "services",
                self.limiter.len(),
                catchup::PEERS_MAX.saturating_mul(6),
            ),
        ]
    }
}
