//! Records of one upload that are being put together from shards of many kin. No I/O.

use crate::upload::Upload;
use kithkin_protocol::ids::RecordId;
use kithkin_protocol::record::{RecordEntry, Shard, ShardError, ShardFault, rebuild};
use kithkin_protocol::sharing::Threshold;
use kithkin_protocol::units::ShareIndex;
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of shards that are asked for in one message, unless a single shard has more.
const ASK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Ciphertexts by record, and why others are missing.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) ciphertexts: BTreeMap<RecordId, Vec<u8>>,
    pub(super) missing: BTreeMap<RecordId, String>,
}

/// Records of one upload that are being put together.
#[derive(Default)]
pub(super) struct Puzzle {
    threshold: Option<Threshold>,
    open: BTreeMap<RecordId, (RecordEntry, Vec<Shard>)>,
    done: Gathered,
}

impl Puzzle {
    pub(super) fn new(upload: &Upload, wanted: &BTreeSet<RecordId>, threshold: Threshold) -> Self {
        let entries = upload.manifest.entries().iter().cloned();
        let open = entries
            .filter(|entry| wanted.contains(&entry.record))
            .map(|entry| (entry.record, (entry, Vec::new())));
        Self {
            threshold: Some(threshold),
            open: open.collect(),
            done: Gathered::default(),
        }
    }

