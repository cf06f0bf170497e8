//! How often a kin is seen that lost a part of what it should hold: measured, and compared with the computation.

use crate::sharing_support::*;
use crate::stock::*;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::record::*;
use kithkin_protocol::units::ShareIndex;
use rand_core::Rng as _;
use std::collections::{BTreeMap, BTreeSet};

/// Batches as the kin's manifests have them, and as the chain's headers do.
struct Kept {
    manifests: BTreeMap<Digest, Manifest>,
    headers: Vec<BatchHeader>,
}

/// A chunk of a record of a batch.
type Chunk = (Digest, usize, usize);

impl Kept {
    fn new(batches: &[Vec<usize>]) -> Self {
        let manifest = |(batch, lengths): (usize, &Vec<usize>)| {
            let lengths = lengths.iter().enumerate();
            let lines = lengths.map(|(n, bytes)| line(batch as u8, n, *bytes));
            Manifest::new(lines.collect()).expect("a manifest")
        };
        let manifests: Vec<Manifest> = batches.iter().enumerate().map(manifest).collect();
        Self {
            headers: manifests.iter().map(header).collect(),
            manifests: manifests.into_iter().map(|m| (m.root(), m)).collect(),
        }
    }

    fn duties(&self) -> Duties<'_> {
        duties(self.headers.iter().map(|header| Duty {
            header,
            shape: threshold(3, 5),
            slot: index(1),
            erased: &NOTHING_ERASED,
        }))
    }

    /// Every chunk, and how likely one draw hits it.
    fn chunks(&self) -> Vec<(Chunk, f64)> {
        let held = |header: &BatchHeader| header.bytes.div_ceil(3) as f64;
        let total: f64 = self.headers.iter().map(held).sum();
        let mut all = Vec::new();
        for header in &self.headers {
            let root = header.manifest_root;
            for (n, entry) in self.manifests[&root].entries().iter().enumerate() {
                let count = entry.chunks(threshold(3, 5)).expect("a length");
                let of_record = held(header) / total * f64::from(entry.bytes) / header.bytes as f64;
                all.extend((0..count).map(|c| ((root, n, c), of_record / count as f64)));
            }
        }
        let whole: f64 = all.iter().map(|(_, chance)| chance).sum();
        assert!((whole - 1.0).abs() < 1e-9, "chances add up to {whole}");
        all
    }

    fn drawn(&self, place: &Place<'_>) -> Chunk {
        let root = place.duty.header.manifest_root;
        let manifest = &self.manifests[&root];
        let position = manifest.position_at(place.offset).expect("within");
        let entry = place.record(manifest).expect("within");
        (root, position, place.chunk(entry).expect("a length"))
    }

    /// Loses `lost`; how many of `rounds` do not see it, and how many should not.
    fn unseen(&self, lost: &BTreeSet<Chunk>, rounds: u64) -> (u64, f64) {
        let chances = self.chunks().into_iter();
        let part: f64 = chances
            .filter(|(chunk, _)| lost.contains(chunk))
            .map(|(_, chance)| chance)
            .sum();
        let duties = self.duties();
        let unseen = (0..rounds)
            .filter(|round| {
                let mut places = challenge(*round).places(&duties);
                !places.any(|place| lost.contains(&self.drawn(&place)))
            })
            .count();
        let miss = (1.0 - part).powi(CHALLENGES as i32);
        (unseen as u64, miss * rounds as f64)
    }
}

/// Whether a count fits its expectation: five standard deviations of a rare event's number, and one for the smallest.
fn fits((found, expected): (u64, f64)) -> bool {
    (found as f64 - expected).abs() <= 5.0 * expected.sqrt() + 1.0
}

/// The first of `all`, in an order drawn from `seed`, that make `part` of the whole.
fn some_of<T: Copy>(all: &[(T, f64)], part: f64, seed: u8) -> Vec<T> {
    let mut rng = rng(seed);
    let mut order: Vec<(u64, usize)> = (0..all.len()).map(|n| (rng.next_u64(), n)).collect();
    order.sort_unstable();
    let (mut chosen, mut sum) = (Vec::new(), 0.0);
    for (_, n) in order {
        let (one, chance) = all[n];
        if sum + chance <= part + 1e-9 {
            sum += chance;
            chosen.push(one);
        }
    }
    assert!(sum > part - 0.01, "only {sum} of {part}");
    chosen
}

/// Two batches of 50 records of one length: each shard has two chunks.
fn even() -> Kept {
    Kept::new(&[vec![3_000; 50], vec![3_000; 50]])
}

/// From 60 bytes to 64 KiB, as a patient's file has them.
fn uneven() -> Kept {
    let lengths =
        |from: u64| (0..60).map(move |n| 60 + ((n * n * 37 + from * n) % 65_477) as usize);
    Kept::new(&[
        lengths(1).collect(),
        lengths(9_001).collect(),
        vec![400; 200],
    ])
}

fn whole_records(kept: &Kept, part: f64, seed: u8) -> BTreeSet<Chunk> {
    let mut records: BTreeMap<(Digest, usize), f64> = BTreeMap::new();
    for ((root, n, _), chance) in kept.chunks() {
        *records.entry((root, n)).or_default() += chance;
    }
    let records: Vec<_> = records.into_iter().collect();
    let lost: BTreeSet<_> = some_of(&records, part, seed).into_iter().collect();
    let chunks = kept.chunks().into_iter().map(|(chunk, _)| chunk);
    chunks
        .filter(|(root, n, _)| lost.contains(&(*root, *n)))
        .collect()
}

