//! Kin over time: who is on the roster, and how shares pass from one epoch to the next without ever being in danger.
//!
//! A [`Handover`] is a pure state machine; the ledger feeds it transactions in block order and block time, so all honest
//! nodes see the same one. One patient has one at a time.
//!
//! ```text
//! Proposed --delay over, authorised--> Dealing --enough dealings--> Accepting --all accepted, no live case--> done
//!    |  (a refresh starts at Dealing)     ^                             |
//!    |                                    `-- a dealer is proved bad ---'
//!    `-- objections | veto | time ------------------------------------------------------------> failed: all stays as it was
//! ```
//!
//! Nobody is dropped half-way: until every member of the new roster has the new shares on disk and says so on chain, the
//! old epoch stands, whole. Dealings travel sealed and off chain; on chain are their commitments, so that everybody
//! computes the new commitments from what is final and a bad dealer is proved bad.
//!
//! Not here: the sharing itself ([`crate::sharing`]), what the ledger does when a handover is done
//! (`ledger::execute::roster`).

mod complaints;
mod dealing;
mod handover;
mod plan;
mod readiness;
mod relation;
mod rules;

pub use dealing::{DealingError, TierDealing, handed_over, refresh, reshare};
pub(crate) use handover::Outcome;
pub use handover::{Complaint, Dealt, Fault, Handover, Stage};
pub use plan::{Plan, Present, Proposer};
pub use readiness::{Attendance, Readiness, Silence};
pub use relation::Relation;
pub use rules::{DELAY_MS_MAX, PERIOD_MS, RosterRules};

use crate::crypto::Digest;
use crate::crypto::group::ScalarBytes;
use crate::ids::{HandoverId, KinId};
use crate::ledger::{RulesError, SecondError, SecondWord};
use crate::record::{Answer, DutyError};
use crate::sharing::DrillAnswer;
use crate::units::{Epoch, Height, Millis, ShareIndex, Tier};
use serde::{Deserialize, Serialize};

/// What somebody does about a patient's roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RosterStep {
    /// Patient or kin: this shall become of the roster.
    Propose(Box<Plan>),
    /// Kin: I support what another kin has proposed.
    Support {
        /// The handover.
        handover: HandoverId,
    },
    /// Kin: I object.
    Object {
        /// The handover.
        handover: HandoverId,
    },
    /// Patient: this shall not be.
    Veto {
        /// The handover.
        handover: HandoverId,
    },
    /// Present kin: my dealings, sealed and sent to everyone concerned.
    Deal {
        /// The handover.
        handover: HandoverId,
        /// One for each tier, in the order of [`Tier::ALL`].
        dealings: Vec<TierDealing>,
        /// Digest of the sealed sub-shares as they are sent.
        sealed: Digest,
    },
    /// New kin: what this dealer sent me does not fit its commitments.
    Complain {
        /// The handover.
        handover: HandoverId,
        /// The dealer.
        dealer: ShareIndex,
        /// The tier.
        tier: Tier,
    },
    /// Dealer: here is what I sent, for everyone to see.
    Reveal {
        /// The handover.
        handover: HandoverId,
        /// Who complained.
        recipient: ShareIndex,
        /// The tier.
        tier: Tier,
        /// The sub-share.
        share: ScalarBytes,
    },
    /// New kin: I hold my new shares, checked and on disk.
    Accept {
        /// The handover.
        handover: HandoverId,
        /// What was dealt ([`Handover::dealt_digest`]).
        dealt: Digest,
    },
    /// Kin: my shares are alive; the answer to the present drill (design, opening section 7).
    Prove {
        /// The height whose seed the drill was drawn from.
        height: Height,
        /// One answer for each tier, in the order of [`Tier::ALL`].
        answers: Vec<DrillAnswer>,
    },
    /// Kin: the pieces of records that I should hold are there; the answer to the present drill for one tier.
    Show {
        /// The height whose seed the drill was drawn from.
        height: Height,
        /// The tier.
        tier: Tier,
        /// One proof for each place that is drawn.
        answer: Answer,
    },
    /// Kin: I do not want to be on this roster any more.
    Resign,
    /// Patient: this is my second circle from now on, and all its members have accepted.
    NameSecond(Box<SecondWord>),
}

