//! How an amendment changes the validators (spec section 5): who votes from which height on, and by which rules.
//!
//! The block at `h` takes effect at `h + 2`: the set of `h + 1` is already known to those who vote on it, and whoever
//! verifies the finalization of `h` can rely on it. Signatures are checked in `ledger::governance`.

use crate::consensus::Identity;
use crate::credit::score::{OFFENCES_MAX, Record};
use crate::credit::{LATE, Standings, ValidatorSet};
use crate::ids::ValidatorId;
use crate::ledger::{
    CHANGES_MAX, Change, GovernanceError, ProtocolVersion, SETS_MAX, VALIDATORS_MAX, ValidatorInfo,
};
use crate::memo::Memo;
use crate::units::Height;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many heights after its block a change of the members takes effect.
pub const CHANGE_DELAY: u64 = 2;

/// Who votes on the next two heights: what a light client learns from a state (an entry of its own, because it is
/// small and changes seldom).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Electorate {
    /// From which height on `current` has voted without a change.
    pub since: Height,
    /// The validators of the height after this state.
    pub current: ValidatorSet,
    /// The validators of the height after that, when they are others.
    pub next: Option<ValidatorSet>,
}

/// So many heights after the last one that it could vote on, a validator that has left, or the old key of one that has
/// another, is still let in to follow: it must learn that it has left. Some seconds under load, hours on an idle ledger.
pub const FAREWELL_HEIGHTS: u64 = 1_024;

/// Whom a node talks with after a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Who votes on the next height or the one after. A validator whose keys change stands here twice.
    pub members: Vec<ValidatorInfo>,
    /// Who has voted lately and does no more, or does under other keys: they may follow.
    pub former: Vec<ValidatorInfo>,
    /// At the state of this height it is to be looked again: somebody of `former` may be forgotten.
    pub until: Option<Height>,
}

/// What part keys have in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// They vote on the next height.
    Votes,
    /// They do not vote, and may yet: an amendment that admits them is awaited or has not begun to count.
    Waits,
    /// They have voted, and never will again. For a few heights others may still need what they have signed.
    Leaves,
    /// As [`Self::Leaves`], and nobody needs them any more.
    Left,
}

impl Standings {
    /// Who is to be talked with from now on: it follows from the state alone, so a node that starts knows it as well as one
    /// that has seen the change.
    #[must_use]
    pub fn company(&self) -> Company {
        let next = self.height().plus(1);
        let mut members: Vec<ValidatorInfo> = Vec::new();
        let take = |list: &mut Vec<ValidatorInfo>, set: &ValidatorSet| {
            for info in set.iter() {
                if !list
                    .iter()
                    .any(|known| known.network_key == info.network_key)
                {
                    list.push(info.clone());
                }
            }
        };
        take(&mut members, self.validators_at(next.plus(1)));
        take(&mut members, self.validators());
        let (mut former, mut until) = (Vec::new(), None);
        let firsts = std::iter::once(&self.first_set).chain(self.later_sets.values());
        for (set, end) in firsts.zip(self.later_sets.keys()) {
            // The set voted on heights below `end`.
            let forgotten = end.plus(FAREWELL_HEIGHTS);
            if *end <= next && next < forgotten {
                take(&mut former, set);
                until = until.or(Some(forgotten.minus(1)));
            }
        }
        former.retain(|info| {
            !members
                .iter()
                .any(|member| member.network_key == info.network_key)
        });
        let until = until.filter(|_| !former.is_empty());
        Company {
            members,
            former,
            until,
        }
    }

    /// What part somebody's keys have in the ledger after this state.
    #[must_use]
    pub fn part_of(&self, me: &Identity) -> Part {
        if me.is_in(self.validators()) {
            return Part::Votes;
        }
        let newest = self.newest_validators();
        if me.is_in(newest) {
            return Part::Waits;
        }
        let firsts = std::iter::once(&self.first_set).chain(self.later_sets.values());
        let ends = firsts
            .zip(self.later_sets.keys())
            .filter(|(set, _)| me.is_in(set));
        match ends.last() {
            Some((_, end)) if self.height() < end.plus(LATE) => Part::Leaves,
            Some(_) => Part::Left,
            // A number is given once: one that was and is nobody's will never be anybody's.
            None if me.id < self.next_number() && !newest.contains(me.id) => Part::Left,
            None => Part::Waits,
        }
    }

