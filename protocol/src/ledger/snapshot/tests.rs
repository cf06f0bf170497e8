//! Manifests against the tree's library; a node that fetches among honest, lying, silent and forgetful peers.

use super::*;
use crate::credit::Electorate;
use crate::crypto::{Digest, OpeningKey, Secret32, SigningKey};
use crate::ids::ValidatorId;
use crate::ledger::light::Step;
use crate::ledger::test_chain::Chain;
use crate::ledger::tree::StateTree;
use crate::ledger::{Change, HospitalInfo, Ledger, State, Write};
use crate::units::{Height, Millis};
use crate::wire;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;

/// A snapshot as a node serves it.
#[derive(Clone)]
struct Served {
    manifest: Manifest,
    parts: BTreeMap<u32, Vec<Entry>>,
}

fn serve(
    height: Height,
    entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    bytes: u64,
) -> Served {
    let mut survey = Survey::default();
    let mut sorted = BTreeMap::new();
    for (key, value) in entries {
        survey.add(&key, &value);
        sorted.insert(place(&key), Entry { key, value });
    }
    let depth = survey.depth(bytes).expect("small entries");
    let mut builder = ManifestBuilder::new(height, depth);
    for entry in sorted.values() {
        builder.add(entry).expect("ascending");
    }
    let manifest = builder.finish();
    let mut parts: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
    for (place, entry) in sorted {
        let part = manifest.part_of(&place);
        parts.entry(part).or_default().push(entry);
    }
    Served { manifest, parts }
}

fn tree_of(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Digest {
    let writes: Vec<Write> = entries
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())))
        .collect();
    StateTree::build(&writes).expect("builds").root()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Parts of whatever size join to the library's root; every part holds, and no part of another state does.
    #[test]
    fn a_manifest_has_the_root_of_the_tree(
        entries in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..8),
            prop::collection::vec(any::<u8>(), 0..40),
            0..60,
        ),
        bytes in 1u64..600,
    ) {
        let served = serve(Height(7), entries.clone(), bytes);
        let manifest = &served.manifest;
        if entries.is_empty() {
            prop_assert_eq!(manifest.parts().count(), 0);
        } else {
            prop_assert_eq!(manifest.root(), Ok(tree_of(&entries)));
        }
        let parts: Vec<u32> = manifest.parts().collect();
        prop_assert_eq!(&parts, &served.parts.keys().copied().collect::<Vec<_>>());
        for (part, chunk) in &served.parts {
            prop_assert_eq!(manifest.check(*part, chunk), Ok(()));
            prop_assert!(manifest.first_place(*part) <= place(&chunk[0].key));
            prop_assert_eq!(manifest.part_of(&manifest.first_place(*part)), *part);
            let mut other = chunk.clone();
            other[0].value.push(1);
            prop_assert_eq!(manifest.check(*part, &other), Err(SnapshotError::Hash { part: *part }));
            let mut fewer = chunk.clone();
            fewer.pop();
            prop_assert_eq!(manifest.check(*part, &fewer), Err(SnapshotError::Hash { part: *part }));
            let twice = [chunk.clone(), chunk.clone()].concat();
            prop_assert_eq!(manifest.check(*part, &twice), Err(SnapshotError::Order { part: *part }));
        }
        let back: Manifest = wire::decode(&wire::encode(manifest)).expect("decodes");
        prop_assert_eq!(back.id(), manifest.id());
    }
}

#[test]
fn the_cut_follows_the_size() {
    let mut survey = Survey::default();
    for n in 0..4_096u32 {
        survey.add(&n.to_be_bytes(), &[0; 96]);
    }
    // 409,600 bytes.
    assert_eq!(survey.depth(1_000_000), Ok(0));
    assert_eq!(survey.depth(409_600), Ok(0));
    assert_eq!(survey.depth(409_599), Ok(1));
    assert_eq!(survey.depth(100_000), Ok(3));
    assert_eq!(survey.depth(1), Ok(DEPTH_MAX));
    // Two entries that cannot stand in one part.
    let big = vec![0; CHUNK_BYTES_MAX - 10];
    let mut survey = Survey::default();
    survey.add(b"a", &big);
    survey.add(b"b", &big);
    let depth = survey.depth(u64::MAX).expect("they can be told apart");
    assert!(depth > 0);
    survey.add(b"a", &big);
    assert!(matches!(
        survey.depth(1),
        Err(SnapshotError::TooLong { .. })
    ));
}

