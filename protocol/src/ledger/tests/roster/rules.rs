//! Rules that change: stricter at once, looser after the kin could object.

use super::super::chain::*;
use super::*;
use crate::emergency::{Scope, WhoMayAsk};
use crate::ids::HospitalId;

fn hospital(n: u8) -> HospitalId {
    HospitalId::of(&key(n).verifying_key())
}

fn only(n: u8) -> WhoMayAsk {
    WhoMayAsk::Only(vec![hospital(n)])
}

impl House {
    fn rules(&self) -> Rules {
        Rules::of(&self.entry().enrolment)
    }

    /// A plan of rules like those in force, with a change.
    fn other_rules(&self, change: impl FnOnce(&mut Rules)) -> Plan {
        let mut rules = self.rules();
        change(&mut rules);
        let from = self.entry().rules_epoch;
        Plan::Rules(Box::new(RulesChange { from, rules }))
    }

    fn open_sensitive(&self) -> Plan {
        self.other_rules(|rules| rules.policies[2].openable = true)
    }

    /// Why the device's plan is refused.
    fn no_rules(&mut self, plan: Plan) -> RulesError {
        match self.refused(PATIENT, RosterStep::Propose(Box::new(plan))) {
            RosterError::Rules(error) => error,
            other => panic!("expected a refusal of the rules, got {other:?}"),
        }
    }

    fn request_sensitive(&mut self) -> crate::emergency::Request {
        self.chain.request_with(HOSPITAL, |request| {
            let up_to = request.scopes[0].up_to;
            request.scopes = vec![Scope {
                tier: Tier::Sensitive,
                up_to,
                only: Vec::new(),
            }];
        })
    }
}

#[test]
fn stricter_rules_count_at_once_and_a_live_case_keeps_its_own() {
    let mut house = House::new();
    let case = house.chain.open_case();
    let timing = house.chain.ledger.state().case(case).expect("live").timing;
    let stricter = house.other_rules(|rules| {
        rules.policies[0].who = only(OTHER_HOSPITAL);
        rules.policies[0].session_ms_max = Millis(1_000);
        rules.policies[0].waiting_ms = Millis(5_000);
    });
    assert_eq!(
        house.propose(PATIENT, stricter),
        [RosterEvent::RulesChanged(Epoch(2))]
    );
    assert_eq!(
        (house.entry().epoch, house.entry().rules_epoch),
        (Epoch(1), Epoch(2))
    );
    let request = house.chain.request();
    assert!(matches!(
        house.chain.refused(HOSPITAL, request),
        Rejection::Request { field } if field.starts_with("hospital")
    ));
    for n in [KIN[0], KIN[1]] {
        let approval = house.chain.approval(case);
        house.chain.act(n, approval);
    }
    assert_eq!(house.chain.phase(case), Phase::Granted);
    let state = house.chain.ledger.state();
    let live = state.case(case).expect("live");
    assert_eq!((live.timing, live.rules_epoch), (timing, Epoch(1)));
    assert_eq!(
        live.session_end(),
        live.granted_ms.expect("granted").plus(60_000)
    );
    let kept = state.roster_of(patient(), live.epochs()).expect("provable");
    assert_eq!(kept.tiers[0].policy.who, WhoMayAsk::AnyAccredited);
    let request = house.chain.request_of(OTHER_HOSPITAL);
    let case = house.chain.opened(OTHER_HOSPITAL, request);
    let state = house.chain.ledger.state();
    let case = state.case(case).expect("live");
    assert_eq!(
        (case.rules_epoch, case.timing.session_ms),
        (Epoch(2), Millis(1_000))
    );
    assert!(state.roster_of(patient(), case.epochs()).is_some());
}

