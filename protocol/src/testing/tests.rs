//! Whole clusters: all sizes and profiles, faults, Byzantine validators, crashes, catching up.

use super::*;
use crate::ids::ValidatorId;
use crate::ledger::Profile;

mod setbacks;

const PROFILES: [Profile; 3] = [Profile::Literal, Profile::Balanced, Profile::Hardened];

fn busy(mut setup: Setup, profile: Profile, transactions: u64) -> Cluster {
    setup.profile = profile;
    let mut cluster = Cluster::new(setup);
    for _ in 0..transactions {
        cluster.submit();
    }
    cluster
}

#[test]
fn thirty_heights_in_every_size_and_profile() {
    for n in [1, 2, 3, 4, 5, 7, 10] {
        for profile in PROFILES {
            let mut cluster = busy(Setup::new(n, u64::from(n)), profile, 30);
            cluster.run_to(30, 10_000);
            assert_eq!(
                cluster.view_changes, 0,
                "n {n}, {profile:?}: nobody was slow"
            );
            cluster.invariants.assert_finalized_were_notarized();
        }
    }
}

/// Without work there are heartbeats every ten seconds and nothing else; with work, blocks at once.
#[test]
fn an_idle_cluster_writes_heartbeats_only() {
    for n in [1, 2, 3, 4, 7] {
        let mut cluster = Cluster::new(Setup::new(n, 1));
        cluster.run_for(61_000);
        assert!(
            (5..=6).contains(&cluster.height(0)),
            "n {n}: {}",
            cluster.height(0)
        );
        assert_eq!(cluster.view_changes, 0, "n {n}");
        let before = cluster.height(0);
        cluster.submit();
        assert!(cluster.run_until(100, |cluster| cluster.all_at(before + 1)));
    }
}

/// Transactions that only one node knows: gossip was lost. The others help, and the block comes, without waiting for
/// the heartbeat: about a height a second, until the one node leads one.
///
/// It must lead within 16 heights: a node that nullifies every first view earns no credit and is no candidate after
/// that. So only small clusters are sure of it; in larger ones it takes gossip, which the shell repeats.
#[test]
fn work_that_only_one_node_knows_is_not_forgotten() {
    for n in [2, 3, 4] {
        for node in 0..n {
            let mut cluster = Cluster::new(Setup::new(n, 2));
            cluster.run_for(15_000);
            let before = cluster.height(0);
            cluster.submit_to(&[node]);
            let mempool_is_empty = |cluster: &Cluster| {
                cluster.all_at(before + 1)
                    && (before..cluster.height(0)).any(|height| {
                        let block = &cluster.disk(0).chain[height as usize].block;
                        !block.transactions.is_empty()
                    })
            };
            let quick = cluster.run_until(20_000, mempool_is_empty);
            assert!(quick, "n {n}, node {node}");
        }
    }
}

/// A Byzantine validator that nullifies at once gets no view changes out of an honest majority, and at most a block
/// a second.
#[test]
fn premature_nullify_votes_change_no_view() {
    let mut setup = Setup::new(4, 3);
    setup.byzantine.insert(2, Behaviour::NullifyAtOnce);
    let mut cluster = Cluster::new(setup);
    cluster.run_for(60_000);
    assert!(
        (40..=61).contains(&cluster.height(0)),
        "{}",
        cluster.height(0)
    );
    let standings = cluster.core(0).unwrap().ledger().standings();
    for row in standings.rows().filter(|row| row.id != ValidatorId(2)) {
        // Only views that the impatient one led itself were nullified: it does not hear its own call.
        assert!(row.miss == 0 && row.credit.0 > 500_000, "{row:?}");
    }
}

#[test]
fn a_silent_master_costs_one_view_and_its_credit() {
    for n in [4, 5, 7, 10] {
        let mut setup = Setup::new(n, 4);
        setup.byzantine.insert(1, Behaviour::Silent);
        let mut cluster = busy(setup, Profile::Hardened, 40);
        cluster.run_to(40, 120_000);
        assert!(cluster.view_changes > 0, "n {n}: the silent one led");
        let standings = cluster.core(0).unwrap().ledger().standings();
        let credit = |id: u16| standings.record(ValidatorId(id)).unwrap().credit;
        assert!(credit(1).0 < 500_000, "n {n}: {}", credit(1));
        assert!(
            (0..n)
                .filter(|&id| id != 1)
                .all(|id| credit(id).0 > 500_000),
            "n {n}"
        );
        assert!(cluster.invariants.convicted.is_empty());
    }
}

