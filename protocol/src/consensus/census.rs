//! How much a node holds of what others can make it hold, beside the most that it may (spec section 6, I22). For tests.

use crate::consensus::core::Consensus;
use crate::consensus::past::{PAST_HEIGHTS, Past, VIEWS_BEYOND};
use crate::consensus::{VIEWS_AHEAD_MAX, catchup, pool, proposals};
use crate::credit::LATE;

impl Consensus {
    /// Name, size and bound of every collection that peers can make grow.
    #[must_use]
    pub fn census(&self) -> Vec<(&'static str, usize, usize)> {
        let n = self.round.set.n().max(
            self.past
                .values()
                .map(|past| past.set.n())
                .max()
                .unwrap_or(0),
        );
        let reach = usize::try_from(2 * VIEWS_AHEAD_MAX + 1).unwrap_or(usize::MAX);
        // Three kinds, two blocks of one signer.
        let votes = reach.saturating_mul(6).saturating_mul(n);
        let view = usize::try_from(self.view().0).unwrap_or(usize::MAX);
        let ahead = view.saturating_add(reach);
        let near = usize::try_from(VIEWS_AHEAD_MAX + VIEWS_BEYOND + 1).unwrap_or(usize::MAX);
        // Counted and unverified votes, and signatures of masters.
        let past = near
            .saturating_mul(12)
            .saturating_mul(n)
            .saturating_add(near.saturating_mul(2));
        let late = usize::try_from(LATE).unwrap_or(0).saturating_add(1);
        vec![
            ("counted votes", self.round.tally.len(), votes),
            ("unverified votes", self.round.inbox.len(), votes),
            (
                "votes of the heights before",
                self.past.values().map(Past::len).sum(),
                past.saturating_mul(PAST_HEIGHTS),
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
