//! The rules of section 6 about blocks, masters and credit: one ledger beside the cluster judges every block once.

use crate::credit::{CREDIT_MAX, CreditReason, LAG, OPEN_EVERY, Standings};
use crate::ids::ValidatorId;
use crate::ledger::{Block, Effects, Ledger, Profile};
use crate::testing::invariants::Violation;
use crate::units::{Credit, Height};
use std::collections::BTreeSet;

/// The agreed state after every height.
pub(super) struct Referee {
    ledgers: Vec<Ledger>,
    credited: BTreeSet<(ValidatorId, Height)>,
}

impl Referee {
    pub(super) fn new(genesis: Ledger) -> Self {
        Self {
            ledgers: vec![genesis],
            credited: BTreeSet::new(),
        }
    }

    pub(super) fn at(&self, height: u64) -> Option<&Ledger> {
        self.ledgers.get(usize::try_from(height).ok()?)
    }

    /// An honest node has committed a block. The first one at a height is judged here; that the others are the same is
    /// I1 and I8.
    pub(super) fn on_block(&mut self, block: &Block) -> Result<(), Violation> {
        let height = block.header.height;
        let head = self.ledgers.last().unwrap();
        if height <= head.height() {
            return Ok(());
        }
        let mut next = head.clone();
        let ranked = self.ledgers[self.ledgers.len().saturating_sub(1 + LAG as usize)].standings();
        check_leaders(next.standings(), ranked)?;
        let before = next.standings().clone();
        if let Err(error) = next.check_block(block) {
            return violated("I2", format!("height {height}: {error:?}"));
        }
        let effects = match next.execute(block) {
            Ok(effects) => effects,
            Err(error) => return violated("I2", format!("height {height}: {error:?}")),
        };
        self.check_credit(&before, &effects, height)?;
        self.ledgers.push(next);
        Ok(())
    }

    fn check_credit(
        &mut self,
        before: &Standings,
        effects: &Effects,
        height: Height,
    ) -> Result<(), Violation> {
        let mut gained = 0u64;
        for change in &effects.credit {
            let gain = change.after.minus(change.before.0);
            gained += u64::from(gain.0);
            if change.after > CREDIT_MAX {
                return violated("I15", format!("height {height}: {change:?}"));
            }
            if let CreditReason::Voted { height: voted } = change.reason
                && !self.credited.insert((change.validator, voted))
            {
                return violated("I16", format!("a vote is credited twice: {change:?}"));
            }
            let jailed = before
                .record(change.validator)
                .is_some_and(|record| record.is_jailed(height));
            if jailed && gain > Credit(0) {
                return violated(
                    "I18",
                    format!("height {height}: {change:?} of a jailed one"),
                );
            }
        }
        // Votes of LATE + 1 heights, an author, and the drift.
        let n = before.rows().count() as u64;
        if gained > n * 5 * 200 + 2_000 + n * 1_000 {
            return violated("I16", format!("height {height} gives {gained} in all"));
        }
        Ok(())
    }
}

fn violated(rule: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation { rule, what })
}

/// I11 to I14 for the height after `standings`; `ranked` are the standings that rank it. I13 for view 1; the later windows
/// are tested beside the order itself.
fn check_leaders(standings: &Standings, ranked: &Standings) -> Result<(), Violation> {
    let set = standings.validators();
    let (n, f) = (set.n(), set.f());
    let height = standings.height().plus(1);
    let (order, candidates) = (standings.leader_order(), standings.leader_set());
    let eligible: BTreeSet<_> = ranked
        .rows()
        .filter(|row| row.eligible)
        .map(|row| row.id)
        .collect();
    let tenth = n.div_ceil(10).max(1);
    let (k, opens) = match standings.profile() {
        Profile::Literal => (tenth, false),
        Profile::Balanced => (tenth.max(n.min(3)), true),
        Profile::Hardened => (tenth.max(f + 1), true),
        // For measurements: they know no candidates.
        Profile::RoundRobin | Profile::Random | Profile::Fixed => return Ok(()),
    };
    let open = opens && height.0.is_multiple_of(OPEN_EVERY);
    let size = if open {
        eligible.len()
    } else {
        k.min(eligible.len())
    };
    if candidates.len() != size {
        let found = candidates.len();
        return violated(
            "I11",
            format!("height {height}: {found} candidates instead of {size}"),
        );
    }
    if order.len() != n || order.iter().copied().collect::<BTreeSet<_>>() != set.ids().collect() {
        return violated(
            "I12",
            format!("height {height}: {order:?} is no permutation"),
        );
    }
    if size > 0 && !candidates.contains(&order[0]) {
        return violated(
            "I13",
            format!("height {height}: {} is no candidate", order[0]),
        );
    }
    let leading: BTreeSet<_> = order.iter().take(eligible.len()).copied().collect();
    if leading != eligible {
        return violated(
            "I14",
            format!("height {height}: {order:?}, eligible {eligible:?}"),
        );
    }
    Ok(())
}