#[test]
fn an_equivocating_master_is_convicted_on_chain() {
    for n in [4, 7, 10] {
        let mut setup = Setup::new(n, 5);
        setup.byzantine.insert(0, Behaviour::Equivocate);
        let mut cluster = busy(setup, Profile::Hardened, 60);
        cluster.run_to(30, 200_000);
        assert_eq!(
            cluster.invariants.convicted,
            [ValidatorId(0)].into(),
            "n {n}"
        );
        let record = cluster
            .core(1)
            .unwrap()
            .ledger()
            .standings()
            .record(ValidatorId(0))
            .cloned()
            .unwrap();
        assert_eq!(record.credit.0, 0);
        assert!(record.offences >= 1 && record.jailed_until.0 > 10_000);
    }
}

#[test]
fn a_double_voter_is_convicted_on_chain() {
    for n in [4, 7, 10] {
        let mut setup = Setup::new(n, 6);
        setup.byzantine.insert(2, Behaviour::DoubleVote);
        let mut cluster = busy(setup, Profile::Balanced, 60);
        cluster.run_to(30, 200_000);
        assert_eq!(
            cluster.invariants.convicted,
            [ValidatorId(2)].into(),
            "n {n}"
        );
        let record = cluster
            .core(1)
            .unwrap()
            .ledger()
            .standings()
            .record(ValidatorId(2))
            .cloned()
            .unwrap();
        assert!(record.credit.0 == 0 && record.offences >= 1);
    }
}

#[test]
fn a_partition_stops_the_minority_and_heals() {
    let mut cluster = busy(Setup::new(4, 7), Profile::Balanced, 100);
    cluster.run_to(5, 10_000);
    // Two against two: nobody has a quorum.
    cluster.partition(&[0, 1], &[2, 3]);
    cluster.run_for(500);
    let stuck: Vec<_> = (0..4).map(|node| cluster.height(node)).collect();
    cluster.run_for(20_000);
    assert!((0..4).all(|node| cluster.height(node) <= stuck[usize::from(node)] + 1));
    cluster.heal();
    cluster.run_to(20, 90_000);
    // Three against one: the three go on, the one catches up.
    cluster.partition(&[0], &[1, 2, 3]);
    cluster.run_for(5_000);
    let alone = cluster.height(0);
    assert!(cluster.height(1) > alone);
    cluster.heal();
    cluster.run_to(60, 90_000);
}

/// Links that are cut in one direction only.
#[test]
fn asymmetric_cuts_do_not_stop_the_others() {
    let mut cluster = busy(Setup::new(4, 8), Profile::Balanced, 60);
    for other in 1..4 {
        cluster.cut_one_way(other, 0);
    }
    cluster.run_until(60_000, |cluster| cluster.height(1) >= 30);
    assert!(cluster.height(1) >= 30);
    cluster.heal();
    cluster.run_to(40, 60_000);
}

#[test]
fn a_fifth_of_all_messages_may_be_lost() {
    for n in [2, 4, 7] {
        for seed in 0..5 {
            let mut setup = Setup::new(n, seed);
            setup.network = Network {
                delay_min_ms: 1,
                delay_max_ms: 40,
                loss_percent: 20,
                duplicate_percent: 10,
                ..Network::default()
            };
            setup.through_wire = true;
            let mut cluster = busy(setup, Profile::Balanced, 20);
            cluster.run_to(20, 600_000);
            cluster.invariants.assert_finalized_were_notarized();
        }
    }
}

/// Every point between two outputs of one height is a crash, at every node, in good and lossy networks.
#[test]
fn a_crash_at_any_point_of_a_height_loses_nothing() {
    for (n, loss) in [(1, 0), (2, 0), (4, 0), (4, 15)] {
        for node in 0..n.min(2) {
            let begin = |seed: u64| {
                let mut setup = Setup::new(n, seed);
                setup.network.loss_percent = loss;
                let mut cluster = busy(setup, Profile::Balanced, 12);
                cluster.run_to(3, 60_000);
                cluster
            };
            let first = begin(9).executed(node);
            let mut cluster = begin(9);
            cluster.run_to(5, 60_000);
            let last = cluster.executed(node) + 1;
            assert!(last > first + 5);
            for point in first..=last {
                let mut cluster = begin(9);
                cluster.crash_before(node, point);
                cluster.run_to(6, 120_000);
                cluster.invariants.assert_finalized_were_notarized();
            }
        }
    }
}