    /// How many amendments were adopted: the number of the next one.
    #[must_use]
    pub fn amendments(&self) -> u64 {
        self.amendments
    }

    /// The version of the rules that `height` follows, as far as it is decided.
    #[must_use]
    pub fn version_at(&self, height: Height) -> ProtocolVersion {
        self.upgrade
            .filter(|&(_, from)| from <= height)
            .map_or(self.version, |(version, _)| version)
    }

    /// The upgrade that was decided last, and its first height.
    #[must_use]
    pub fn upgrade(&self) -> Option<(ProtocolVersion, Height)> {
        self.upgrade
    }

    /// The number that the next newcomer gets.
    #[must_use]
    pub fn next_number(&self) -> ValidatorId {
        self.next_number
    }

    /// The validators of the last height that is decided.
    #[must_use]
    pub fn newest_validators(&self) -> &ValidatorSet {
        self.validators_at(Height(u64::MAX))
    }

    /// Whether these are who votes on the next two heights, without copying anything.
    pub(crate) fn is_electorate(&self, electorate: &Electorate) -> bool {
        let height = self.height().plus(1);
        let (current, next) = (self.validators(), self.validators_at(height.plus(1)));
        electorate.since == self.since(height)
            && electorate.current == *current
            && match &electorate.next {
                None => next == current,
                Some(set) => set == next && next != current,
            }
    }

    /// Who votes on the next two heights.
    #[must_use]
    pub fn electorate(&self) -> Electorate {
        let height = self.height().plus(1);
        let (current, next) = (self.validators(), self.validators_at(height.plus(1)));
        Electorate {
            since: self.since(height),
            current: current.clone(),
            next: (next != current).then(|| next.clone()),
        }
    }

    fn since(&self, height: Height) -> Height {
        self.later_sets
            .range(..=height)
            .next_back()
            .map_or(self.first_from, |(&from, _)| from)
    }

    /// How many members one block may change: as many as may be faulty, so that the old and the new quorums still share
    /// honest members. Sets too small for faulty members change by one: there all members but none must sign,
    /// so the change is everybody's, and otherwise no set could ever grow.
    fn members_changed_max(&self) -> usize {
        let now = self.previous_validators().f();
        now.min(self.newest_validators().f()).max(1)
    }

    /// Whether the changes of an amendment could be adopted by the next block: for those who write one, before they ask
    /// others to sign it. Nothing changes.
    ///
    /// # Errors
    /// The first [`GovernanceError`] found, of those about what is changed.
    pub fn check_changes(&self, changes: &[Change]) -> Result<(), GovernanceError> {
        let mut draft = self.clone();
        draft.height = draft.height.plus(1);
        draft.amend(changes)
    }

    /// Applies the changes of an amendment that a quorum has signed; all or nothing. To be called while the block of
    /// [`Self::height`] is executed.
    pub(crate) fn amend(&mut self, changes: &[Change]) -> Result<(), GovernanceError> {
        let count = changes.len();
        if count == 0 || count > CHANGES_MAX {
            return Err(GovernanceError::Changes { count });
        }
        let mut draft = self.clone();
        draft.apply_changes(changes)?;
        draft.amendments = self.amendments.saturating_add(1);
        draft.leaders = Memo::default();
        *self = draft;
        Ok(())
    }

