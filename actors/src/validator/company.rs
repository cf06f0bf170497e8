//! Who this node talks with, and what part its keys have in the ledger: the state says both, and the transport and whoever runs the node
//! are told. The rules: `kithkin_protocol::credit` (`Standings::company`, `Standings::part_of`).

use super::actor::Validator;
use crate::ports::names::ActorName;
use kithkin_protocol::credit::Part;

impl Validator {
    /// Says to the transport who may talk with this node: who votes on the next heights, and for a while who did.
    pub(super) fn admit_peers(&mut self) {
        let company = self.ledger().standings().company();
        self.review_at = company.until;
        self.port.admit(company);
    }

    /// Tells whoever runs this node when its part in the ledger has changed.
    pub(super) fn see_part(&mut self) {
        let standings = self.ledger().standings();
        let next = self.successor.as_ref().map(|next| standings.part_of(next));
        let part = match (standings.part_of(&self.identity), next) {
            (Part::Votes, _) | (_, Some(Part::Votes)) => Part::Votes,
            (_, Some(next)) => next,
            (part, None) => part,
        };
        let height = standings.height();
        if self.part != Some(part) {
            self.part = Some(part);
            tracing::info!(validator = %self.me, %height, ?part, "the part of these keys in the ledger");
            self.observer.part(self.me, part);
        }
    }

    /// Others whom the operator lets follow: they may have what this node lacks.
    pub(super) fn guests(&self) -> impl Iterator<Item = ActorName> + use<> {
        let guests = self.port.guests().into_iter();
        guests.map(|id| ActorName::Validator(id.0))
    }
}
