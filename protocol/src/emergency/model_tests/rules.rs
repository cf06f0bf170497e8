//! What must hold of every step and of every state.

use super::world::{Act, FAR, World, bit, member};
use crate::emergency::{Case, Phase};
use crate::ids::KinId;
use std::collections::BTreeSet;

impl World {
    /// What must hold of an act that was taken.
    pub(super) fn check_taken(&self, of: usize, act: Act, before: &World) {
        let was = &before.cases[of];
        let record = &before.records[of];
        let context = || format!("{act:?} on {:?} with {record:?}", was.phase);
        match act {
            Act::Approve(_) => assert!(was.phase.is_live(), "too late: {}", context()),
            Act::Refuse(place) => {
                assert!(was.phase.is_live(), "too late: {}", context());
                assert_eq!(record.given & bit(place), 0, "decided twice: {}", context());
            }
            Act::Release(place) => {
                let approved = record.given & bit(place) != 0;
                assert!(approved, "released without an approval: {}", context());
                self.check_opens(of);
            }
            Act::Read => self.check_opens(of),
            Act::Veto | Act::Close | Act::Review => {}
            Act::Replay(_)
            | Act::Other(..)
            | Act::Stranger
            | Act::ForeignVeto
            | Act::ForeignRead
            | Act::ForeignClose => panic!("taken, but does not belong here: {}", context()),
        }
    }

    /// A case may be open here and now.
    fn check_opens(&self, of: usize) {
        let (case, record, now) = (&self.cases[of], &self.records[of], self.now());
        let approved = record.given.count_ones();
        let context = || format!("{:?} at {now} with {record:?}", case.phase);
        let enough = approved >= u32::from(case.threshold);
        assert!(enough, "opens too early: {}", context());
        assert!(!record.vetoed, "goes on after a veto: {}", context());
        let granted = case.granted_ms.expect("granted when it opens");
        let waited = granted >= case.timing.not_before_ms;
        assert!(waited, "opens too early: {}", context());
        assert!(
            granted < case.request.expires_ms,
            "lives beyond its expiry: {}",
            context()
        );
        let within = granted <= now && now < case.session_end();
        assert!(within, "open outside of its session: {}", context());
    }

    /// What must hold of a case after each step, given the one before.
    pub(super) fn check_step(&self, of: usize, before: &World) {
        let (case, record, was) = (&self.cases[of], &self.records[of], &before.cases[of]);
        let follows = may_follow(was.phase, case.phase);
        assert!(follows, "no such step: {was:?}\n{case:?}");
        assert!(case.stage >= was.stage);
        if case.granted_ms.is_some() {
            // Also when time granted and closed it in one step.
            let approved = record.given.count_ones();
            let enough = approved >= u32::from(case.threshold);
            assert!(enough, "opens too early: {case:?}");
        }
        let places = 0..case.roster.len();
        let given: BTreeSet<KinId> = places
            .filter(|place| record.given & bit(*place) != 0)
            .map(member)
            .collect();
        let same = case.approvals.keys().eq(&given);
        assert!(
            same,
            "approvals are not those that were given: {record:?}\n{case:?}"
        );
        let twice = case.refusals.keys().find(|kin| given.contains(kin));
        assert_eq!(twice, None, "decided twice: {case:?}");
    }

    /// What must hold of every state.
    pub(super) fn check_state(&self) {
        for (of, case) in self.cases.iter().enumerate() {
            if case.phase.opens() {
                self.check_opens(of);
            }
            if matches!(case.phase, Phase::Requested | Phase::Waiting) {
                let early = self.now() < case.request.expires_ms;
                assert!(early, "lives beyond its expiry: {case:?}");
                assert!(!self.records[of].vetoed, "goes on after a veto: {case:?}");
            }
            let ended = !self.is_hospital_gone || !case.phase.is_live();
            assert!(ended, "goes on without its hospital: {case:?}");
            // What kin have granted goes on.
            let ended = case.granted_ms.is_some() || !case.phase.is_live();
            assert!(
                !self.is_issuer_gone || ended,
                "goes on without the issuer: {case:?}"
            );
            // Nor does a case end for another reason than it says.
            let left = case.roster.len() - case.refusals.len();
            match case.phase {
                Phase::Refused => assert!(left < usize::from(case.threshold), "{case:?}"),
                Phase::Vetoed => assert!(self.records[of].vetoed, "{case:?}"),
                Phase::Expired => assert!(self.now() >= case.request.expires_ms, "{case:?}"),
                Phase::Revoked => assert!(self.is_hospital_gone || self.is_issuer_gone),
                Phase::Requested
                | Phase::Waiting
                | Phase::Granted
                | Phase::Open
                | Phase::Closed
                | Phase::Reviewed => {}
            }
            // Whatever people do or leave undone, time ends it.
            let mut later = Case::clone(case);
            later.on_time(FAR);
            assert!(!later.phase.is_live(), "{later:?}");
            assert!(may_follow(case.phase, later.phase), "{case:?}\n{later:?}");
            let due = later.phase == Phase::Closed;
            assert_eq!(due, later.overdue && later.review.is_none());
            assert_eq!(
                due,
                later.deadline().is_some(),
                "what is over waits for a verdict or for nothing"
            );
        }
    }
}

/// Whether a case in one state can come to another, in one step of people or of time, long as that may be.
fn may_follow(before: Phase, after: Phase) -> bool {
    use Phase::{
        Closed, Expired, Granted, Open, Refused, Requested, Reviewed, Revoked, Vetoed, Waiting,
    };
    match before {
        Requested => matches!(
            after,
            Requested | Waiting | Granted | Refused | Vetoed | Expired | Revoked
        ),
        Waiting => matches!(
            after,
            Waiting | Granted | Closed | Vetoed | Expired | Revoked
        ),
        Granted => matches!(after, Granted | Open | Closed),
        Open => matches!(after, Open | Closed),
        Closed => matches!(after, Closed | Reviewed),
        Reviewed | Refused | Vetoed | Expired | Revoked => before == after,
    }
}
