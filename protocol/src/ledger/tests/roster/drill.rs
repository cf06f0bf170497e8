//! Readiness drills.

use super::super::chain::*;
use super::*;
use crate::roster::{Readiness, Silence};
use crate::sharing::{DrillAnswer, DrillContext};

impl House {
    /// What kin `n` answers to the present drill.
    fn answers(&mut self, n: u8) -> Vec<DrillAnswer> {
        let entry = self.entry().clone();
        let (_, seed) = entry.drill.round.expect("begun");
        let chain = self.chain.ledger.chain();
        let tiers = Tier::ALL.into_iter().enumerate();
        tiers
            .map(|(place, tier)| {
                let drill = DrillContext {
                    chain,
                    patient: patient(),
                    tier,
                    epoch: entry.epoch,
                    seed,
                };
                let commitments = &entry.enrolment.tiers[place].commitments;
                let share = &self.shares[&n][place];
                drill
                    .answer(share, commitments, &mut self.chain.rng)
                    .expect("a good share")
            })
            .collect()
    }

    fn prove(&mut self, n: u8) {
        let answers = self.answers(n);
        let (height, _) = self.entry().drill.round.expect("begun");
        let proved = self.act(n, RosterStep::Prove { height, answers });
        assert_eq!(proved, [RosterEvent::Proved(kin(n))]);
    }

    /// Lets a drill end; who let it pass.
    fn missed(&mut self) -> Vec<KinId> {
        let events = self.pass(RULES.drill_every_ms.0);
        let due = |event: &RosterEvent| matches!(event, RosterEvent::DrillDue(_));
        assert!(events.iter().any(due), "{events:?}");
        events
            .into_iter()
            .filter_map(|event| match event {
                RosterEvent::Missed(kin) => Some(kin),
                _ => None,
            })
            .collect()
    }

    pub(super) fn now(&self) -> Millis {
        self.chain.ledger.state().meta().time_ms
    }

    fn readiness(&self) -> Readiness {
        Readiness::of(self.entry())
    }
}

#[test]
fn a_drill_shows_whose_shares_are_alive() {
    let mut house = House::new();
    let events = house.pass(2_000_000);
    let height = house.chain.ledger.height();
    assert!(events.contains(&RosterEvent::DrillDue(height)));
    let good = house.answers(KIN[0]);
    let prove = |answers: &[DrillAnswer], height| RosterStep::Prove {
        height,
        answers: answers.to_vec(),
    };
    let early = height.plus(1);
    assert_eq!(
        house.refused(KIN[0], prove(&good, early)),
        RosterError::NoDrill { height: early }
    );
    assert!(matches!(
        house.refused(KIN[1], prove(&good, height)),
        RosterError::Drill { .. }
    ));
    assert!(matches!(
        house.refused(KIN[0], prove(&good[..2], height)),
        RosterError::Drill { .. }
    ));
    assert_eq!(
        house.act(KIN[0], prove(&good, height)),
        [RosterEvent::Proved(kin(KIN[0]))]
    );
    assert!(matches!(
        house.refused(KIN[0], prove(&good, height)),
        RosterError::Twice { .. }
    ));
    let proved = &house.entry().drill.proved;
    assert_eq!(proved.keys().copied().collect::<Vec<_>>(), [index(1)]);
}

#[test]
fn a_kin_that_lets_drills_pass_stands_on_chain_until_it_answers() {
    let mut house = House::new();
    assert_eq!(house.missed(), [], "nothing was asked before the first");
    assert_eq!(
        (house.readiness().alive, house.readiness().last_ms),
        (0, None)
    );
    let first = house.now();
    house.prove(KIN[0]);
    house.prove(KIN[1]);
    let proved = house.now();
    assert_eq!(house.missed(), [kin(KIN[2])]);
    let readiness = house.readiness();
    assert_eq!(
        (readiness.kin, readiness.needed, readiness.alive),
        (3, 2, 2)
    );
    assert_eq!(readiness.last_ms, Some(proved));
    let silent = |since_ms, drills, ever| Silence {
        kin: kin(KIN[2]),
        since_ms,
        drills,
        ever,
    };
    assert_eq!(readiness.silent, [silent(first, 1, false)]);
    house.prove(KIN[0]);
    house.prove(KIN[1]);
    assert_eq!(house.missed(), [kin(KIN[2])]);
    assert_eq!(house.readiness().silent, [silent(first, 2, false)]);

    house.prove(KIN[2]);
    let back = house.now();
    assert!(!house.readiness().is_wanting());
    assert_eq!(house.readiness().alive, 3);
    house.prove(KIN[0]);
    house.prove(KIN[1]);
    assert_eq!(house.missed(), []);
    house.prove(KIN[0]);
    house.prove(KIN[1]);
    assert_eq!(house.missed(), [kin(KIN[2])]);
    assert_eq!(house.readiness().silent, [silent(back, 1, true)]);
}

#[test]
fn other_shares_in_the_middle_of_a_drill_are_nobodys_failure() {
    let mut house = House::new();
    house.missed();
    for n in [KIN[0], KIN[1]] {
        house.prove(n);
    }
    house.refresh();
    assert!(house.entry().drill.proved.is_empty());
    assert_eq!(house.missed(), [kin(KIN[2])], "the proofs of before count");
}