    /// The records in portions whose shards fit into one answer; nothing in particular when that is all.
    pub(super) fn questions(&self) -> Vec<Vec<RecordId>> {
        let needed = self.threshold.map_or(1, Threshold::needed);
        let (mut portions, mut portion, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (record, (entry, _)) in &self.open {
            let shard = usize::try_from(entry.bytes).unwrap_or(usize::MAX) / needed;
            if bytes + shard > ASK_BYTES_MAX && !portion.is_empty() {
                portions.push(std::mem::take(&mut portion));
                bytes = 0;
            }
            bytes += shard;
            portion.push(*record);
        }
        portions.push(portion);
        portions
    }

    /// Takes in the shards of a kin that holds these slots. False when it sent somebody else's.
    pub(super) fn add(&mut self, slots: &[ShareIndex], shards: Vec<(RecordId, Shard)>) -> bool {
        let mut all_own = true;
        for (record, shard) in shards {
            let Some((_, collected)) = self.open.get_mut(&record) else {
                continue;
            };
            if !slots.contains(&shard.index) {
                all_own = false;
            } else if collected.iter().all(|known| known.index != shard.index) {
                collected.push(shard);
            }
        }
        all_own
    }

    pub(super) fn is_solved(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether some record has enough shards to be tried.
    pub(super) fn is_ready(&self) -> bool {
        let needed = self.threshold.map_or(usize::MAX, Threshold::needed);
        self.open.values().any(|(_, shards)| shards.len() >= needed)
    }

    /// Puts together what can be. Names kin whose shards were bad.
    pub(super) fn solve(&mut self) -> BTreeSet<ShareIndex> {
        let mut bad = BTreeSet::new();
        let Some(threshold) = self.threshold else {
            return bad;
        };
        let mut blame = |refused: &[ShardFault]| {
            bad.extend(refused.iter().filter_map(|fault| match fault {
                ShardFault::Wrong { index } => Some(*index),
                ShardFault::Duplicate { .. } => None,
            }));
        };
        let done = &mut self.done;
        self.open.retain(|record, (entry, shards)| {
            if shards.len() < threshold.needed() {
                return true;
            }
            match rebuild(shards, threshold, entry) {
                Ok(rebuilt) => {
                    blame(&rebuilt.refused);
                    done.ciphertexts.insert(*record, rebuilt.ciphertext);
                    false
                }
                Err(ShardError::TooFew { refused, .. }) => {
                    blame(&refused);
                    let refused: BTreeSet<_> = refused.iter().map(index_of).collect();
                    shards.retain(|shard| !refused.contains(&shard.index));
                    true
                }
                Err(error) => {
                    done.missing.insert(*record, error.to_string());
                    false
                }
            }
        });
        bad
    }

    pub(super) fn finish(self) -> Gathered {
        let mut done = self.done;
        let needed = self.threshold.map_or(0, Threshold::needed);
        for (record, (_, shards)) in self.open {
            let reason = format!("{} of {needed} shards came in time", shards.len());
            done.missing.insert(record, reason);
        }
        done
    }
}

fn index_of(fault: &ShardFault) -> ShareIndex {
    match fault {
        ShardFault::Wrong { index } | ShardFault::Duplicate { index } => *index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithkin_protocol::crypto::Digest;
    use kithkin_protocol::ids::{ChainId, HospitalId, PatientId};
    use kithkin_protocol::record::{Manifest, ciphertext_digest, shards};
    use kithkin_protocol::units::{Epoch, Tier};

    const KIN: usize = 5;

    /// Two records with the shards of five kin, three of which are needed.
    fn upload() -> (Upload, Vec<Vec<(RecordId, Shard)>>, Threshold) {
        let threshold = Threshold::majority(KIN).expect("five");
        let (mut entries, mut of_kin) = (Vec::new(), vec![Vec::new(); KIN]);
        for n in 1..=2u8 {
            let (record, ciphertext) = (RecordId([n; 32]), vec![n; 1_000]);
            let set = shards(&ciphertext, threshold).expect("cut");
            for (kin, shard) in of_kin.iter_mut().zip(set.shards) {
                kin.push((record, shard));
            }
            entries.push(RecordEntry {
                record,
                commitment: Digest::ZERO,
                ciphertext: ciphertext_digest(&ciphertext),
                capsule: Digest::ZERO,
                shard_root: set.root,
                bytes: 1_000,
            });
        }
        let upload = Upload {
            chain: ChainId([0; 32]),
            patient: PatientId([0; 32]),
            tier: Tier::Chart,
            author: HospitalId([0; 32]),
            epoch: Epoch(1),
            manifest: Manifest::new(entries).expect("two"),
            capsules: Vec::new(),
        };
        (upload, of_kin, threshold)
    }

    fn index(position: usize) -> ShareIndex {
        ShareIndex::from_position(position).expect("few")
    }

    fn both() -> BTreeSet<RecordId> {
        BTreeSet::from([RecordId([1; 32]), RecordId([2; 32])])
    }

    #[test]
    fn any_three_of_five_do_and_two_do_not() {
        for (a, b, c) in [(0, 1, 2), (0, 2, 4), (2, 3, 4)] {
            let (upload, of_kin, threshold) = upload();
            let mut puzzle = Puzzle::new(&upload, &both(), threshold);
            for kin in [a, b] {
                assert!(puzzle.add(&[index(kin)], of_kin[kin].clone()));
            }
            assert!(!puzzle.is_ready());
            puzzle.add(&[index(c)], of_kin[c].clone());
            assert!(puzzle.solve().is_empty());
            assert!(puzzle.is_solved());
            assert_eq!(
                puzzle.finish().ciphertexts[&RecordId([2; 32])],
                vec![2; 1_000]
            );
        }
    }

    #[test]
    fn a_bad_shard_names_its_kin_and_the_next_one_helps_out() {
        let (upload, mut of_kin, threshold) = upload();
        let mut puzzle = Puzzle::new(&upload, &both(), threshold);
        of_kin[1][0].1.bytes[7] ^= 1;
        for (kin, shards) in of_kin.iter().enumerate().take(3) {
            puzzle.add(&[index(kin)], shards.clone());
        }
        assert_eq!(puzzle.solve(), BTreeSet::from([index(1)]));
        assert!(!puzzle.is_solved());
        puzzle.add(&[index(3)], of_kin[3].clone());
        assert!(puzzle.solve().is_empty());
        assert!(puzzle.is_solved());
    }

    #[test]
    fn who_sends_the_shard_of_another_is_named() {
        let (upload, of_kin, threshold) = upload();
        let mut puzzle = Puzzle::new(&upload, &both(), threshold);
        assert!(!puzzle.add(&[index(4)], of_kin[0].clone()));
        let missing = puzzle.finish().missing;
        assert_eq!(missing.len(), 2);
    }

    #[test]
    fn what_nobody_asked_for_is_left_out() {
        let (upload, of_kin, threshold) = upload();
        let one = BTreeSet::from([RecordId([1; 32])]);
        let mut puzzle = Puzzle::new(&upload, &one, threshold);
        assert_eq!(puzzle.questions(), vec![vec![RecordId([1; 32])]]);
        for (kin, shards) in of_kin.iter().enumerate() {
            puzzle.add(&[index(kin)], shards.clone());
        }
        puzzle.solve();
        assert_eq!(puzzle.finish().ciphertexts.len(), 1);
    }
}