/// Manifests that are none: refused, whatever their numbers are.
#[test]
fn a_manifest_from_outside_cannot_do_harm() {
    let good = serve(Height(3), (0..9u8).map(|n| (vec![n], vec![n])), 1).manifest;
    assert_eq!(good.depth(), 4);
    // Depth and number of parts are written as numbers: change them on the wire.
    let bytes = wire::encode(&good);
    let depth_at = 3;
    assert_eq!(bytes[depth_at], good.depth());
    for depth in [0, 3, 5, 16, 17, 31, 32, 33, 127] {
        let mut bad = bytes.clone();
        bad[depth_at] = depth;
        let bad: Manifest = wire::decode(&bad).expect("decodes");
        assert!(matches!(bad.root(), Err(SnapshotError::Parts { .. })));
        let _ = bad.check(0, &[]);
        assert!(bad.check(u32::MAX, &[]).is_err());
        let _ = (bad.first_place(u32::MAX), bad.part_of(&Digest([255; 32])));
    }
}

/// A leaf may be named where its subtree stands, nowhere else: or a wrong manifest could have the right root.
#[test]
fn a_leaf_names_its_own_part() {
    let entry = Entry {
        key: b"key".to_vec(),
        value: b"value".to_vec(),
    };
    let mut builder = ManifestBuilder::new(Height(1), 1);
    builder.add(&entry).expect("the first");
    let good = builder.finish();
    let writes = [(entry.key.clone(), Some(entry.value.clone()))];
    let root = StateTree::build(&writes).expect("builds").root();
    assert_eq!(good.root(), Ok(root));
    let swapped = good.swapped();
    assert_ne!(swapped, good);
    let part = 1 - good.part_of(&place(&entry.key));
    assert_eq!(swapped.root(), Err(SnapshotError::Misplaced { part }));
}

const EVERY: u64 = 20;
const ME: ValidatorId = ValidatorId(3);

/// A chain whose validators change, and the snapshots of its heights.
struct World {
    chain: Chain,
    due: BTreeMap<Height, Due>,
}

impl World {
    fn new(heights: usize) -> Self {
        let mut chain = Chain::new(4, 6);
        // So many entries of the state.
        for n in 0..30 {
            let seed =
                |kind| Secret32::new([kind, n, 1, 1].repeat(8).try_into().expect("32 bytes"));
            chain.genesis.hospitals.push(HospitalInfo {
                key: SigningKey::from_seed(seed(1)).verifying_key(),
                sealing: OpeningKey::from_seed(seed(2)).sealing_key(),
                name: format!("Hospital {n}"),
            });
        }
        chain.ledger = Ledger::genesis(&chain.genesis).expect("a good genesis").0;
        chain.ledger.make_snapshots(NonZeroU64::new(EVERY));
        let info = chain.info(4);
        chain.amend(vec![Change::Admit(info)]);
        let mut world = Self {
            chain,
            due: BTreeMap::new(),
        };
        while world.chain.blocks.len() < heights {
            world.chain.push(Vec::new());
            let ledger = &world.chain.ledger;
            if ledger.height().0.is_multiple_of(EVERY) {
                let state = ledger.state().clone();
                let root = ledger.state_root();
                world.due.insert(ledger.height(), Due { state, root });
            }
        }
        world
    }

    fn served(&self, height: u64, bytes: u64) -> Served {
        serve(
            Height(height),
            self.due[&Height(height)].state.entries(),
            bytes,
        )
    }

    fn fetch(&self, kept: Option<Kept>, steps: Vec<Step>) -> Fetch {
        let config = FetchConfig {
            me: ME,
            genesis: Arc::new(self.chain.genesis.clone()),
            every: EVERY,
            offers_ms: 1_000,
            answers_ms: 1_000,
        };
        Fetch::new(config, kept, steps)
    }
}