/// What a step did, for those who follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterEvent {
    /// A plan stands on chain.
    Proposed(Proposer),
    /// A kin supports it.
    Supported(KinId),
    /// The kin's quorum supports it; the patient's device may veto it until then.
    Authorised(Millis),
    /// A kin objects.
    Objected(KinId),
    /// The patient's device has spoken against a new device.
    VetoNoted,
    /// The present kin are to deal.
    Dealing,
    /// A dealer's commitments stand.
    Dealt(ShareIndex),
    /// The set of dealings is fixed; the new kin are to take their shares and accept.
    Accepting,
    /// A kin says that a dealer sent something wrong.
    Complained(Complaint),
    /// The dealer has shown that it did not; the recipient finds the sub-share on chain.
    Cleared(Complaint),
    /// A dealer is out, and why.
    Barred(ShareIndex, Fault),
    /// A kin holds its new shares.
    Accepted(KinId),
    /// The new epoch stands. Old shares are to be erased.
    Done(Epoch),
    /// Another device speaks for the patient.
    DeviceReplaced,
    /// A second circle stands, in this epoch of it. Shares of one before are to be erased.
    SecondNamed(Epoch),
    /// There is no second circle any more, as of this epoch of it. Its shares are to be erased.
    SecondEnded(Epoch),
    /// Other rules of the patient are in force, as of this epoch of them.
    RulesChanged(Epoch),
    /// Stopped; all stays as it was.
    Failed(Failure),
    /// A kin wants to leave.
    Resigned(KinId),
    /// Shares have been in use for long enough, or a case was opened with them: a refresh is due.
    RefreshDue,
    /// A drill begins: kin are to prove their shares for the seed of this height.
    DrillDue(Height),
    /// A kin has proved its shares of all tiers alive.
    Proved(KinId),
    /// A kin has shown drawn places of what it should hold.
    Shown {
        /// The kin.
        kin: KinId,
        /// The tier.
        tier: Tier,
        /// Places that it showed.
        held: u8,
        /// Places that it says it has lost.
        lost: u8,
    },
    /// A drill is over, and this kin has not proved its shares in it.
    Missed(KinId),
    /// A drill is over, and this kin has shown nothing of the pieces that it should hold.
    Unshown {
        /// The kin.
        kin: KinId,
        /// The tier.
        tier: Tier,
    },
}

/// Why a handover came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many kin objected.
    Objected,
    /// The patient's device stopped it.
    Vetoed,
    /// Nobody, or too few, supported, dealt or accepted in time: these.
    Silent(Vec<KinId>),
    /// More dealers turned out bad than the threshold can bear.
    TooFewDealers,
    /// The new device's key is somebody else's by now.
    DeviceTaken,
    /// It gave way: a refresh to any other plan, what the patient's device proposed to a new device that a kin proposed, looser rules to
    /// stricter ones.
    Superseded,
    /// The dealings do not add up to usable commitments; nobody's fault, and as unlikely as guessing a key.
    Unusable,
}

/// Why a step is not possible. Nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// The patient has a handover already.
    #[error("another change of this roster is under way since {since}; wait for it, or veto it")]
    Busy {
        /// When it was proposed.
        since: Millis,
    },
    /// The last proposal of this kin found no quorum.
    #[error(
        "{kin}'s last proposal found no quorum; it may propose again at {until}, any other kin at once"
    )]
    Unheard {
        /// Who proposes.
        kin: KinId,
        /// From when on it may, block time.
        until: Millis,
    },
    /// No such handover, or it is over.
    #[error("there is no such change of a roster under way")]
    Unknown,
    /// The step does not fit the stage.
    #[error("the change of the roster is {}", stage.as_str())]
    Stage {
        /// Where it stands.
        stage: Stage,
    },
    /// The signer is not on the roster.
    #[error("{kin} is not on the roster")]
    NotKin {
        /// The signer.
        kin: KinId,
    },
    /// The signer may not do this.
    #[error("only the {role} may do this")]
    NotAllowed {
        /// Who may.
        role: &'static str,
    },
    /// The signer has done this already.
    #[error("{kin} has done this already")]
    Twice {
        /// The signer.
        kin: KinId,
    },
    /// The plan cannot stand.
    #[error("the plan cannot stand: {fault}")]
    Plan {
        /// What is wrong.
        fault: &'static str,
    },
    /// The dealer has been found bad.
    #[error("dealer {dealer} was found bad and is out")]
    Barred {
        /// The dealer.
        dealer: ShareIndex,
    },
    /// A dealing does not fit.
    #[error(transparent)]
    Dealing(#[from] DealingError),
    /// There is nothing to complain of or to answer.
    #[error("there is no such dealing or complaint")]
    NoComplaint,
    /// A complaint of the last dealer as well: with all answers in the clear the new share would be.
    #[error("all dealers cannot be complained of: the share would stand in the clear")]
    AllDealers,
    /// The acceptance is for other dealings.
    #[error("the acceptance is for other dealings than those that stand")]
    OtherDealings,
    /// An answer to another drill, or to none.
    #[error("there is no drill of height {height}, or it is over")]
    NoDrill {
        /// The height that the answer names.
        height: Height,
    },
    /// The answer to a drill does not prove this share.
    #[error("the answer does not prove the share of tier {tier}")]
    Drill {
        /// The tier.
        tier: Tier,
    },
    /// The patient's word about the second circle does not count.
    #[error(transparent)]
    Second(#[from] SecondError),
    /// Other rules that do not count.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// There is nothing that this kin should hold, or more than can be drawn from.
    #[error(transparent)]
    Duties(#[from] DutyError),
    /// All of the kin support this; the old device cannot stop it.
    #[error("every kin supports this; it cannot be vetoed")]
    Unanimous,
}
