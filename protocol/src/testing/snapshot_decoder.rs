//! The decoder of what nodes say about snapshots, for [`super::decoders`].

use super::decoders::decoded;
use super::fixture::fixture;
use crate::ids::ValidatorId;
use crate::ledger::light::Follower;
use crate::ledger::snapshot::{
    Entry, Fetch, FetchConfig, Manifest, ManifestBuilder, SnapshotId, StateSync, Survey, place,
};
use crate::ledger::{Genesis, Ledger, Profile};
use crate::units::{Height, Millis};
use crate::wire;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state at the genesis, as if it were a snapshot.
fn sample(genesis: &Genesis) -> (Manifest, BTreeMap<u32, Vec<Entry>>) {
    let ledger = Ledger::genesis(genesis).expect("a good genesis").0;
    let mut survey = Survey::default();
    let mut sorted = BTreeMap::new();
    for (key, value) in ledger.state().entries() {
        survey.add(&key, &value);
        sorted.insert(place(&key), Entry { key, value });
    }
    let depth = survey.depth(1).expect("small");
    let mut builder = ManifestBuilder::new(Height(0), depth);
    for entry in sorted.values() {
        builder.add(entry).expect("ascending");
    }
    let manifest = builder.finish();
    let mut parts: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
    for (place, entry) in sorted {
        parts
            .entry(manifest.part_of(&place))
            .or_default()
            .push(entry);
    }
    (manifest, parts)
}

/// What is done with such a frame.
pub(super) fn snapshot(frame: &[u8]) {
    let Some(message) = decoded::<StateSync>(frame) else {
        return;
    };
    let genesis = Arc::new(fixture(4, Profile::Balanced).genesis);
    let (now, peer) = (Millis(7), ValidatorId(1));
    let config = FetchConfig {
        me: ValidatorId(0),
        genesis: Arc::clone(&genesis),
        every: 1,
        offers_ms: 1,
        answers_ms: 1,
    };
    let mut fetch = Fetch::new(config, None, Vec::new());
    let _ = fetch.ask(now, Height(0), true, &[peer]);
    match message {
        StateSync::Offer { snapshot } => {
            let _ = fetch.on_offer(now, peer, snapshot);
        }
        StateSync::Steps { snapshot, steps } => {
            let mut follower = Follower::new(&genesis).expect("a good genesis");
            let _ = steps.iter().try_for_each(|step| follower.follow(step));
            let _ = fetch.on_offer(now, peer, Some(snapshot));
            let _ = fetch.on_steps(now, peer, snapshot, steps);
        }
        StateSync::Manifest(manifest) => {
            let _ = (manifest.root(), manifest.parts().count());
            let _ = manifest.check(u32::MAX, &[]);
            let _ = manifest.part_of(&manifest.first_place(u32::MAX));
            let _ = fetch.on_manifest(now, peer, *manifest);
        }
        StateSync::Chunk {
            snapshot,
            part,
            entries,
        } => {
            let (manifest, parts) = sample(&genesis);
            let holds = manifest.check(part, &entries).is_ok();
            // Nothing but the part itself is taken for it.
            let there = part < 1 << manifest.depth();
            let same = parts.get(&part).unwrap_or(&Vec::new()) == &entries;
            assert_eq!(holds, there && same);
            let _ = fetch.on_chunk(now, peer, snapshot, part, entries);
        }
        StateSync::Gone { snapshot } => {
            let _ = fetch.on_gone(now, peer, snapshot);
        }
        StateSync::Ask { .. }
        | StateSync::GetSteps { .. }
        | StateSync::GetManifest { .. }
        | StateSync::GetChunk { .. } => {}
    }
    let _ = fetch.on_tick(now.plus(9), Height(0));
}

/// Frames that decode.
pub(super) fn snapshot_seeds() -> Vec<Vec<u8>> {
    let (manifest, parts) = sample(&fixture(4, Profile::Balanced).genesis);
    let snapshot = SnapshotId {
        height: Height(20),
        ..manifest.id()
    };
    let chunks = parts.into_iter().map(|(part, entries)| StateSync::Chunk {
        snapshot,
        part,
        entries,
    });
    let height = Height(3);
    let questions = [
        StateSync::Ask { height },
        StateSync::Offer {
            snapshot: Some(snapshot),
        },
        StateSync::GetSteps {
            snapshot,
            after: height,
        },
        StateSync::Steps {
            snapshot,
            steps: Vec::new(),
        },
        StateSync::Manifest(Box::new(manifest)),
        StateSync::GetManifest { snapshot },
        StateSync::GetChunk { snapshot, part: 1 },
        StateSync::Gone { snapshot },
    ];
    let messages = chunks.chain(questions);
    messages.map(|message| wire::encode(&message)).collect()
}
