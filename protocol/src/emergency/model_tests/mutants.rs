//! Rules that are broken on purpose, which the search must find.
//!
//! The shipped rules have no branch for it. A broken rule is the true one, shown a case or a call that is bent so that it does
//! not see what it must look at; afterwards the case is bent back.

use super::calls::Call;
use super::explore;
use super::world::{FAR, REQUESTED, Setup};
use crate::emergency::{Case, CaseError, CaseEvent, Phase};
use crate::units::Millis;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// One approval fewer is enough.
    OneApprovalShort,
    /// Who has approved twice counts twice: a second approval is taken in another's name.
    LiarCountsTwice,
    /// The patient's veto changes nothing.
    IgnoresVeto,
    /// The patient's veto changes nothing once the case is granted.
    IgnoresLateVeto,
    /// Anybody may veto.
    AnybodyVetoes,
    /// A request does not expire.
    IgnoresExpiry,
    /// The waiting time is not waited for.
    IgnoresWaitingTime,
    /// A session does not end.
    IgnoresSessionEnd,
    /// An approval of another case counts.
    TakesOtherCase,
    /// An approval of another roster counts.
    TakesOtherEpoch,
    /// An approval of the other circle counts.
    TakesOtherCircle,
    /// An approval for another hospital counts.
    TakesOtherHospital,
    /// An approval for another purpose counts.
    TakesOtherPurpose,
    /// An approval for another reason counts.
    TakesOtherReason,
    /// An approval of a request with another expiry counts.
    TakesOtherExpiry,
    /// An approval by somebody who is not on the roster counts.
    TakesStrangers,
    /// A refusal can be taken back.
    RefusalIsNotTheLastWord,
    /// A kin that has not approved may release.
    ReleasesUnapproved,
    /// Releases are taken whatever the case has come to.
    ReleasesInAnyPhase,
    /// Reads are taken before and after the session.
    ReadsInAnyPhase,
    /// Any hospital may close and read.
    AnyHospital,
    /// A closed case is judged again and again.
    ReviewsInAnyPhase,
}

impl Mutant {
    const ALL: [Self; 22] = [
        Self::OneApprovalShort,
        Self::LiarCountsTwice,
        Self::IgnoresVeto,
        Self::IgnoresLateVeto,
        Self::AnybodyVetoes,
        Self::IgnoresExpiry,
        Self::IgnoresWaitingTime,
        Self::IgnoresSessionEnd,
        Self::TakesOtherCase,
        Self::TakesOtherEpoch,
        Self::TakesOtherCircle,
        Self::TakesOtherHospital,
        Self::TakesOtherPurpose,
        Self::TakesOtherReason,
        Self::TakesOtherExpiry,
        Self::TakesStrangers,
        Self::RefusalIsNotTheLastWord,
        Self::ReleasesUnapproved,
        Self::ReleasesInAnyPhase,
        Self::ReadsInAnyPhase,
        Self::AnyHospital,
        Self::ReviewsInAnyPhase,
    ];

