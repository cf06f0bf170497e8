//! What the core notes, for the logs and for whoever observes.

use super::Validator;
use crate::ports::names::ActorName;
use kithkin_protocol::consensus::Note;

impl Validator {
    pub(super) fn on_note(&mut self, note: &Note) {
        match note {
            Note::ViewChanged {
                height,
                view,
                reason,
                leader,
            } => {
                tracing::debug!(validator = %self.me, %height, %view, ?reason, ?leader, "view entered");
                self.observer.view_changed(self.me, *height, *view, *reason);
            }
            Note::Nullifying {
                height,
                view,
                reason,
            } => {
                tracing::debug!(validator = %self.me, %height, %view, ?reason, "nullify");
            }
            Note::Quarantined { vote_from, forgot } => {
                tracing::error!(
                    validator = %self.me, %vote_from, ?forgot,
                    "in quarantine: this node has forgotten what it signed and votes again from that height on"
                );
            }
            Note::CatchingUp { peer, from } => {
                tracing::info!(validator = %self.me, %peer, %from, "catching up");
                self.on_behind(false);
            }
            Note::Misbehaved { peer, fault } => {
                if self.port.blame(ActorName::Validator(peer.0)) {
                    tracing::warn!(validator = %self.me, %peer, %fault, "a peer misbehaved");
                }
            }
            Note::OwnBlockRefused { height, error } => {
                tracing::error!(validator = %self.me, %height, %error, "own block refused");
            }
            Note::Halted { height, error } => {
                // The core answers nothing from now on. The actor stays: started anew, it would vote again.
                tracing::error!(validator = %self.me, %height, %error, "halted: this node votes no more");
            }
        }
    }
}
