//! Every order in which two cases of one patient can go, on the real state machine.
//!
//! Breadth first over all that hospital, patient, kin and time can do: kin approve, refuse and release, the patient
//! vetoes, the hospital reads and closes, a reviewer judges, hospital or issuer are revoked, time passes, and somebody on
//! the network hands in what does not belong: approvals that were signed for the other case, for another epoch or circle,
//! by strangers. One kin is Byzantine and does everything at any time and twice. The two cases differ in nothing but their
//! identifier, so nothing else can tell their approvals apart.
//!
//! Beside the cases runs a record of what was really signed for what; the rules are checked against that record, not
//! against what the cases say of themselves. States are told apart by what the rules can still look at: of a case that is
//! over, only whether a verdict is due, and who signed for it, since that can be tried on the other case. Left out are
//! block times of single approvals, digests, and how many records were read. Honest kin are interchangeable, and so are the two cases.

mod calls;
mod mutants;
mod rules;
mod world;

use self::world::{EXPIRES, REQUESTED, Setup, World};
use super::Phase;
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};

/// Explores everything; which phases the cases reached. `seen` is how many states there are, also when a rule does not hold.
fn explore(setup: Setup, seen: &Cell<usize>) -> BTreeSet<Phase> {
    let start = World::new(setup);
    start.check_state();
    let mut visited = BTreeSet::from([start.key()]);
    seen.set(visited.len());
    let mut phases = BTreeSet::new();
    let mut frontier = VecDeque::from([start]);
    while let Some(world) = frontier.pop_front() {
        phases.extend(world.cases.iter().map(|case| case.phase));
        for next in world.next() {
            if visited.insert(next.key()) {
                seen.set(visited.len());
                next.check_state();
                frontier.push_back(next);
            }
        }
    }
    phases
}

fn all_phases() -> BTreeSet<Phase> {
    use Phase::{
        Closed, Expired, Granted, Open, Refused, Requested, Reviewed, Revoked, Vetoed, Waiting,
    };
    BTreeSet::from([
        Requested, Waiting, Granted, Open, Closed, Reviewed, Refused, Vetoed, Expired, Revoked,
    ])
}

/// Explores `kin`, `threshold` with these ends of the waiting time, prints what was seen and compares it with the expected floors.
fn check(kin: u8, threshold: u16, floors: &[(u64, usize)]) {
    for &(not_before, floor) in floors {
        let setup = Setup {
            kin,
            threshold,
            not_before,
            mutant: None,
        };
        let seen = Cell::new(0);
        let phases = explore(setup, &seen);
        let states = seen.get();
        println!("{setup:?}: {states} states, {} phases", phases.len());
        assert!(states >= floor, "{setup:?}: {states} states");
        let mut expected = all_phases();
        if not_before <= REQUESTED {
            expected.remove(&Phase::Waiting);
        }
        if not_before >= EXPIRES {
            for never in [Phase::Granted, Phase::Open, Phase::Closed, Phase::Reviewed] {
                expected.remove(&never);
            }
        }
        assert_eq!(phases, expected, "{setup:?}");
    }
}

#[test]
fn three_kin_in_every_order() {
    let floors = [(REQUESTED, 71_000), (2_000, 81_000), (5_000, 7_600)];
    check(3, 2, &floors);
}

#[test]
fn four_kin_in_every_order() {
    let floors = [(REQUESTED, 106_000), (2_000, 129_000), (5_000, 11_000)];
    check(4, 3, &floors);
}

/// A patient may ask that all agree.
#[test]
fn four_kin_who_must_all_agree_in_every_order() {
    let floors = [(REQUESTED, 32_000), (2_000, 35_000), (5_000, 14_000)];
    check(4, 4, &floors);
}

/// Under a minute; what has no waiting time adds nothing that fewer kin have not shown.
#[test]
fn five_kin_in_every_order() {
    check(5, 3, &[(2_000, 766_000)]);
}
