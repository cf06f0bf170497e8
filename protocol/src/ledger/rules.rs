//! What a patient lays down about who may ask for what, and how long everything takes; and how that changes later (ADR 43).
//!
//! A device can be stolen, so what loosens the rules waits for the kin's objections; what makes them stricter counts at
//! once. When a change counts is in [`super::execute`], the delay in [`crate::roster`].

use crate::crypto::Digest;
use crate::emergency::{Escalation, TierPolicy, WhoMayAsk};
use crate::ledger::enrolment::Enrolment;
use crate::ledger::patient::Patient;
use crate::roster::RosterRules;
use crate::units::{Epoch, Millis, Tier};
use serde::{Deserialize, Serialize};

/// Everything that a patient lays down. Who is kin, thresholds and keys are none of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The rule of each tier, in the order of [`Tier::ALL`].
    pub policies: Vec<TierPolicy>,
    /// What happens while kin don't answer.
    pub escalation: Escalation,
    /// How much time changes of the roster take, and how often shares are refreshed and tried.
    pub roster: RosterRules,
}

/// Other rules, as the patient's device proposes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesChange {
    /// The epoch of the rules that they were made from: those that are in force.
    pub from: Epoch,
    /// All rules, also those that stay.
    pub rules: Rules,
}

/// A change of the rules that does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Made from other rules than those that are in force.
    #[error("they were made from rules {found}, in force are rules {due}; look at those first")]
    Stale {
        /// What it names.
        found: Epoch,
        /// What is in force.
        due: Epoch,
    },
    /// The tiers' rules are not three.
    #[error("rules are needed for summary, chart and sensitive, in this order")]
    Tiers,
    /// A tier's rule outside its bounds.
    #[error("tier {tier}: the rule is outside its bounds")]
    Policy {
        /// The tier.
        tier: Tier,
    },
    /// The times of the escalation are outside their bounds.
    #[error(
        "kin are asked again after a second or more, and the second circle after that, within a day"
    )]
    Escalation,
    /// Delays or periods are outside their bounds.
    #[error("the rules about the roster are outside their bounds")]
    Roster,
    /// They are in force already.
    #[error("these rules are in force already")]
    Same,
    /// The keys lay on a lost device.
    #[error("the keys lay on the lost device; deal other keys first, then loosen the rules")]
    Recovering,
    /// The kin objected to what this device proposed last.
    #[error("the kin objected to looser rules; this device may propose such again at {until}")]
    Unheard {
        /// From when on it may, block time.
        until: Millis,
    },
}

impl Rules {
    /// What is in force with an enrolment.
    #[must_use]
    pub fn of(enrolment: &Enrolment) -> Self {
        let tiers = enrolment.tiers.iter();
        Self {
            policies: tiers.map(|shares| shares.policy.clone()).collect(),
            escalation: enrolment.escalation,
            roster: enrolment.rules,
        }
    }

    /// Puts them in force. The enrolment has all tiers, and so have these.
    pub(crate) fn put_into(&self, enrolment: &mut Enrolment) {
        for (shares, policy) in enrolment.tiers.iter_mut().zip(&self.policies) {
            shares.policy = policy.clone();
        }
        enrolment.escalation = self.escalation;
        enrolment.rules = self.roster;
    }

    /// Checks that a patient may lay these down.
    ///
    /// # Errors
    /// The first [`RulesError`] found.
    pub fn check(&self) -> Result<(), RulesError> {
        if self.policies.len() != Tier::ALL.len() {
            return Err(RulesError::Tiers);
        }
        for (tier, policy) in Tier::ALL.into_iter().zip(&self.policies) {
            if !policy.is_within_bounds(tier) {
                return Err(RulesError::Policy { tier });
            }
        }
        if !self.escalation.is_within_bounds() {
            return Err(RulesError::Escalation);
        }
        let is_bounded = self.roster.is_bounded();
        is_bounded.then_some(()).ok_or(RulesError::Roster)
    }