    fn apply_changes(&mut self, changes: &[Change]) -> Result<(), GovernanceError> {
        let from = self.height().plus(CHANGE_DELAY);
        let allowed = self.members_changed_max();
        let mut members = self.newest_validators().clone();
        let mut touched = BTreeSet::new();
        for change in changes {
            match change {
                Change::Pardon(id) => self.pardon(*id)?,
                Change::Upgrade { version, height } => self.plan_upgrade(*version, *height)?,
                Change::Admit(info) => {
                    touch(&mut touched, info.id)?;
                    self.admit(&mut members, info, from)?;
                }
                Change::Rekey(info) => {
                    touch(&mut touched, info.id)?;
                    if !members.contains(info.id) {
                        return Err(GovernanceError::NoMember { id: info.id });
                    }
                    self.check_keys(&members, info)?;
                    members = members.with(info.clone());
                }
                Change::Remove(id) => {
                    touch(&mut touched, *id)?;
                    if !members.contains(*id) {
                        return Err(GovernanceError::NoMember { id: *id });
                    }
                    members = members.without(*id);
                }
            }
        }
        let (found, n) = (touched.len(), members.n());
        if found == 0 {
            return Ok(());
        }
        if found > allowed {
            return Err(GovernanceError::TooManyMembers { found, allowed });
        }
        if n == 0 || n > VALIDATORS_MAX {
            return Err(GovernanceError::Size { n });
        }
        if self.later_sets.contains_key(&from) {
            return Err(GovernanceError::SecondInBlock);
        }
        if self.later_sets.len() >= SETS_MAX {
            return Err(GovernanceError::TooManySets);
        }
        self.later_sets.insert(from, members);
        Ok(())
    }

    fn admit(
        &mut self,
        members: &mut ValidatorSet,
        info: &ValidatorInfo,
        from: Height,
    ) -> Result<(), GovernanceError> {
        let (found, expected) = (info.id, self.next_number);
        if found != expected {
            return Err(GovernanceError::NewNumber { found, expected });
        }
        self.check_keys(members, info)?;
        // Numbers are never used again, so the last one ends all admissions.
        self.next_number = expected
            .0
            .checked_add(1)
            .map(ValidatorId)
            .ok_or(GovernanceError::Size { n: members.n() })?;
        self.records.insert(found, Record::newcomer(from));
        *members = members.with(info.clone());
        Ok(())
    }

    /// A key has one owner and one use. Of a validator that goes on with other keys, those that stay may stay.
    fn check_keys(
        &self,
        members: &ValidatorSet,
        info: &ValidatorInfo,
    ) -> Result<(), GovernanceError> {
        let id = info.id;
        let own = slots(info);
        let mut distinct = BTreeSet::new();
        let known = std::iter::once(&self.first_set)
            .chain(self.later_sets.values())
            .chain(std::iter::once(members))
            .flat_map(ValidatorSet::iter);
        let clashes = known.into_iter().any(|other| {
            slots(other).iter().enumerate().any(|(theirs, key)| {
                own.iter()
                    .enumerate()
                    .any(|(mine, own)| own == key && !(other.id == id && mine == theirs))
            })
        });
        if clashes || !own.iter().all(|key| distinct.insert(*key)) {
            return Err(GovernanceError::KeyUsed { id });
        }
        Ok(())
    }

    fn pardon(&mut self, id: ValidatorId) -> Result<(), GovernanceError> {
        let height = self.height();
        let record = self.records.get_mut(&id);
        let record = record
            .filter(|record| record.offences >= OFFENCES_MAX)
            .ok_or(GovernanceError::NotExcluded { id })?;
        record.pardon(height);
        Ok(())
    }

    fn plan_upgrade(
        &mut self,
        version: ProtocolVersion,
        height: Height,
    ) -> Result<(), GovernanceError> {
        let earliest = self.height().plus(CHANGE_DELAY);
        let present = self.version_at(self.height().plus(1));
        if version <= present || height < earliest {
            let version = present;
            return Err(GovernanceError::Upgrade { version, earliest });
        }
        self.version = present;
        self.upgrade = Some((version, height));
        Ok(())
    }
}

fn touch(touched: &mut BTreeSet<ValidatorId>, id: ValidatorId) -> Result<(), GovernanceError> {
    touched
        .insert(id)
        .then_some(())
        .ok_or(GovernanceError::Twice { id })
}

/// The keys of a validator, by use.
fn slots(info: &ValidatorInfo) -> [[u8; 32]; 3] {
    [info.vote_key.0, info.vrf_key.0, info.network_key.0]
}
