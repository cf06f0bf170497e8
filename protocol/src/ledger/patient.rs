//! A patient as the ledger has it: keys and kin, the drill, and who holds the pieces of records.

use crate::crypto::{Digest, HashWriter};
use crate::ids::{AccountId, CaseId, KinId, PatientId};
use crate::ledger::enrolment::{Enrolment, Member, Seat};
use crate::record::Rewrapped;
use crate::roster::{Attendance, Present};
use crate::sharing::Threshold;
use crate::units::{CircleKind, Epoch, Height, Millis, ShareIndex, Tier};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many devices are remembered after they were replaced. Each takes a quorum of kin and the patient's waiting time.
pub const FORMER_DEVICES_MAX: usize = 16;

/// An enrolled patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// Current roster epoch.
    pub epoch: Epoch,
    /// Current epoch of the second circle ([`CircleEpochs`](crate::ledger::CircleEpochs)).
    pub second_epoch: Epoch,
    /// Whether the second circle's shares have opened something, or been in use for long enough: the patient's device is to
    /// deal them anew.
    pub second_worn: bool,
    /// Current epoch of the rules ([`Epochs`](crate::ledger::Epochs)).
    pub rules_epoch: Epoch,
    /// Digest of the enrolment as kin and sponsor signed it. What it says of rules, roster and shares may have changed since.
    pub signed: Digest,
    /// Roster, tier keys and rules.
    pub enrolment: Enrolment,
    /// Cases that can still come to an opening.
    pub live_cases: u16,
    /// Running digest over every case of the patient, as they were opened, and their number: none can be left out later.
    pub case_log: (Digest, u32),
    /// The account of the device that speaks for the patient: the patient's own until it was lost.
    pub device: AccountId,
    /// The accounts of the devices that spoke for the patient before, oldest first; at most [`FORMER_DEVICES_MAX`]. Who
    /// checks an old veto has to know them.
    pub former_devices: Vec<AccountId>,
    /// Since which epoch the roster has had its present members, in their present places.
    pub roster_since: Epoch,
    /// Kin who want to leave and have not been replaced yet.
    pub resigned: BTreeSet<KinId>,
    /// Kin whose last proposal found no quorum, and until when they may not make another: one kin alone must not hold the
    /// patient's one place for a proposal again and again. Likewise a device after the kin objected to looser rules.
    pub unheard: BTreeMap<KinId, Millis>,
    /// The last epoch whose keys were handed out to a new device. Whatever was sealed until then stays exposed.
    pub exposed: Option<Epoch>,
    /// Whether the new device has not dealt yet.
    pub is_recovering: bool,
    /// Since when records sealed before open with capsules that a new device has made; none before it came to that.
    pub rewrapped: Option<Rewrapped>,
    /// When the next refresh is due.
    pub refresh_due_ms: Millis,
    /// Whether a refresh is due and has not been made.
    pub wants_refresh: bool,
    /// Which kin have shown that their shares are alive.
    pub drill: Drill,
    /// How records were cut and who holds the pieces now, by the epoch since which records have been cut so.
    pub eras: BTreeMap<Epoch, Era>,
}

/// How records that were sealed in a time were cut, and who holds each slot (ADR 33).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Era {
    /// Into how many pieces, and how many of them give a record.
    pub shape: Threshold,
    /// The holder of each slot, in the order of the indices.
    pub holders: Vec<KinId>,
}

impl Era {
    /// A new roster that cuts for itself; none for a size that no roster has.
    #[must_use]
    pub fn of(roster: &[Member]) -> Option<Self> {
        Some(Self {
            shape: Threshold::majority(roster.len()).ok()?,
            holders: roster.iter().map(Member::id).collect(),
        })
    }

    /// The slots that one kin holds, in order.
    pub fn slots_of(&self, kin: KinId) -> impl Iterator<Item = ShareIndex> {
        let holders = self.holders.iter().enumerate();
        let own = holders.filter(move |(_, holder)| **holder == kin);
        own.filter_map(|(position, _)| ShareIndex::from_position(position))
    }
}

/// The readiness drill of one roster (design, opening section 7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// When the next one begins.
    pub due_ms: Millis,
    /// The present one: the height that it was drawn from and its seed; none before the first.
    pub round: Option<(Height, Digest)>,
    /// When that one began, block time.
    pub began_ms: Millis,
    /// How each kin that was called has answered so far.
    pub attendance: BTreeMap<KinId, Attendance>,
    /// When each kin, by share index, last proved the shares of all tiers: height and block time.
    pub proved: BTreeMap<ShareIndex, (Height, Millis)>,
    /// What each kin last showed of the pieces of records that it should hold.
    pub shown: BTreeMap<(ShareIndex, Tier), Shown>,
}

/// What a kin showed of the pieces that it should hold, in one drill and tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The drill.
    pub height: Height,
    /// Places that it showed.
    pub held: u8,
    /// Places that it says itself it has lost.
    pub lost: u8,
}

impl Patient {
    /// Notes a new case in the running digest.
    pub(crate) fn note_case(&mut self, case: CaseId) {
        self.case_log = Self::case_log_with(self.case_log, case);
    }

    /// The running digest and number of cases after one more.
    #[must_use]
    pub fn case_log_with((digest, count): (Digest, u32), case: CaseId) -> (Digest, u32) {
        let mut writer = HashWriter::new("kithkin/patient-cases/1");
        writer.field(digest).field(case);
        (writer.finish(), count.saturating_add(1))
    }

    /// Another device speaks for the patient from now on.
    pub(crate) fn change_device(&mut self, device: AccountId) {
        self.former_devices
            .push(std::mem::replace(&mut self.device, device));
        if self.former_devices.len() > FORMER_DEVICES_MAX {
            self.former_devices.remove(0);
        }
    }

    /// Whether the device speaks for the patient, or did before.
    #[must_use]
    pub fn has_had_device(&self, device: AccountId) -> bool {
        self.device == device || self.former_devices.contains(&device)
    }

    /// How records sealed in `epoch` were cut, and who holds the pieces now.
    #[must_use]
    pub fn era_of(&self, epoch: Epoch) -> Option<&Era> {
        self.eras.range(..=epoch).next_back().map(|(_, era)| era)
    }

    /// Whether every holder of these pieces has, since the roster last changed, shown what a drill drew of the tier, and none
    /// was lost: then whoever had them before need not keep them too.
    #[must_use]
    pub fn all_shown(&self, tier: Tier, era: &Era) -> bool {
        let has_shown = |kin: &KinId| {
            let index = self.in_roster(*kin).map(|(index, _)| index);
            let shown = index.and_then(|index| self.drill.shown.get(&(index, tier)));
            shown.is_some_and(|shown| shown.held > 0 && shown.lost == 0)
        };
        era.holders.iter().all(has_shown)
    }

    /// The roster as a handover sees it.
    #[must_use]
    pub fn present(&self, patient: PatientId) -> Present<'_> {
        Present {
            patient,
            enrolment: &self.enrolment,
            device: self.device,
            is_recovering: self.is_recovering,
            wants_refresh: self.wants_refresh,
        }
    }

    /// The member of the first circle with this identifier, and the share index it has.
    #[must_use]
    pub fn in_roster(&self, kin: KinId) -> Option<(ShareIndex, &Member)> {
        let seat = self.enrolment.member(kin)?;
        (seat.circle == CircleKind::First).then_some((seat.index, seat.member))
    }

    /// The member with this identifier, in whichever circle.
    #[must_use]
    pub fn member(&self, kin: KinId) -> Option<Seat<'_>> {
        self.enrolment.member(kin)
    }
}