#[test]
fn looser_rules_wait_until_kin_could_object() {
    let mut house = House::new();
    assert_eq!(
        house.propose(PATIENT, house.open_sensitive()),
        [RosterEvent::Proposed(Proposer::Patient)]
    );
    let request = house.request_sensitive();
    assert!(matches!(
        house.chain.refused(HOSPITAL, request),
        Rejection::Request { field } if field.starts_with("tier")
    ));
    assert_eq!(house.pass(900), []);
    assert_eq!(house.pass(200), [RosterEvent::RulesChanged(Epoch(2))]);
    assert!(house.chain.ledger.state().handover(patient()).is_none());
    assert!(house.rules().policies[2].openable);
    let request = house.request_sensitive();
    house.chain.opened(HOSPITAL, request);
    // Shut again at once, in the middle of it.
    let shut = house.other_rules(|rules| rules.policies[2].openable = false);
    assert_eq!(
        house.propose(PATIENT, shut),
        [RosterEvent::RulesChanged(Epoch(3))]
    );
}

#[test]
fn kin_stop_a_thief_who_loosens_the_rules() {
    let mut house = House::new();
    let before = house.rules();
    house.propose(PATIENT, house.open_sensitive());
    let handover = house.id();
    house.act(KIN[0], RosterStep::Object { handover });
    assert_eq!(
        house.act(KIN[1], RosterStep::Object { handover }),
        [
            RosterEvent::Objected(kin(KIN[1])),
            RosterEvent::Failed(Failure::Objected)
        ]
    );
    assert_eq!(house.rules(), before);
    let until = house.now().plus(RULES.objection_ms.0 + RULES.step_ms.0);
    let again = house.open_sensitive();
    assert_eq!(house.no_rules(again), RulesError::Unheard { until });
    // The kin can say who speaks for the patient meanwhile, and stricter rules are nobody's harm.
    let stricter = house.other_rules(|rules| rules.policies[0].waiting_ms = Millis(1));
    assert_eq!(
        house.propose(PATIENT, stricter),
        [RosterEvent::RulesChanged(Epoch(2))]
    );
    house.pass(RULES.objection_ms.0 + RULES.step_ms.0);
    house.propose(PATIENT, house.open_sensitive());
    // The patient, who has the phone back, needs nobody to stop it.
    let handover = house.id();
    assert_eq!(
        house.act(PATIENT, RosterStep::Veto { handover }),
        [RosterEvent::Failed(Failure::Vetoed)]
    );
}

#[test]
fn kin_who_could_open_everything_need_no_time_to_object() {
    let mut house = House::new();
    house.propose(PATIENT, house.open_sensitive());
    let handover = house.id();
    let support = RosterStep::Support { handover };
    assert_eq!(
        house.act(KIN[0], support.clone()),
        [RosterEvent::Supported(kin(KIN[0]))]
    );
    let supported = house.act(KIN[2], support);
    assert!(matches!(
        supported[..],
        [RosterEvent::Supported(_), RosterEvent::Authorised(_)]
    ));
    assert_eq!(house.pass(1), [RosterEvent::RulesChanged(Epoch(2))]);
}

#[test]
fn stricter_rules_end_looser_ones_that_wait() {
    let mut house = House::new();
    house.propose(PATIENT, house.open_sensitive());
    let stricter = house.other_rules(|rules| rules.policies[1].who = only(HOSPITAL));
    assert_eq!(
        house.propose(PATIENT, stricter),
        [
            RosterEvent::Failed(Failure::Superseded),
            RosterEvent::RulesChanged(Epoch(2))
        ]
    );
    assert_eq!(house.pass(RULES.objection_ms.0 + 1), []);
    assert!(!house.rules().policies[2].openable);
    assert_eq!(house.rules().policies[1].who, only(HOSPITAL));
}