    /// Whether nothing opens under these that would not open under those `before`, or earlier, or for longer, and the times
    /// of the roster stay. Those are no matter of stricter and looser: a longer delay protects from a thief who changes the
    /// kin and hinders the kin who put the thief out.
    #[must_use]
    pub fn only_tighten(&self, before: &Self) -> bool {
        let mut policies = self.policies.iter().zip(&before.policies);
        self.roster == before.roster
            && self.escalation.second_circle_after_ms >= before.escalation.second_circle_after_ms
            && self.escalation.remind_after_ms <= before.escalation.remind_after_ms
            && self.policies.len() == before.policies.len()
            && policies.all(|(policy, before)| {
                policy.openable <= before.openable
                    && policy.who.is_within(&before.who)
                    && policy.waiting_ms >= before.waiting_ms
                    && policy.session_ms_max <= before.session_ms_max
            })
    }

    /// What is other than `before`, one line for each, for those who are to object or not.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let policies = self.policies.iter().zip(&before.policies);
        for (tier, (policy, before)) in Tier::ALL.into_iter().zip(policies) {
            if policy.openable != before.openable {
                let may = if policy.openable { "may" } else { "may not" };
                lines.push(format!("{tier} {may} be opened"));
            }
            if policy.who != before.who {
                lines.push(format!("{tier} may be asked for by {}", who(&policy.who)));
            }
            let mut span = |what: &str, now: Millis, then: Millis| {
                if now != then {
                    lines.push(format!(
                        "{tier}: {what} {} instead of {}",
                        seconds(now),
                        seconds(then)
                    ));
                }
            };
            span("waits", policy.waiting_ms, before.waiting_ms);
            span(
                "stays open for",
                policy.session_ms_max,
                before.session_ms_max,
            );
        }
        let (now, then) = (self.escalation, before.escalation);
        let (roster, roster_then) = (self.roster, before.roster);
        let spans = [
            (
                "kin are asked again after",
                now.remind_after_ms,
                then.remind_after_ms,
            ),
            (
                "the second circle may be asked after",
                now.second_circle_after_ms,
                then.second_circle_after_ms,
            ),
            (
                "kin may object for",
                roster.objection_ms,
                roster_then.objection_ms,
            ),
            (
                "the patient may veto for",
                roster.veto_ms,
                roster_then.veto_ms,
            ),
            ("dealing may take", roster.step_ms, roster_then.step_ms),
            (
                "a complaint is answered within",
                roster.answer_ms,
                roster_then.answer_ms,
            ),
            (
                "shares are refreshed every",
                roster.refresh_every_ms,
                roster_then.refresh_every_ms,
            ),
            (
                "shares are tried every",
                roster.drill_every_ms,
                roster_then.drill_every_ms,
            ),
        ];
        for (what, now, then) in spans {
            if now != then {
                lines.push(format!(
                    "{what} {} instead of {}",
                    seconds(now),
                    seconds(then)
                ));
            }
        }
        lines
    }
}

impl RulesChange {
    /// Checks that the patient's device may propose this now.
    ///
    /// # Errors
    /// The first [`RulesError`] found.
    pub fn check(&self, entry: &Patient) -> Result<(), RulesError> {
        let (found, due) = (self.from, entry.rules_epoch);
        if found != due {
            return Err(RulesError::Stale { found, due });
        }
        self.rules.check()?;
        let before = Rules::of(&entry.enrolment);
        let differs = before != self.rules;
        differs.then_some(()).ok_or(RulesError::Same)
    }
}

impl Patient {
    /// Whether the kin and the sponsor have signed the enrolment with this digest. Rules may have changed since.
    #[must_use]
    pub fn was_enrolled_as(&self, digest: Digest) -> bool {
        self.signed == digest
    }
}

impl Enrolment {
    /// Whether the same people hold shares by the same commitments, whatever the rules say.
    #[must_use]
    pub fn has_shares_of(&self, other: &Self) -> bool {
        let commitments = |of: &Self| -> Vec<_> {
            let tiers = of.tiers.iter();
            tiers
                .map(|shares| (shares.tier, shares.commitments.clone()))
                .collect()
        };
        self.roster == other.roster && commitments(self) == commitments(other)
    }
}

fn who(who: &WhoMayAsk) -> String {
    match who {
        WhoMayAsk::AnyAccredited => "every accredited hospital".to_owned(),
        WhoMayAsk::Only(listed) => {
            let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
            format!("{} alone", listed.join(", "))
        }
    }
}