/// How a peer behaves.
#[derive(Clone)]
enum Peer {
    Honest(Served),
    /// Changes a value in every part.
    WrongParts(Served),
    /// Offers what it has, sends the manifest of another state.
    WrongManifest(Served, Manifest),
    /// Says that it has a snapshot and proves it with steps to another height.
    WrongSteps(SnapshotId),
    /// Offers and says nothing more.
    Silent(SnapshotId),
    /// Has thrown it away meanwhile.
    Forgot(SnapshotId),
    None,
}

/// What a run has led to.
#[derive(Default)]
struct Run {
    installed: Option<(Manifest, Step)>,
    stored: BTreeMap<u32, Vec<Entry>>,
    steps: Vec<Step>,
    begun: Vec<SnapshotId>,
    discarded: Vec<Height>,
    refused: BTreeSet<ValidatorId>,
    declined: usize,
    sent: Vec<(ValidatorId, StateSync)>,
    under_way_max: usize,
}

fn announces_others(step: &Step) -> bool {
    let value = step.electorate.value.as_ref().expect("it stands there");
    let electorate: Electorate = State::decode_value(value).expect("it is one");
    electorate.next.is_some()
}

fn answer(peer: &Peer, steps: &[Step], question: &StateSync) -> Option<StateSync> {
    let (Peer::Honest(served) | Peer::WrongParts(served) | Peer::WrongManifest(served, _)) = peer
    else {
        return match (peer, question) {
            (Peer::Silent(id) | Peer::Forgot(id) | Peer::WrongSteps(id), StateSync::Ask { .. }) => {
                Some(StateSync::Offer {
                    snapshot: Some(*id),
                })
            }
            (Peer::None, StateSync::Ask { .. }) => Some(StateSync::Offer { snapshot: None }),
            (Peer::Forgot(id), _) => Some(StateSync::Gone { snapshot: *id }),
            (Peer::WrongSteps(id), StateSync::GetSteps { .. }) => Some(StateSync::Steps {
                snapshot: *id,
                // Beyond the snapshot: none fits.
                steps: steps.last().cloned().into_iter().collect(),
            }),
            _ => None,
        };
    };
    let snapshot = served.manifest.id();
    Some(match question {
        StateSync::Ask { .. } => StateSync::Offer {
            snapshot: Some(snapshot),
        },
        StateSync::GetSteps { after, .. } => {
            let end = snapshot.height.plus(1);
            let fit = |step: &&Step| {
                let height = step.header.height;
                *after < height && (height == end || (height < end && announces_others(step)))
            };
            // In pages of two.
            let steps = steps.iter().filter(fit).take(2).cloned().collect();
            StateSync::Steps { snapshot, steps }
        }
        StateSync::GetManifest { .. } => StateSync::Manifest(Box::new(match peer {
            Peer::WrongManifest(_, other) => other.clone(),
            _ => served.manifest.clone(),
        })),
        StateSync::GetChunk { part, .. } => {
            let mut entries = served.parts[part].clone();
            if matches!(peer, Peer::WrongParts(_)) {
                entries[0].value.push(0);
            }
            StateSync::Chunk {
                snapshot,
                part: *part,
                entries,
            }
        }
        _ => return None,
    })
}

/// A fetch from nothing to its end.
fn whole_run(world: &World, peers: &[Peer]) -> Run {
    run(world, &mut world.fetch(None, Vec::new()), peers, usize::MAX)
}

