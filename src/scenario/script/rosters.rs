//! Steps about rosters, drills and the pieces of records.

use super::super::words::{AnyName, KinName, PatientName, Span};
use super::one_minute;
use serde::Deserialize;

/// `do.wipe`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfKin {
    /// Who.
    pub kin: KinName,
}

/// `do.wait_pieces`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitPieces {
    /// Who.
    pub kin: KinName,
    /// Keeps at least so many pieces of records.
    pub at_least: usize,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.change_roster`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRoster {
    /// Who proposes it: the patient or one of the kin.
    pub who: AnyName,
    /// Whose roster.
    pub patient: PatientName,
    /// Who leaves it.
    #[serde(default)]
    pub out: Vec<KinName>,
    /// Who comes, in the places of those who leave and then at the end.
    #[serde(default, rename = "in")]
    pub into: Vec<KinName>,
}

/// `do.roster`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// Who: one after the other.
    pub who: Vec<AnyName>,
    /// Whose roster.
    pub patient: PatientName,
    /// What they say.
    pub say: RosterWord,
}

/// What one can say about a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterWord {
    /// A newcomer accepts the invitation.
    Join,
    /// A newcomer declines.
    Decline,
    /// A kin wants to leave.
    Resign,
    /// A kin supports what another has proposed.
    Support,
    /// A kin objects.
    Object,
    /// The patient stops what is under way.
    Veto,
}

/// `do.invitations`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnInvitations {
    /// Who.
    pub kin: Vec<KinName>,
    /// What their devices do with an invitation from now on.
    pub conduct: InvitationWord,
}

/// What a kin's device does with an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationWord {
    /// It asks the person, who says `join` or `decline` in a `do.roster`.
    Ask,
    /// It accepts.
    Accept,
    /// It declines.
    Decline,
}

/// `do.wait_epoch`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitEpoch {
    /// Whose shares.
    pub patient: PatientName,
    /// At least.
    pub epoch: u32,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.wait_drill`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitDrill {
    /// Whose shares.
    pub patient: PatientName,
    /// Exactly so many kin have proved theirs in the present round.
    pub proved: usize,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.wait_readiness`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitReadiness {
    /// Whose device is asked.
    pub patient: PatientName,
    /// Exactly these kin have let drills pass.
    #[serde(default)]
    pub silent: Vec<KinName>,
    /// Exactly so many shares are alive; any number when left out.
    pub alive: Option<usize>,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.wait_roster`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRoster {
    /// Whose roster.
    pub patient: PatientName,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.name_second`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameSecond {
    /// Whose second circle.
    pub patient: PatientName,
    /// Who is in it from now on; the same as before, or those whom a lost device had named, when left out.
    #[serde(default)]
    pub kin: Vec<KinName>,
}

/// `do.withdraw_second`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawSecond {
    /// Whose second circle.
    pub patient: PatientName,
}

/// `do.wait_second`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitSecond {
    /// Whose second circle.
    pub patient: PatientName,
    /// So many are in it; 0 for none.
    pub kin: usize,
    /// In this epoch of it, or a later one.
    #[serde(default)]
    pub epoch: u32,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}

/// `do.wait_second_circle`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitSecondCircle {
    /// The case in which the first circle was asked.
    pub case: String,
    /// How long at most.
    #[serde(default = "one_minute")]
    pub within: Span,
}