fn seconds(span: Millis) -> String {
    humantime::format_duration(std::time::Duration::from_millis(span.0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::HospitalId;
    use proptest::prelude::*;

    fn hospital(n: u8) -> HospitalId {
        HospitalId([n; 32])
    }

    fn policy() -> impl Strategy<Value = TierPolicy> {
        let who = prop_oneof![
            Just(WhoMayAsk::AnyAccredited),
            prop::collection::btree_set(0u8..4, 1..4)
                .prop_map(|listed| WhoMayAsk::Only(listed.into_iter().map(hospital).collect())),
        ];
        (any::<bool>(), who, 0u64..3, 1u64..4).prop_map(|(openable, who, waiting, session)| {
            TierPolicy {
                openable,
                who,
                waiting_ms: Millis(waiting),
                session_ms_max: Millis(session),
            }
        })
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let escalation = (1_000u64..1_003, 1_003u64..1_006);
        let roster = prop_oneof![Just(48u64), Just(0)];
        (prop::collection::vec(policy(), 3), escalation, roster).prop_map(
            |(policies, (remind, second), objection)| Rules {
                policies,
                escalation: Escalation {
                    remind_after_ms: Millis(remind),
                    second_circle_after_ms: Millis(second),
                },
                roster: RosterRules {
                    objection_ms: Millis(objection),
                    ..RosterRules::default()
                },
            },
        )
    }

    /// All that `rules` decide of a request for one tier.
    fn may(rules: &Rules, tier: usize, asks: HospitalId) -> Option<(Millis, Millis)> {
        let policy = &rules.policies[tier];
        let may = policy.openable && policy.who.allows(asks);
        may.then_some((policy.waiting_ms, policy.session_ms_max))
    }

    proptest! {
        #[test]
        fn what_counts_at_once_opens_nothing_more(now in rules(), before in rules()) {
            prop_assert!(before.only_tighten(&before));
            prop_assert_eq!(now == before, now.changes_since(&before).is_empty());
            let opens_no_more = (0..3).all(|tier| (0..5).map(hospital).all(|asks| {
                match (may(&now, tier, asks), may(&before, tier, asks)) {
                    (Some((waits, lasts)), Some((waited, lasted))) => waits >= waited && lasts <= lasted,
                    (Some(_), None) => false,
                    (None, _) => true,
                }
            }));
            let second = now.escalation.second_circle_after_ms >= before.escalation.second_circle_after_ms;
            if now.only_tighten(&before) {
                prop_assert!(opens_no_more && second && now.roster == before.roster);
                prop_assert!(now == before || !before.only_tighten(&now));
            }
        }

        #[test]
        fn stricter_and_stricter_is_stricter(a in rules(), b in rules(), c in rules()) {
            if a.only_tighten(&b) && b.only_tighten(&c) {
                prop_assert!(a.only_tighten(&c));
            }
        }

        /// Each single step to what is looser has to wait.
        #[test]
        fn one_looser_thing_is_enough_to_wait(before in rules(), tier in 0usize..3, which in 0u8..6) {
            let mut now = before.clone();
            let policy = &mut now.policies[tier];
            match which {
                0 => policy.openable = true,
                1 => policy.who = WhoMayAsk::AnyAccredited,
                2 => policy.waiting_ms.0 = policy.waiting_ms.0.saturating_sub(1),
                3 => policy.session_ms_max.0 += 1,
                4 => now.escalation.second_circle_after_ms.0 -= 1,
                _ => now.roster.objection_ms.0 += 1,
            }
            prop_assert!(now == before || !now.only_tighten(&before));
        }
    }

    #[test]
    fn changes_are_told_in_words() {
        let policies = Tier::ALL.map(TierPolicy::default_for).to_vec();
        let before = Rules {
            policies,
            escalation: Escalation::default(),
            roster: RosterRules::default(),
        };
        let mut now = before.clone();
        now.policies[2].openable = true;
        now.policies[0].waiting_ms = Millis(60_000);
        now.policies[1].who = WhoMayAsk::Only(vec![hospital(1)]);
        now.roster.objection_ms = Millis(0);
        assert_eq!(
            now.changes_since(&before),
            [
                "summary: waits 1m instead of 0s".to_owned(),
                format!("chart may be asked for by {} alone", hospital(1)),
                "sensitive may be opened".to_owned(),
                "kin may object for 0s instead of 2days".to_owned(),
            ]
        );
    }
}