/// Carries orders out until nothing more happens, or until so many parts are stored. Time passes when nothing else does.
fn run(world: &World, fetch: &mut Fetch, peers: &[Peer], parts_max: usize) -> Run {
    let mut run = Run::default();
    let mut now = Millis(1_000_000);
    let ids: Vec<ValidatorId> = (0..peers.len() as u16).map(ValidatorId).collect();
    let head = Height(2);
    let mut orders: VecDeque<Order> = fetch.ask(now, head, false, &ids).into();
    let mut idle = 0;
    while idle < 8 {
        let Some(order) = orders.pop_front() else {
            idle += 1;
            now = now.plus(1_001);
            orders.extend(fetch.on_tick(now, head));
            continue;
        };
        idle = 0;
        match order {
            Order::Send { to, message } => {
                run.sent.push((to, message.clone()));
                let steps = &world.chain.steps;
                let Some(reply) = answer(&peers[usize::from(to.0)], steps, &message) else {
                    continue;
                };
                let more = match reply {
                    StateSync::Offer { snapshot } => fetch.on_offer(now, to, snapshot),
                    StateSync::Steps { snapshot, steps } => {
                        fetch.on_steps(now, to, snapshot, steps)
                    }
                    StateSync::Manifest(manifest) => fetch.on_manifest(now, to, *manifest),
                    StateSync::Chunk {
                        snapshot,
                        part,
                        entries,
                    } => fetch.on_chunk(now, to, snapshot, part, entries),
                    StateSync::Gone { snapshot } => fetch.on_gone(now, to, snapshot),
                    other => panic!("{other:?} is no answer"),
                };
                orders.extend(more);
            }
            Order::Store {
                height,
                part,
                entries,
            } => {
                run.stored.insert(part, entries);
                if run.stored.len() >= parts_max {
                    return run;
                }
                let waiting = orders.iter();
                let waiting = waiting.filter(|order| matches!(order, Order::Store { .. }));
                run.under_way_max = run.under_way_max.max(waiting.count() + 1);
                orders.extend(fetch.on_stored(now, height, part));
            }
            Order::KeepSteps(steps) => run.steps.extend(steps),
            Order::Begin(manifest) => {
                run.stored.clear();
                run.begun.push(manifest.id());
            }
            Order::Discard(height) => run.discarded.push(height),
            Order::Install { manifest, last } => run.installed = Some((manifest, *last)),
            Order::Declined => run.declined += 1,
            Order::Refused { peer, .. } => assert!(run.refused.insert(peer)),
        }
    }
    run
}

fn restored(stored: &BTreeMap<u32, Vec<Entry>>) -> Ledger {
    let entries: Vec<(Vec<u8>, Vec<u8>)> = stored
        .values()
        .flatten()
        .map(|entry| (entry.key.clone(), entry.value.clone()))
        .collect();
    Ledger::restore(&entries).expect("it is a state")
}

/// Everything about a run that ended well.
fn assert_installed(world: &World, run: &Run, height: u64) {
    let (manifest, last) = run.installed.as_ref().expect("installed");
    let due = &world.due[&Height(height)];
    assert_eq!(manifest.root(), Ok(due.root));
    assert_eq!(last.header.height, Height(height + 1));
    assert_eq!(last.header.parent_state_root, due.root);
    assert!(run.under_way_max <= WINDOW);
}

#[test]
fn parts_come_from_all_honest_peers_and_make_the_state() {
    let world = World::new(62);
    let served = world.served(60, 100);
    assert!(served.parts.len() > 8, "{}", served.parts.len());
    let peers = [
        Peer::Honest(served.clone()),
        Peer::Honest(served.clone()),
        Peer::Honest(served.clone()),
    ];
    let run = whole_run(&world, &peers);
    assert_installed(&world, &run, 60);
    assert_eq!(run.stored, served.parts);
    let ledger = restored(&run.stored);
    assert_eq!(ledger.state_root(), world.due[&Height(60)].root);
    assert_eq!(ledger.height(), Height(60));
    assert!(run.refused.is_empty());
    for peer in 0..3 {
        let chunks = run.sent.iter().filter(|(to, message)| {
            *to == ValidatorId(peer) && matches!(message, StateSync::GetChunk { .. })
        });
        assert!(chunks.count() > 0, "peer {peer} was asked for none");
    }
    // The set has changed, and steps to the last height are not enough to know that.
    assert!(run.steps.len() >= 2);
}