    /// Words of the rule that the search must name.
    fn named(self) -> &'static str {
        match self {
            Self::OneApprovalShort
            | Self::IgnoresWaitingTime
            | Self::ReleasesInAnyPhase
            | Self::ReadsInAnyPhase => "opens too early",
            Self::LiarCountsTwice => "approvals are not those that were given",
            Self::IgnoresVeto | Self::IgnoresLateVeto => "goes on after a veto",
            Self::IgnoresExpiry => "lives beyond its expiry",
            Self::IgnoresSessionEnd => "open outside of its session",
            Self::AnybodyVetoes
            | Self::TakesOtherCase
            | Self::TakesOtherEpoch
            | Self::TakesOtherCircle
            | Self::TakesOtherHospital
            | Self::TakesOtherPurpose
            | Self::TakesOtherReason
            | Self::TakesOtherExpiry
            | Self::TakesStrangers
            | Self::AnyHospital => "taken, but does not belong here",
            Self::RefusalIsNotTheLastWord => "decided twice",
            Self::ReleasesUnapproved => "released without an approval",
            Self::ReviewsInAnyPhase => "no such step",
        }
    }

    /// Calls the broken rule.
    pub(super) fn call(
        self,
        mut call: Call,
        case: &mut Case,
        now: Millis,
    ) -> Result<Vec<CaseEvent>, CaseError> {
        let before = case.clone();
        self.bend_call(&mut call, case);
        self.bend_case(&call, case);
        let result = call.make(case, now);
        if result.is_err() || self.drops(&call, &before) {
            *case = before;
            return result;
        }
        case.threshold = before.threshold;
        case.timing = before.timing;
        case.roster = before.roster;
        case.request.expires_ms = before.request.expires_ms;
        if self == Self::RefusalIsNotTheLastWord && matches!(call, Call::Approve(..)) {
            case.refusals = before.refusals;
        }
        if self == Self::ReleasesUnapproved && matches!(call, Call::Release(_)) {
            case.approvals = before.approvals;
        }
        if self == Self::ReadsInAnyPhase && matches!(call, Call::Read(_)) {
            case.phase = before.phase;
        }
        result
    }

    /// Whether the rule's effect is thrown away.
    fn drops(self, call: &Call, before: &Case) -> bool {
        let veto = matches!(call, Call::Veto(_));
        match self {
            Self::IgnoresVeto => veto,
            Self::IgnoresLateVeto => veto && before.phase.opens(),
            _ => false,
        }
    }

    /// Makes the call say what the rule wants to hear.
    fn bend_call(self, call: &mut Call, case: &Case) {
        match call {
            Call::Approve(kin, approval) => match self {
                Self::LiarCountsTwice if case.approvals.contains_key(kin) => {
                    let other = |one: &&_| !case.approvals.contains_key(one);
                    *kin = *case.roster.iter().find(other).unwrap_or(kin);
                }
                Self::TakesOtherCase => approval.case = case.id,
                Self::TakesOtherEpoch => approval.epoch = case.request.epoch,
                Self::TakesOtherCircle => approval.circle = case.request.circle,
                Self::TakesOtherHospital => approval.hospital = case.hospital,
                Self::TakesOtherPurpose => approval.purpose = case.request.purpose,
                Self::TakesOtherReason => approval.reason = case.request.reason,
                Self::TakesOtherExpiry => approval.expires_ms = case.request.expires_ms,
                _ => {}
            },
            Call::Veto(patient) if self == Self::AnybodyVetoes => *patient = case.patient(),
            Call::Read(hospital) | Call::Close(hospital) if self == Self::AnyHospital => {
                *hospital = case.hospital;
            }
            _ => {}
        }
    }

    /// Makes the case look as the rule wants it.
    fn bend_case(self, call: &Call, case: &mut Case) {
        match (self, call) {
            (Self::OneApprovalShort, _) => case.threshold -= 1,
            (Self::IgnoresExpiry, Call::Time) => case.request.expires_ms = FAR,
            (Self::IgnoresWaitingTime, _) => case.timing.not_before_ms = Millis(REQUESTED),
            (Self::IgnoresSessionEnd, _) => case.timing.session_ms = FAR,
            (Self::TakesStrangers, Call::Approve(kin, _)) => case.roster.push(*kin),
            (Self::RefusalIsNotTheLastWord, Call::Approve(kin, _)) => {
                case.refusals.remove(kin);
            }
            (Self::ReleasesUnapproved, Call::Release(kin)) => {
                case.approvals.entry(*kin).or_insert(Millis(REQUESTED));
            }
            (Self::ReleasesInAnyPhase, Call::Release(_))
            | (Self::ReadsInAnyPhase, Call::Read(_)) => case.phase = Phase::Open,
            (Self::ReviewsInAnyPhase, Call::Review) => case.phase = Phase::Closed,
            _ => {}
        }
    }
}

/// What the search says of a broken rule, and how many states it had seen by then; nothing when it finds nothing wrong.
fn found(setup: Setup) -> (Option<String>, usize) {
    let seen = Cell::new(0);
    let search = catch_unwind(AssertUnwindSafe(|| explore(setup, &seen)));
    let said = search.err().map(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| {
            payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
        })
        .unwrap_or_default()
    });
    (said, seen.get())
}

#[test]
fn every_broken_rule_is_found() {
    for mutant in Mutant::ALL {
        let setup = Setup {
            kin: 3,
            threshold: 2,
            not_before: 2_000,
            mutant: Some(mutant),
        };
        let (said, states) = found(setup);
        let said = said.unwrap_or_else(|| panic!("{mutant:?} was not found in {states} states"));
        println!("{mutant:?}: found after {states} states");
        let words = mutant.named();
        assert!(said.contains(words), "{mutant:?}: {words} in {said}");
    }
}