fn single_chunks(kept: &Kept, part: f64, seed: u8) -> BTreeSet<Chunk> {
    some_of(&kept.chunks(), part, seed).into_iter().collect()
}

/// The computation: `1 - 0.7^20 = 0.99920`. Of 400,000 rounds 319 miss the loss, with a standard
/// deviation of 18; a thousandth would be 400, four and a half of them more.
#[test]
fn a_kin_that_lost_three_tenths_is_seen_in_a_round_with_more_than_0_999() {
    assert!(1.0 - 0.7f64.powi(CHALLENGES as i32) > 0.999);
    const ROUNDS: u64 = 400_000;
    let kept = even();
    let (unseen, expected) = kept.unseen(&single_chunks(&kept, 0.3, 1), ROUNDS);
    assert!((expected - 319.2).abs() < 0.1, "{expected}");
    assert!(fits((unseen, expected)), "{unseen}, not {expected}");
    assert!(unseen < ROUNDS / 1_000, "{unseen}");
}

#[test]
fn chunks_or_whole_records_even_or_not_only_the_bytes_count() {
    const ROUNDS: u64 = 40_000;
    for (name, kept) in [("even", even()), ("uneven", uneven())] {
        for part in [0.05, 0.1, 0.3] {
            for (what, lost) in [
                ("chunks", single_chunks(&kept, part, 2)),
                ("records", whole_records(&kept, part, 3)),
            ] {
                let counted = kept.unseen(&lost, ROUNDS);
                let (unseen, expected) = counted;
                assert!(
                    fits(counted),
                    "{part} of {name} {what}: {unseen}, not {expected}"
                );
            }
        }
    }
}

/// Bytes count, not records: 30 % of the records that are small are seen as the little that they are.
#[test]
fn many_small_records_are_seen_by_their_bytes_and_one_large_one_too() {
    let mut lengths = vec![300; 300];
    lengths.extend([30_000; 700]);
    let kept = Kept::new(&[lengths]);
    let small = |(_, n, _): &Chunk| *n < 300;
    let chunks = || kept.chunks().into_iter().map(|(chunk, _)| chunk);
    let lost: BTreeSet<Chunk> = chunks().filter(small).collect();
    let counted = kept.unseen(&lost, 4_000);
    assert!(fits(counted), "{counted:?}");
    assert!(counted.1 > 3_600.0, "{counted:?}");

    let mut lengths = vec![40; 999];
    lengths.push(1_000_000);
    let kept = Kept::new(&[lengths]);
    let chunks = kept.chunks().into_iter().map(|(chunk, _)| chunk);
    let lost: BTreeSet<Chunk> = chunks.filter(|(_, n, _)| *n == 999).collect();
    assert_eq!(kept.unseen(&lost, 2_000).0, 0);
}

/// Chi-squared over every chunk of two shapes and two slots; the bound is far beyond the 99.99 % quantile.
#[test]
fn every_chunk_is_drawn_as_often_as_it_has_bytes() {
    let first = Stock::new(1, threshold(3, 5), &[3_000, 60, 1_000]);
    let second = Stock::new(2, threshold(2, 3), &[700, 4_000]);
    let all = [first.duty(2), first.duty(5), second.duty(3)];
    let held = |duty: &Duty<'_>| duty.header.bytes.div_ceil(duty.shape.needed() as u64) as f64;
    let total: f64 = all.iter().map(held).sum();
    let duties = duties(all);
    assert_eq!(duties.bytes() as f64, total);
    let mut hits: BTreeMap<(Digest, ShareIndex, usize, usize), f64> = BTreeMap::new();
    let rounds = 10_000;
    for place in (0..rounds).flat_map(|round| challenge(round).places(&duties)) {
        let root = place.duty.header.manifest_root;
        let stock = if root == first.header.manifest_root {
            &first
        } else {
            &second
        };
        let entry = place.record(&stock.manifest).expect("within");
        let position = stock.manifest.position_at(place.offset).expect("within");
        let chunk = place.chunk(entry).expect("a length");
        *hits
            .entry((root, place.duty.slot, position, chunk))
            .or_default() += 1.0;
    }
    let (mut chi, mut cells) = (0.0, 0.0);
    for duty in all {
        let root = duty.header.manifest_root;
        let stock = if root == first.header.manifest_root {
            &first
        } else {
            &second
        };
        for (n, entry) in stock.manifest.entries().iter().enumerate() {
            let count = entry.chunks(duty.shape).expect("a length");
            let chance = held(&duty) / total * f64::from(entry.bytes) / duty.header.bytes as f64;
            let expected = (rounds as usize * CHALLENGES) as f64 * chance / count as f64;
            for chunk in 0..count {
                let found = hits.remove(&(root, duty.slot, n, chunk)).unwrap_or(0.0);
                chi += (found - expected).powi(2) / expected;
                cells += 1.0;
            }
        }
    }
    assert!(hits.is_empty(), "drawn out of nowhere: {hits:?}");
    let free = cells - 1.0f64;
    assert!(
        chi < free + 5.0 * (2.0 * free).sqrt() + 5.0,
        "{chi} of {free}"
    );
}