#[test]
fn who_sends_something_wrong_is_not_asked_again() {
    let world = World::new(62);
    let served = world.served(60, 100);
    let other = world.served(40, 100).manifest;
    let false_id = SnapshotId {
        height: Height(900),
        manifest: Digest([7; 32]),
    };
    let liars = [
        Peer::WrongParts(served.clone()),
        Peer::WrongManifest(served.clone(), other),
        Peer::WrongSteps(served.manifest.id()),
        Peer::WrongSteps(false_id),
    ];
    for liar in liars {
        let peers = [liar, Peer::Honest(served.clone()), Peer::None];
        let run = whole_run(&world, &peers);
        assert_installed(&world, &run, 60);
        assert_eq!(run.stored, served.parts);
        // One wrong answer each, and no question after it.
        assert_eq!(run.refused, BTreeSet::from([ValidatorId(0)]));
        let asked = run.sent.iter().filter(|(to, message)| {
            *to == ValidatorId(0)
                && matches!(
                    (&peers[0], message),
                    (Peer::WrongParts(_), StateSync::GetChunk { .. })
                        | (Peer::WrongManifest(..), StateSync::GetManifest { .. })
                        | (Peer::WrongSteps(_), StateSync::GetSteps { .. })
                )
        });
        assert_eq!(asked.count(), 1);
    }
}

/// A manifest of another state that all liars agree on: all of them are refused, and the honest one is asked then.
#[test]
fn a_majority_that_offers_a_false_state_is_found_out() {
    let world = World::new(62);
    let honest = world.served(60, 100);
    let entries = world.due[&Height(60)].state.entries();
    let forged = serve(
        Height(60),
        entries.map(|(key, mut value)| {
            value.push(0);
            (key, value)
        }),
        100,
    );
    let peers = [
        Peer::Honest(forged.clone()),
        Peer::Honest(forged),
        Peer::Honest(honest.clone()),
    ];
    let run = whole_run(&world, &peers);
    assert_installed(&world, &run, 60);
    assert_eq!(run.stored, honest.parts);
    assert_eq!(
        run.refused,
        BTreeSet::from([ValidatorId(0), ValidatorId(1)])
    );
}

#[test]
fn silence_and_forgetting_cost_time_only() {
    let world = World::new(62);
    let served = world.served(60, 100);
    let id = served.manifest.id();
    for useless in [Peer::Silent(id), Peer::Forgot(id), Peer::None] {
        let peers = [useless.clone(), Peer::Honest(served.clone()), useless];
        let run = whole_run(&world, &peers);
        assert_installed(&world, &run, 60);
        assert!(run.refused.is_empty());
    }
    // Nobody has anything: blocks it is, and later it may be tried again.
    let peers = [Peer::Silent(id), Peer::None];
    let mut fetch = world.fetch(None, Vec::new());
    let run = run(&world, &mut fetch, &peers, usize::MAX);
    assert!(run.installed.is_none() && run.declined > 0);
    assert!(!fetch.is_fetching() && !fetch.is_asking());
}

#[test]
fn what_is_stored_is_not_fetched_again_after_a_crash() {
    let world = World::new(62);
    let served = world.served(60, 100);
    let peers = [Peer::Honest(served.clone()), Peer::Honest(served.clone())];
    let half = served.parts.len() / 2;
    let before = run(&world, &mut world.fetch(None, Vec::new()), &peers, half);
    assert!(before.installed.is_none());
    let kept = Kept {
        manifest: served.manifest.clone(),
        parts: before.stored.keys().copied().collect(),
    };
    let mut fetch = world.fetch(Some(kept.clone()), before.steps.clone());
    let after = run(&world, &mut fetch, &peers, usize::MAX);
    assert_installed(&world, &after, 60);
    assert!(after.begun.is_empty() && after.discarded.is_empty());
    assert_eq!(after.stored.len() + half, served.parts.len());
    let mut all = before.stored;
    all.extend(after.stored);
    assert_eq!(all, served.parts);
    let questions = after.sent.iter();
    let repeated = questions.filter(|(_, message)| {
        matches!(
            message,
            StateSync::GetSteps { .. } | StateSync::GetManifest { .. }
        )
    });
    assert_eq!(repeated.count(), 0);

    // Meanwhile the others have gone on: the old one is thrown away.
    let newer = World::new(82);
    let served = newer.served(80, 100);
    let peers = [Peer::Honest(served.clone())];
    let mut fetch = newer.fetch(Some(kept), Vec::new());
    let after = run(&newer, &mut fetch, &peers, usize::MAX);
    assert_installed(&newer, &after, 80);
    assert_eq!(after.discarded, [Height(60)]);
    assert_eq!(after.stored, served.parts);
}

