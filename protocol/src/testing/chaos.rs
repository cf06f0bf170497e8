//! Everything at once, drawn from one seed: losses, duplicates, reordering, delay spikes, partitions, one-way cuts,
//! crashes between any two outputs, clocks apart, Byzantine validators; then the network heals.

use crate::ledger::Profile;
use crate::testing::{Behaviour, Cluster, Network, Setup};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// How long faults are injected, in virtual milliseconds.
const STORM_MS: u64 = 15_000;
/// How long a healed cluster may take for three more heights: several of the longest timeouts.
const CALM_MS: u64 = 200_000;

/// Runs one seed: a storm, then calm. Every event is checked by [`crate::testing::Invariants`].
///
/// # Panics
/// On a violation, or when the healed cluster does not go on.
pub fn chaos(n: u16, seed: u64) -> Cluster {
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 0x6b69_7468);
    let mut below = move |bound: u64| rng.next_u64() % bound.max(1);
    let mut cluster = Cluster::new(draw_setup(n, seed, &mut below));
    for _ in 0..60 {
        cluster.submit();
    }
    let end = cluster.elapsed_ms() + STORM_MS;
    while cluster.elapsed_ms() < end {
        cluster.run_for(50 + below(700));
        strike(&mut cluster, n, &mut below);
    }
    // Calm: no cuts, no losses, everybody up, clocks as they are.
    cluster.heal();
    cluster.network = Network::default();
    for node in 0..n {
        if cluster.core(node).is_none() {
            cluster.restart(node);
        }
    }
    let highest = (0..n).map(|node| cluster.height(node)).max().unwrap_or(0);
    for _ in 0..5 {
        cluster.submit();
    }
    cluster.run_to(highest + 3, CALM_MS);
    cluster.invariants.assert_finalized_were_notarized();
    cluster
}

fn draw_setup(n: u16, seed: u64, below: &mut impl FnMut(u64) -> u64) -> Setup {
    let mut setup = Setup::new(n, seed);
    setup.profile = match below(3) {
        0 => Profile::Literal,
        1 => Profile::Balanced,
        _ => Profile::Hardened,
    };
    let delay_min_ms = 1 + below(5);
    setup.network = Network {
        delay_min_ms,
        delay_max_ms: delay_min_ms + below(80),
        loss_percent: below(31),
        duplicate_percent: below(20),
    };
    setup.through_wire = below(10) == 0;
    for _ in 0..below(u64::from((n - 1) / 3) + 1) {
        let behaviour = match below(4) {
            0 => Behaviour::Silent,
            1 => Behaviour::Equivocate,
            2 => Behaviour::DoubleVote,
            _ => Behaviour::NullifyAtOnce,
        };
        setup.byzantine.insert(draw_node(n, below), behaviour);
    }
    setup
}

fn draw_node(n: u16, below: &mut impl FnMut(u64) -> u64) -> u16 {
    u16::try_from(below(u64::from(n))).unwrap_or(0)
}

fn strike(cluster: &mut Cluster, n: u16, below: &mut impl FnMut(u64) -> u64) {
    let node = draw_node(n, below);
    match below(9) {
        // A crash at one of the next outputs; the node comes back by itself.
        0..=2 => {
            let output = cluster.executed(node) + below(30);
            cluster.crash_before(node, output);
        }
        3 => {
            let split = 1 + draw_node(n - 1, below);
            let (one, other): (Vec<u16>, Vec<u16>) =
                (0..n).partition(|node| (node + split) % n < split);
            cluster.partition(&one, &other);
        }
        4 => {
            let other = draw_node(n, below);
            cluster.cut_one_way(node, other);
        }
        5 | 6 => cluster.heal(),
        7 => cluster.set_clock_ahead(node, below(1_500)),
        _ => {
            let spike = if below(2) == 0 { 0 } else { 300 };
            cluster.network.delay_max_ms = cluster.network.delay_min_ms + 20 + spike;
        }
    }
}
