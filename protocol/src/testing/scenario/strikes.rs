//! [`Run`] continued: how each kind of fault strikes.

use super::Run;
use crate::ids::ValidatorId;
use crate::ledger::Change;
use crate::testing::dice::Dice;
use crate::testing::fault::Fault;
use crate::testing::setup::Network;
use std::collections::BTreeSet;

/// What becomes of a validator.
#[derive(Clone, Copy)]
enum Move {
    Comes,
    Goes,
    Rekeys,
}

impl Run<'_> {
    pub(super) fn strike(&mut self, kind: Fault) {
        let (n, node) = (self.n, self.dice.node(self.n));
        if kind != Fault::SetChange {
            *self.faults.entry(kind).or_default() += 1;
        }
        match kind {
            Fault::Partition => {
                if self.dice.percent(30) {
                    self.cluster.heal();
                }
                let mut sides = (Vec::new(), Vec::new());
                for node in 0..n {
                    if self.dice.percent(50) {
                        sides.0.push(node)
                    } else {
                        sides.1.push(node)
                    }
                }
                self.cluster.partition(&sides.0, &sides.1);
            }
            Fault::OneWay => {
                if self.dice.percent(30) {
                    self.cluster.heal();
                }
                let other = self.dice.node(n);
                self.cluster.cut_one_way(node, other);
            }
            Fault::Crash => {
                // Several at once: what the cluster knows is on disks only.
                let count = if self.dice.percent(15) {
                    n
                } else {
                    1 + self.dice.node(2)
                };
                for more in 0..count {
                    let node = (node + more) % n;
                    let output = self.cluster.executed(node) + self.dice.below(40);
                    if self.dice.percent(80) {
                        self.cluster.crash_before(node, output);
                    } else {
                        self.cluster.crash(node);
                    }
                }
            }
            Fault::OldCopy => {
                let count = u16::try_from(self.forgetful.len()).unwrap_or(0);
                let node = self.forgetful[usize::from(self.dice.node(count))];
                let copies = self.cluster.copies(node) as u64;
                let copy = usize::try_from(self.dice.below(copies)).unwrap_or(0);
                let pause = self.dice.between(0, 1_000);
                let age = self.cluster.restore(node, copy, true, pause);
                if self.dice.percent(30) {
                    // A whole machine is set back, with its clock.
                    let age = i64::try_from(age + pause).unwrap_or(0);
                    self.cluster.set_clock(node, -age);
                }
            }
            Fault::Clock => {
                let bad = node < self.bad_clocks;
                let most = if bad { 60_000 } else { 900 };
                let jump = i64::try_from(self.dice.below(2 * most + 1)).unwrap_or(0);
                self.cluster
                    .set_clock(node, jump - i64::try_from(most).unwrap_or(0));
            }
            Fault::SlowDisk => {
                let ms = self.dice.between(20, 200);
                self.cluster.set_sync(node, ms);
            }
            Fault::SetChange => self.change_set(),
            Fault::Loss
            | Fault::Duplicates
            | Fault::Reordering
            | Fault::Spikes
            | Fault::Byzantine => {}
        }
    }

    /// Copies for later, of the disks of those who are to forget.
    pub(super) fn copy_disks(&mut self, step: u64) {
        for &node in &self.forgetful {
            if step == 0 || self.dice.percent(40) {
                self.cluster.copy_disk(node);
            }
        }
    }

    /// An amendment is handed in. Of no set that it may lead to are more than f faulty.
    fn change_set(&mut self) {
        for _ in 0..5 {
            let standings = self.cluster.agreed().standings();
            let newest = standings.newest_validators();
            let allowed = newest.f().min(standings.validators().f()).max(1);
            let mut members: BTreeSet<_> = newest.ids().collect();
            let next = standings.next_number();
            let ids: Vec<_> = members.iter().copied().collect();
            let mut planned = Vec::new();
            for _ in 0..1 + self.dice.below(allowed.min(2) as u64) {
                let id = ids[self.dice.below(ids.len() as u64) as usize];
                match self.dice.below(3) {
                    0 if next.0 < self.n => {
                        members.insert(next);
                        planned.push((Move::Comes, next));
                    }
                    1 => {
                        members.remove(&id);
                        planned.push((Move::Goes, id));
                    }
                    _ if self.cluster.rekeyable().contains(&id) => {
                        planned.push((Move::Rekeys, id));
                    }
                    _ => {}
                }
            }
            let distinct: BTreeSet<_> = planned.iter().map(|(_, id)| *id).collect();
            let faulty = members.intersection(&self.faulty).count();
            let borne = !members.is_empty() && faulty <= (members.len() - 1) / 3;
            if !planned.is_empty() && distinct.len() == planned.len() && borne {
                return self.amend(&planned);
            }
        }
    }

    fn amend(&mut self, planned: &[(Move, ValidatorId)]) {
        let mut changes = Vec::new();
        for &(kind, id) in planned {
            let pause = self.dice.between(0, 2_000);
            match kind {
                Move::Comes => changes.extend(self.cluster.admission(pause)),
                Move::Goes => changes.push(Change::Remove(id)),
                Move::Rekeys => changes.push(self.cluster.change_of_keys(id, pause)),
            }
        }
        self.cluster.amend(changes);
        *self.faults.entry(Fault::SetChange).or_default() += 1;
    }
}

/// What the network does as long as the storm lasts.
pub(super) fn draw_network(kinds: &[Fault], dice: &mut Dice) -> Network {
    let mut network = Network {
        delay_min_ms: 1,
        delay_max_ms: 10,
        ..Network::default()
    };
    for kind in kinds {
        match kind {
            Fault::Loss => network.loss_percent = dice.between(1, 30),
            Fault::Duplicates => network.duplicate_percent = dice.between(1, 20),
            Fault::Reordering => network.delay_max_ms = dice.between(20, 100),
            Fault::Spikes => {
                network.spike_percent = dice.between(1, 10);
                network.spike_ms = dice.between(200, 1_500);
            }
            Fault::Partition | Fault::OneWay | Fault::Crash | Fault::OldCopy => {}
            Fault::SetChange | Fault::Clock | Fault::SlowDisk | Fault::Byzantine => {}
        }
    }
    network
}