/// Every node crashes at the same point: what the whole cluster knows is on disks only.
#[test]
fn all_nodes_may_crash_at_once_at_any_point() {
    let mut probe = busy(Setup::new(4, 10), Profile::Balanced, 12);
    probe.run_to(3, 60_000);
    let begin: Vec<_> = (0..4).map(|node| probe.executed(node)).collect();
    for offset in 0..25 {
        let mut cluster = busy(Setup::new(4, 10), Profile::Balanced, 12);
        for (node, first) in (0..4).zip(&begin) {
            cluster.crash_before(node, first + offset);
        }
        cluster.run_to(6, 120_000);
        cluster.invariants.assert_finalized_were_notarized();
    }
}

#[test]
fn a_node_a_thousand_heights_behind_catches_up() {
    let _scope = crate::crypto::Simulated::enter();
    let mut cluster = busy(Setup::new(4, 11), Profile::Balanced, 1_010);
    cluster.crash(3);
    cluster.run_until(600_000, |cluster| cluster.height(0) >= 1_000);
    assert!(cluster.height(0) >= 1_000 && cluster.height(3) == 0);
    let before = cluster.elapsed_ms();
    cluster.restart(3);
    cluster.run_to(1_000, 10_000);
    let took = cluster.elapsed_ms() - before;
    assert!(took < 5_000, "{took} ms");
    cluster.run_to(1_005, 10_000);
}

/// One of the peers that could help is silent, another one sends what does not prove itself.
#[test]
fn catching_up_survives_silent_and_lying_peers() {
    let mut setup = Setup::new(7, 12);
    setup.byzantine.insert(1, Behaviour::Silent);
    let mut cluster = busy(setup, Profile::Balanced, 120);
    cluster.crash(6);
    cluster.run_until(120_000, |cluster| cluster.height(0) >= 80);
    cluster.restart(6);
    // Claims to be far ahead, and rubbish as proof.
    let mut lie = cluster.disk(0).read(crate::units::Height(1), 3);
    lie[0].certificate.votes.truncate(2);
    cluster.inject(ValidatorId(1), 6, crate::consensus::Message::Committed(lie));
    cluster.run_to(80, 30_000);
}

/// A node whose clock is ahead proposes times that the others do not accept yet; they wait or go on without it.
#[test]
fn clocks_apart_cost_time_only() {
    for ahead in [1_000, 2_100, 30_000] {
        let mut cluster = busy(Setup::new(4, 13), Profile::Balanced, 25);
        cluster.set_clock_ahead(2, ahead);
        cluster.run_to(20, 300_000);
        assert!(cluster.invariants.convicted.is_empty());
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let run = |seed| {
        let mut setup = Setup::new(4, seed);
        setup.network = Network {
            delay_min_ms: 1,
            delay_max_ms: 30,
            loss_percent: 10,
            duplicate_percent: 5,
            ..Network::default()
        };
        setup.byzantine.insert(3, Behaviour::Equivocate);
        let mut cluster = busy(setup, Profile::Balanced, 15);
        cluster.run_to(12, 300_000);
        cluster.log()
    };
    assert_eq!(run(14), run(14));
    assert_ne!(run(14), run(15));
}

/// `KITHKIN_SEED=7 cargo test a_storm` replays one seed; `KITHKIN_SEEDS=1000` runs more of them.
#[test]
fn a_storm_breaks_no_rule_and_ends() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seeds = match number("KITHKIN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KITHKIN_SEEDS").unwrap_or(40),
    };
    for seed in seeds {
        for n in [4, 5, 7, 10] {
            let outcome = simulate(&Scenario::new(n, seed));
            let violation = outcome.violation;
            assert_eq!(violation, None, "KITHKIN_SEED={seed} (n {n}) reproduces it");
            assert!(
                outcome.heights >= 20 && outcome.faults.len() >= 3,
                "seed {seed}"
            );
        }
    }
}

