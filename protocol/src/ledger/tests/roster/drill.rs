//! Readiness drills.

use super::super::chain::*;
use super::*;

#[test]
fn a_drill_shows_whose_shares_are_alive() {
    let mut house = House::new();
    let events = house.pass(2_000_000);
    let height = house.chain.ledger.height();
    assert!(events.contains(&RosterEvent::DrillDue(height)));
    let (_, seed) = house.entry().drill.round.expect("begun");
    let answers = |house: &mut House, n: u8| -> Vec<crate::sharing::DrillAnswer> {
        let entry = house.entry().clone();
        let chain = house.chain.ledger.chain();
        let tiers = Tier::ALL.into_iter().enumerate();
        tiers
            .map(|(place, tier)| {
                let drill = crate::sharing::DrillContext {
                    chain,
                    patient: patient(),
                    tier,
                    epoch: entry.epoch,
                    seed,
                };
                let commitments = &entry.enrolment.tiers[place].commitments;
                let share = &house.shares[&n][place];
                drill
                    .answer(share, commitments, &mut house.chain.rng)
                    .expect("a good share")
            })
            .collect()
    };
    let good = answers(&mut house, KIN[0]);
    let prove = |answers: &[crate::sharing::DrillAnswer], height| RosterStep::Prove {
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