#[test]
fn times_of_the_roster_wait_whichever_way_they_change() {
    let changes: [fn(&mut Rules); 4] = [
        |rules| rules.roster.objection_ms = Millis(1),
        |rules| rules.roster.objection_ms = Millis(9_000),
        // It is the thief's time against the kin.
        |rules| rules.roster.veto_ms = Millis(900_000),
        |rules| rules.escalation.second_circle_after_ms = Millis(601_000),
    ];
    for change in changes {
        let mut house = House::new();
        let plan = house.other_rules(change);
        assert_eq!(
            house.propose(PATIENT, plan),
            [RosterEvent::Proposed(Proposer::Patient)]
        );
        assert_eq!(
            house.pass(1_100),
            [RosterEvent::RulesChanged(Epoch(2))],
            "by the delay of before"
        );
    }
}

#[test]
fn a_drill_that_is_to_come_more_often_comes_sooner() {
    let mut house = House::new();
    let plan = house.other_rules(|rules| {
        (rules.roster.drill_every_ms, rules.roster.refresh_every_ms) =
            (Millis(5_000), Millis(4_000));
    });
    house.propose(PATIENT, plan);
    house.pass(1_100);
    assert_eq!(house.pass(4_000), [RosterEvent::RefreshDue]);
    let drill = house.pass(1_000);
    assert!(matches!(drill[..], [RosterEvent::DrillDue(_)]), "{drill:?}");
}

#[test]
fn rules_are_the_patients_alone_and_made_from_those_in_force() {
    let mut house = House::new();
    let stricter =
        |house: &House| house.other_rules(|rules| rules.policies[0].session_ms_max.0 -= 1);
    for plan in [stricter(&house), house.open_sensitive()] {
        let role = "patient's device";
        assert_eq!(
            house.refused(KIN[0], RosterStep::Propose(Box::new(plan))),
            RosterError::NotAllowed { role }
        );
    }
    let old = stricter(&house);
    house.propose(PATIENT, old.clone());
    let (found, due) = (Epoch(1), Epoch(2));
    assert_eq!(house.no_rules(old), RulesError::Stale { found, due });
    let same = house.other_rules(|_| ());
    assert_eq!(house.no_rules(same), RulesError::Same);
    type Change = fn(&mut Rules);
    let bad: [(Change, RulesError); 5] = [
        (|rules| rules.policies.truncate(2), RulesError::Tiers),
        (
            |rules| rules.policies[0].openable = false,
            RulesError::Policy {
                tier: Tier::Summary,
            },
        ),
        (
            |rules| rules.policies[1].who = WhoMayAsk::Only(Vec::new()),
            RulesError::Policy { tier: Tier::Chart },
        ),
        (
            |rules| rules.escalation.remind_after_ms = Millis(0),
            RulesError::Escalation,
        ),
        (|rules| rules.roster.step_ms = Millis(0), RulesError::Roster),
    ];
    for (change, error) in bad {
        let plan = house.other_rules(change);
        assert_eq!(house.no_rules(plan), error);
    }
    // A waiting change of the roster does not keep the patient from being stricter.
    house.propose(PATIENT, new_roster());
    let plan = house.open_sensitive();
    assert!(matches!(
        house.refused(PATIENT, RosterStep::Propose(Box::new(plan))),
        RosterError::Busy { .. }
    ));
    let under_way = house.id();
    let plan = stricter(&house);
    assert_eq!(
        house.propose(PATIENT, plan),
        [RosterEvent::RulesChanged(Epoch(3))]
    );
    assert_eq!(house.id(), under_way);
}

#[test]
fn other_shares_keep_the_rules_that_came_meanwhile() {
    let mut house = House::new();
    house.refresh_dealt();
    let stricter = house.other_rules(|rules| rules.policies[0].who = only(HOSPITAL));
    house.propose(PATIENT, stricter);
    house.renew();
    for n in KIN {
        house.accept(n);
    }
    assert_eq!(
        (house.entry().epoch, house.entry().rules_epoch),
        (Epoch(2), Epoch(2))
    );
    assert_eq!(house.rules().policies[0].who, only(HOSPITAL));
}