/// Every planted bug is caught by drawn seeds; where few seeds catch it, by the kind of faults that it takes.
#[test]
fn every_planted_bug_is_caught() {
    use crate::consensus::Mutant;
    for mutant in Mutant::ALL {
        let (n, liar, seeds) = match mutant {
            Mutant::ShortQuorum => (5, None, 20),
            Mutant::AcceptsGaps => (4, Some(Behaviour::ForgeJustification), 800),
            Mutant::NoNewView => (5, None, 400),
            Mutant::VotesNotDurable
            | Mutant::WaitsAfterFinalize
            | Mutant::NullifiesAndFinalizes
            | Mutant::NoRebroadcast
            | Mutant::BodyNotDurable
            | Mutant::ViewNotDurable
            | Mutant::IgnoresNotarization
            | Mutant::NotarizationNotDurable => (4, None, 60),
        };
        let caught = (0..seeds).find(|&seed| {
            let mut scenario = Scenario::new(n, seed);
            scenario.mutant = Some(mutant);
            scenario.byzantine.extend(liar);
            simulate(&scenario).violation.is_some()
        });
        assert!(caught.is_some(), "{mutant:?} passes {seeds} seeds");
    }
}

/// I10: more offenders than may be faulty, so that no rule but the conviction protects the others. Each is convicted, and
/// nobody else.
#[test]
fn f_plus_one_double_signers_are_convicted() {
    let _scope = crate::crypto::Simulated::enter();
    for (kind, sizes) in [
        (Behaviour::Equivocate, &[4, 7, 10][..]),
        // Two of four that finalize and nullify at once are enough for certificates of both: I4 is lost there.
        (Behaviour::DoubleVote, &[7, 10][..]),
    ] {
        for &n in sizes {
            for seed in 0..5 {
                let mut setup = Setup::new(n, seed);
                let offenders = n.saturating_sub(1) / 3 + 1;
                for id in 0..offenders {
                    setup.byzantine.insert(id, kind);
                }
                let mut cluster = busy(setup, Profile::Hardened, 60);
                cluster.run_to(30, 300_000);
                let expected = (0..offenders).map(ValidatorId).collect();
                let convicted = &cluster.invariants.convicted;
                assert_eq!(*convicted, expected, "{kind:?}, n {n}, seed {seed}");
                let standings = cluster.core(n - 1).unwrap().ledger().standings();
                for id in expected {
                    let record = standings.record(id).unwrap();
                    assert!(
                        record.credit.0 == 0 && record.offences >= 1,
                        "{kind:?}, n {n}, seed {seed}, {id}: {record:?}"
                    );
                }
            }
        }
    }
}

/// Two hundred seeds draw every kind of fault and every kind of Byzantine validator, each many times.
#[test]
fn every_kind_of_fault_is_drawn() {
    let mut faults = std::collections::BTreeMap::new();
    let mut liars = std::collections::BTreeMap::new();
    for seed in 0..200 {
        let outcome = simulate(&Scenario::new(4, seed));
        assert_eq!(outcome.violation, None, "seed {seed}");
        for kind in outcome.faults.keys() {
            *faults.entry(*kind).or_insert(0) += 1;
        }
        for kind in outcome.byzantine {
            *liars.entry(kind).or_insert(0) += 1;
        }
    }
    for kind in Fault::ALL {
        let seeds = faults.get(&kind).copied().unwrap_or(0);
        assert!(seeds >= 40, "{kind:?} in {seeds} of 200 seeds");
    }
    for kind in Behaviour::ALL {
        assert!(liars.contains_key(&kind), "{kind:?} is never drawn");
    }
}

/// The same rules hold with f validators of every Byzantine kind.
#[test]
fn every_byzantine_kind_is_borne() {
    for kind in Behaviour::ALL {
        for (n, seeds) in [(4, 12), (7, 6)] {
            for seed in 0..seeds {
                let mut scenario = Scenario::new(n, seed);
                scenario.byzantine.push(kind);
                let outcome = simulate(&scenario);
                assert_eq!(outcome.violation, None, "{kind:?}, n {n}, seed {seed}");
            }
        }
    }
}

/// Found by the simulator in itself: a node counts its own vote before that is on disk. A certificate that stands on it
/// is nothing as long as it isn't durable either, and a crash may take both back.
#[test]
fn a_certificate_on_a_vote_that_a_crash_took_back_is_none() {
    let mut scenario = Scenario::new(4, 143);
    scenario.byzantine.push(Behaviour::SignEverything);
    assert_eq!(simulate(&scenario).violation, None);
}
