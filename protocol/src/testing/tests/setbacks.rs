//! Disks that are set back, and validators that come, go and change their keys.

use super::*;

/// Set back to an old copy while a height hangs, a node would sign it a second time. It asks first, and stays out for as long
/// as what it has forgotten may count, also over another crash.
#[test]
fn an_old_copy_of_a_disk_signs_nothing_twice() {
    let _scope = crate::crypto::Simulated::enter();
    let run = |node: u16, seed: u64, recall: bool| {
        let mut cluster = busy(Setup::new(4, seed), Profile::Balanced, 60);
        cluster.copy_disk(node);
        cluster.run_to(4, 60_000);
        cluster.copy_disk(node);
        // Two against two: votes go round and nothing is decided.
        cluster.partition(&[0, 1], &[2, 3]);
        cluster.run_for(2_000);
        let copy = usize::try_from(seed % 2).unwrap();
        cluster.restore(node, copy, recall, 50);
        cluster.run_for(3_000);
        cluster.heal();
        let kept = |cluster: &Cluster| cluster.disk(node).vote_from.0 > 0;
        if recall {
            assert!(cluster.run_until(20_000, kept), "seed {seed}, node {node}");
            let vote_from = cluster.disk(node).vote_from;
            cluster.crash(node);
            cluster.restart(node);
            cluster.run_to(30, 120_000);
            assert!(cluster.disk(node).vote_from >= vote_from);
            assert_eq!(cluster.invariants.convicted, [].into());
        } else {
            cluster.run_to(30, 120_000);
            assert!(!kept(&cluster));
        }
        cluster.invariants.relapses
    };
    let mut lapses = 0;
    for node in 0..4 {
        for seed in 0..10 {
            assert_eq!(run(node, seed, true), 0, "seed {seed}, node {node}");
            lapses += run(node, seed, false);
        }
    }
    assert!(lapses > 0, "without the question some sign twice");
}

/// Amendments in the running cluster: one comes, one takes other keys while it is cut off from half of the others, one goes.
#[test]
fn validators_come_and_go_and_change_their_keys() {
    let mut setup = Setup::new(4, 16);
    setup.newcomers = 2;
    let mut cluster = busy(setup, Profile::Balanced, 100);
    let members = |cluster: &Cluster| -> Vec<u16> {
        let standings = cluster.agreed().standings();
        standings.validators().ids().map(|id| id.0).collect()
    };
    cluster.run_to(3, 10_000);
    assert_eq!(cluster.honest().len(), 4, "newcomers have not come yet");
    let change = cluster.admission(200).unwrap();
    cluster.amend(vec![change]);
    let grown = |cluster: &Cluster| members(cluster) == [0, 1, 2, 3, 4];
    assert!(cluster.run_until(60_000, grown));
    let before = cluster.height(0);
    cluster.run_to(before + 5, 60_000);
    // The newcomer is one of four that are needed now.
    cluster.crash(3);
    cluster.run_until(30_000, |cluster| cluster.height(0) >= before + 10);
    assert!(cluster.height(0) >= before + 10);
    cluster.restart(3);
    let old = cluster.agreed().standings().validators().clone();
    let change = cluster.change_of_keys(ValidatorId(1), 500);
    cluster.amend(vec![change]);
    cluster.partition(&[1], &[2, 3]);
    let rekeyed = |cluster: &Cluster| {
        let set = cluster.agreed().standings().validators().clone();
        set.get(ValidatorId(1)) != old.get(ValidatorId(1))
    };
    assert!(cluster.run_until(60_000, rekeyed));
    cluster.heal();
    cluster.amend(vec![crate::ledger::Change::Remove(ValidatorId(0))]);
    let shrunk = |cluster: &Cluster| members(cluster) == [1, 2, 3, 4];
    assert!(cluster.run_until(60_000, shrunk));
    let before = cluster.height(1);
    // Of four, three must vote: without the new keys of 1 nothing would go on.
    cluster.crash(2);
    cluster.run_until(60_000, |cluster| cluster.height(1) >= before + 8);
    assert!(cluster.height(1) >= before + 8, "{}", cluster.standing());
    cluster.restart(2);
    // Who is removed follows.
    cluster.run_to(before + 10, 60_000);
    cluster.invariants.assert_finalized_were_notarized();
    assert!(cluster.invariants.convicted.is_empty());
}

/// From six to seven, two authors cool down instead of one, from the first height of the new set on: the rules of masters,
/// worked out anew from the chain, hold at every block.
#[test]
fn a_grown_set_lets_more_authors_cool_down() {
    let _scope = crate::crypto::Simulated::enter();
    for seed in 0..40 {
        let mut setup = Setup::new(6, seed);
        setup.newcomers = 1;
        let mut cluster = busy(setup, Profile::Balanced, 40);
        cluster.run_to(3 + seed % 4, 10_000);
        let change = cluster.admission(0).unwrap();
        cluster.amend(vec![change]);
        cluster.run_to(20, 60_000);
        assert_eq!(cluster.agreed().standings().validators().n(), 7);
    }
}