/// Not worth it: too near, or the chain has passed it meanwhile.
#[test]
fn a_snapshot_that_is_near_is_left_alone() {
    let world = World::new(62);
    let served = world.served(60, 100);
    let id = served.manifest.id();
    let peers = [ValidatorId(0)];
    let now = Millis(5);
    let mut fetch = world.fetch(None, Vec::new());
    assert_eq!(fetch.ask(now, Height(41), false, &peers).len(), 1);
    let orders = fetch.on_offer(now, ValidatorId(0), Some(id));
    assert!(matches!(orders[..], [Order::Declined]), "{orders:?}");
    // Unless blocks cannot be had.
    assert_eq!(fetch.ask(now, Height(41), true, &peers).len(), 1);
    let orders = fetch.on_offer(now, ValidatorId(0), Some(id));
    assert!(matches!(orders[..], [Order::Send { .. }]), "{orders:?}");
    assert!(fetch.is_fetching());
    let orders = fetch.on_tick(now, Height(60));
    assert!(
        matches!(orders[..], [Order::Discard(Height(60)), Order::Declined]),
        "{orders:?}"
    );
    assert!(!fetch.is_fetching());
}

/// What is left of an attempt goes once the chain has come to that height: the node makes the snapshot itself then.
#[test]
fn what_is_kept_of_a_snapshot_that_the_chain_has_passed_is_thrown_away() {
    let world = World::new(62);
    let kept = Kept {
        manifest: world.served(60, 100).manifest,
        parts: BTreeSet::from([1]),
    };
    let mut fetch = world.fetch(Some(kept), Vec::new());
    assert!(fetch.on_tick(Millis(5), Height(59)).is_empty());
    let orders = fetch.on_tick(Millis(5), Height(60));
    assert!(
        matches!(orders[..], [Order::Discard(Height(60))]),
        "{orders:?}"
    );
    assert!(fetch.on_tick(Millis(5), Height(60)).is_empty());
}

/// A clock that was set back must not make a node wait for as long as that was: it asks for no blocks meanwhile.
#[test]
fn a_clock_that_is_set_back_ends_the_waiting() {
    let world = World::new(62);
    let peers = [ValidatorId(0), ValidatorId(1)];
    let mut fetch = world.fetch(None, Vec::new());
    let hour = Millis(3_600_000);
    assert_eq!(fetch.ask(hour, Height(2), false, &peers).len(), 2);
    assert!(fetch.on_tick(Millis(hour.0 - 1), Height(2)).is_empty());
    let orders = fetch.on_tick(Millis(5), Height(2));
    assert!(matches!(orders[..], [Order::Declined]), "{orders:?}");
    // The same with a question to a peer.
    assert_eq!(fetch.ask(hour, Height(2), false, &peers[..1]).len(), 1);
    let id = world.served(60, 100).manifest.id();
    let orders = fetch.on_offer(hour, ValidatorId(0), Some(id));
    assert!(matches!(orders[..], [Order::Send { .. }]), "{orders:?}");
    let orders = fetch.on_tick(Millis(5), Height(2));
    assert!(matches!(orders[..], [Order::Declined]), "{orders:?}");
}

/// Answers that nobody asked for change nothing.
#[test]
fn unasked_answers_are_ignored() {
    let world = World::new(62);
    let served = world.served(60, 100);
    let id = served.manifest.id();
    let mut fetch = world.fetch(None, Vec::new());
    let now = Millis(5);
    let (part, entries) = served.parts.first_key_value().expect("parts");
    let steps = world.chain.steps.clone();
    for from in [ValidatorId(0), ValidatorId(1)] {
        assert!(fetch.on_steps(now, from, id, steps.clone()).is_empty());
        assert!(
            fetch
                .on_manifest(now, from, served.manifest.clone())
                .is_empty()
        );
        let orders = fetch.on_chunk(now, from, id, *part, entries.clone());
        assert!(orders.is_empty());
        assert!(fetch.on_gone(now, from, id).is_empty());
        assert!(fetch.on_offer(now, from, Some(id)).is_empty());
        // Only what was asked for is worth it: nothing yet.
        assert!(!fetch.is_fetching());
    }
}
