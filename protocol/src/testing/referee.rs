//! The rules of section 6 about blocks, masters and credit: one ledger beside the cluster judges every block once.

use crate::credit::{
    CHANGE_DELAY, CREDIT_MAX, CreditReason, LAG, OPEN_EVERY, Standings, ValidatorSet,
};
use crate::crypto::HashWriter;
use crate::ids::ValidatorId;
use crate::ledger::{Block, Effects, Ledger, Profile};
use crate::testing::invariants::Violation;
use crate::units::{Credit, Height};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The agreed state after every height.
pub(super) struct Referee {
    ledgers: Vec<Ledger>,
    credited: BTreeSet<(ValidatorId, Height)>,
    /// Authors of all blocks, the newest last.
    authors: Vec<ValidatorId>,
}

impl Referee {
    pub(super) fn new(genesis: Ledger) -> Self {
        Self {
            ledgers: vec![genesis],
            credited: BTreeSet::new(),
            authors: Vec::new(),
        }
    }

    pub(super) fn at(&self, height: u64) -> Option<&Ledger> {
        self.ledgers.get(usize::try_from(height).ok()?)
    }

    /// The state after the highest block.
    pub(super) fn head(&self) -> &Ledger {
        &self.ledgers[self.ledgers.len() - 1]
    }

    /// The validators that vote on `height`: known up to two heights above the head.
    pub(super) fn validators_at(&self, height: Height) -> Option<&ValidatorSet> {
        let standings = self.head().standings();
        if height > standings.height() {
            let known = height <= standings.height().plus(CHANGE_DELAY);
            return known.then(|| standings.validators_at(height));
        }
        let before = self.at(height.0.saturating_sub(1))?;
        Some(before.standings().validators_at(height))
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
        check_leaders(next.standings(), ranked, &self.authors)?;
        let before = next.standings().clone();
        if let Err(error) = next.check_block(block) {
            return violated("I2", format!("height {height}: {error:?}"));
        }
        let effects = match next.execute(block) {
            Ok(effects) => effects,
            Err(error) => return violated("I2", format!("height {height}: {error:?}")),
        };
        self.check_credit(&before, &effects, height)?;
        self.authors.push(block.header.author);
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

/// I11 to I14 for the height after `standings`; `ranked` are the standings that rank it, `authors` wrote the blocks so far.
fn check_leaders(
    standings: &Standings,
    ranked: &Standings,
    authors: &[ValidatorId],
) -> Result<(), Violation> {
    let set = standings.validators();
    let (n, f) = (set.n(), set.f());
    let height = standings.height().plus(1);
    let (order, candidates) = (standings.leader_order(), standings.leader_set());
    let eligible: BTreeSet<_> = ranked
        .rows()
        .filter(|row| row.eligible && set.contains(row.id))
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
    let rank = rank(standings, ranked, authors, k);
    for (place, id) in order.iter().take(rank.len()).enumerate() {
        let window = size << place.min(16);
        if !rank.iter().take(window).any(|ranked| ranked == id) {
            let view = place + 1;
            return violated(
                "I13",
                format!(
                    "height {height}, view {view}: {id} is not among the first {window} of {rank:?}"
                ),
            );
        }
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

/// The eligible in the order of spec section 3, worked out from the rows that tables show and from the chain, beside the
/// code that nodes run.
fn rank(
    standings: &Standings,
    ranked: &Standings,
    authors: &[ValidatorId],
    k: usize,
) -> Vec<ValidatorId> {
    let literal = standings.profile() == Profile::Literal;
    let height = standings.height().plus(1);
    let mut rank: Vec<_> = ranked
        .rows()
        .filter(|row| row.eligible && standings.validators().contains(row.id))
        .map(|row| {
            let step = if literal {
                row.credit.0
            } else {
                (row.credit.0 / 100_000).min(7)
            };
            let mut tie = HashWriter::new("kithkin/tie/1");
            tie.field(standings.seed())
                .number(height.0)
                .number(u64::from(row.id.0));
            (Reverse(step), tie.finish(), row.id)
        })
        .collect();
    rank.sort_unstable();
    let mut rank: Vec<_> = rank.into_iter().map(|(_, _, id)| id).collect();
    if !literal {
        let cooling = standings.validators().f().min(k - 1);
        for author in &authors[authors.len().saturating_sub(cooling)..] {
            if let Some(place) = rank.iter().position(|id| id == author) {
                let id = rank.remove(place);
                rank.push(id);
            }
        }
    }
    rank
}
