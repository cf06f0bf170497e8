//! Answers to challenges: what passes, and that nothing else does.

use crate::sharing_support::*;
use crate::stock::*;
use kithkin_protocol::crypto::Digest;
use kithkin_protocol::ids::{ChainId, PatientId};
use kithkin_protocol::ledger::TRANSACTION_BYTES_MAX;
use kithkin_protocol::record::*;
use kithkin_protocol::units::{Epoch, Tier};
use kithkin_protocol::wire;
use std::collections::BTreeSet;

fn two() -> (Stock, Stock) {
    (
        Stock::new(1, threshold(3, 5), &[5_000, 60, 2_000]),
        Stock::new(2, threshold(2, 3), &[1_500, 1]),
    )
}

fn of<'a>(pair: &'a (Stock, Stock), place: &Place<'_>) -> &'a Stock {
    let first = place.duty.header.manifest_root == pair.0.header.manifest_root;
    if first { &pair.0 } else { &pair.1 }
}

fn answer(pair: &(Stock, Stock), duties: &Duties<'_>, challenge: &Challenge) -> Answer {
    let places = challenge.places(duties);
    let proofs = places.map(|place| of(pair, &place).prove(&place)).collect();
    Answer::new(proofs).expect("twenty")
}

#[test]
fn who_has_everything_passes_every_round() {
    let pair = two();
    let duties = duties([pair.0.duty(2), pair.0.duty(4), pair.1.duty(1)]);
    for round in 0..40 {
        let challenge = Challenge {
            round,
            ..challenge(1)
        };
        let answer = answer(&pair, &duties, &challenge);
        let frame = wire::encode(&answer);
        let answer: Answer = wire::decode_bounded(&frame, ANSWER_BYTES_MAX).expect("reads back");
        let expected = Verdict {
            held: CHALLENGES,
            ..Verdict::default()
        };
        assert_eq!(challenge.verify(&duties, &answer), Ok(expected));
    }
}

#[test]
fn an_answer_serves_one_challenge_only() {
    let pair = two();
    let all = duties([pair.0.duty(2), pair.1.duty(1)]);
    let good = challenge(1);
    let given = answer(&pair, &all, &good);
    let others = [
        Challenge {
            seed: Digest([8; 32]),
            ..good
        },
        Challenge {
            epoch: Epoch(2),
            ..good
        },
        Challenge {
            index: index(2),
            ..good
        },
        Challenge { round: 2, ..good },
    ];
    for other in others {
        assert!(matches!(
            other.verify(&all, &given),
            Err(PossessionError::Place { .. })
        ));
    }
    // The same batches in another order, and what the ledger learnt of receipts since, change nothing.
    let turned = duties([pair.1.duty(1), pair.0.duty(2)]);
    assert_eq!(good.verify(&turned, &given).expect("good").held, CHALLENGES);
    let fewer = duties([pair.0.duty(2)]);
    assert!(good.verify(&fewer, &given).is_err());
    let other_slot = duties([pair.0.duty(3), pair.1.duty(1)]);
    assert!(good.verify(&other_slot, &given).is_err());
}

#[test]
fn one_changed_bit_of_a_proof_is_refused() {
    let stock = Stock::new(1, threshold(3, 5), &[3_000, 700]);
    let duties = duties([stock.duty(2)]);
    let place = challenge(1).places(&duties).next().expect("twenty");
    let good = stock.prove(&place);
    assert_eq!(place.check(&good), Ok(Outcome::Held));
    let mut readable = 0;
    for (byte, changed) in bit_flips(&wire::encode(&good)) {
        if let Ok(proof) = wire::decode::<Proof>(&changed) {
            readable += 1;
            assert!(place.check(&proof).is_err(), "byte {byte}");
        }
    }
    assert!(readable > 5_000, "{readable}");
}

#[test]
fn the_chunk_of_another_place_is_refused() {
    let stock = Stock::new(1, threshold(3, 5), &[4_000, 4_000]);
    let duties = duties([stock.duty(2)]);
    let (mut elsewhere, mut wrong, mut held) = (0, 0, 0);
    let places: Vec<Place<'_>> = challenge(3).places(&duties).collect();
    for place in &places {
        for other in &places {
            match place.check(&stock.prove(other)) {
                Ok(outcome) => {
                    assert_eq!(outcome, Outcome::Held);
                    held += 1;
                }
                Err(PlaceFault::Elsewhere) => elsewhere += 1,
                Err(PlaceFault::Chunk(_)) => wrong += 1,
                Err(fault) => panic!("{fault}"),
            }
        }
    }
    assert!(elsewhere > 50 && wrong > 50 && held >= CHALLENGES);
    let Proof::Held(line, chunk) = stock.prove(&places[0]) else {
        panic!("it is there");
    };
    let number = places[0].chunk(&line.entry).expect("a length");
    let of_another = stock
        .shard(&line.entry.record, index(3))
        .chunk(number)
        .expect("a chunk");
    let fault = Err(PlaceFault::Chunk(ChunkFault {
        index: index(2),
        number,
    }));
    assert_eq!(
        places[0].check(&Proof::Held(line.clone(), of_another)),
        fault
    );
    let moved = ManifestLine {
        start: line.start + 1,
        ..line.clone()
    };
    let moved = Proof::Held(moved, chunk);
    assert_eq!(places[0].check(&moved), Err(PlaceFault::Line));
    assert_eq!(
        places[0].check(&Proof::Excused(line)),
        Err(PlaceFault::NotErased)
    );
}

#[test]
fn what_is_lost_or_rotten_is_said_so() {
    let stock = Stock::new(1, threshold(3, 5), &[3_000]);
    let duties = duties([stock.duty(2)]);
    let challenge = challenge(5);
    let rotten = |number: usize| {
        let mut shard = stock.shards[0][1].clone();
        shard.bytes[number * CHUNK_BYTES] ^= 1;
        shard
    };
    for (number, place) in challenge.places(&duties).enumerate() {
        let whole = place.prove(&stock.manifest, Some(&stock.shards[0][1]));
        assert!(matches!(whole, Proof::Held(..)));
        let line = &stock.manifest.entries()[0];
        let drawn = place.chunk(line).expect("a length");
        // One rotten bit spoils the tree, so the other chunk of the shard is lost as well.
        for shard in [None, Some(rotten(drawn)), Some(rotten(1 - drawn))] {
            assert_eq!(place.prove(&stock.manifest, shard.as_ref()), Proof::Lost);
        }
        let stranger = &stock.shards[0][2];
        assert_eq!(place.prove(&stock.manifest, Some(stranger)), Proof::Lost);
        let mut proofs: Vec<Proof> = challenge
            .places(&duties)
            .map(|place| stock.prove(&place))
            .collect();
        proofs[number] = Proof::Lost;
        let verdict = challenge.verify(&duties, &Answer::new(proofs).expect("twenty"));
        let verdict = verdict.expect("an honest word");
        assert_eq!((verdict.held, verdict.lost), (CHALLENGES - 1, vec![number]));
    }
}

#[test]
fn erased_records_need_not_be_shown_and_others_must() {
    let stock = Stock::new(1, threshold(3, 5), &[3_000, 3_000]);
    let erased = BTreeSet::from([stock.manifest.entries()[1].record]);
    let duty = Duty {
        erased: &erased,
        ..stock.duty(2)
    };
    let (with, without) = (duties([duty]), duties([stock.duty(2)]));
    let challenge = challenge(7);
    let proofs = challenge.places(&with).map(|place| stock.prove(&place));
    let answer = Answer::new(proofs.collect()).expect("twenty");
    let verdict = challenge.verify(&with, &answer).expect("good");
    assert_eq!(verdict.held + verdict.erased, CHALLENGES);
    assert!(verdict.held > 3 && verdict.erased > 3, "{verdict:?}");
    assert!(matches!(
        challenge.verify(&without, &answer),
        Err(PossessionError::Place {
            fault: PlaceFault::NotErased,
            ..
        })
    ));
}

/// A header that lies about its length must not make honest kin fail, and names its author.
#[test]
fn a_header_that_says_too_much_or_too_little_convicts_its_author() {
    let stock = Stock::new(1, threshold(3, 5), &[900, 800, 700]);
    let good = stock.header;
    let wrong = [
        BatchHeader {
            bytes: 4 * good.bytes,
            ..good
        },
        BatchHeader {
            bytes: 1_000,
            ..good
        },
        BatchHeader { records: 4, ..good },
    ];
    for (n, header) in wrong.iter().enumerate() {
        let duty = Duty {
            header,
            ..stock.duty(2)
        };
        let duties = duties([duty]);
        let challenge = challenge(n as u64);
        let proofs = challenge.places(&duties).map(|place| stock.prove(&place));
        let answer = Answer::new(proofs.collect()).expect("twenty");
        let verdict = challenge.verify(&duties, &answer).expect("good");
        assert_eq!(verdict.held + verdict.beyond, CHALLENGES);
        assert_eq!(verdict.beyond > 0, n == 0, "{verdict:?}");
        let named = BTreeSet::from([(good.manifest_root, AUTHOR)]);
        assert_eq!(verdict.misstated, named);
        // Only the last line shows where the batch ends.
        if n == 0 {
            let first = stock.manifest.line(0).expect("three lines");
            let mut places = challenge.places(&duties);
            let beyond = places
                .find(|place| place.offset >= good.bytes)
                .expect("some");
            let fault = beyond.check(&Proof::Excused(first));
            assert_eq!(fault, Err(PlaceFault::Elsewhere));
        }
    }
}

#[test]
fn duties_are_checked() {
    let stock = Stock::new(1, threshold(2, 3), &[100]);
    let none = Duties::new(CHAIN, PATIENT, Tier::Chart, []);
    assert_eq!(none.expect_err("nothing"), DutyError::Nothing);
    let slot = index(4);
    let refused = Duties::new(CHAIN, PATIENT, Tier::Chart, [stock.duty(4)]);
    let expected = DutyError::Slot { slot, kin: 3 };
    assert_eq!(refused.expect_err("three slots"), expected);
    let manifest_root = stock.header.manifest_root;
    for (chain, patient, tier) in [
        (ChainId([0; 32]), PATIENT, Tier::Chart),
        (CHAIN, PatientId([0; 32]), Tier::Chart),
        (CHAIN, PATIENT, Tier::Summary),
    ] {
        let refused = Duties::new(chain, patient, tier, [stock.duty(1)]);
        let expected = DutyError::Foreign { manifest_root };
        assert_eq!(refused.expect_err("foreign"), expected);
    }
    let huge = BatchHeader {
        bytes: u64::MAX,
        ..stock.header
    };
    let duty = Duty {
        header: &huge,
        ..stock.duty(1)
    };
    let refused = Duties::new(CHAIN, PATIENT, Tier::Chart, [duty; 3]);
    let expected = DutyError::TooMany { found: 3 };
    assert_eq!(refused.expect_err("too much"), expected);
}

#[test]
fn an_answer_has_one_proof_for_each_place() {
    for found in [0, CHALLENGES - 1, CHALLENGES + 1] {
        let proofs = vec![Proof::Lost; found];
        let frame = wire::encode(&proofs);
        assert!(wire::decode::<Answer>(&frame).is_err());
        assert_eq!(Answer::new(proofs), Err(PossessionError::Count { found }));
    }
}

/// The longest paths there can be: the largest record, in a manifest of the most lines, of the roster with the deepest trees.
#[test]
fn the_longest_answer_fits_into_a_transaction() {
    let depth = |leaves: usize| leaves.next_power_of_two().ilog2();
    let longest = line(1, 0, CIPHERTEXT_BYTES_MAX);
    let deepest = (3..=64)
        .map(|kin| threshold(kin / 2 + 1, kin))
        .max_by_key(|shape| depth(longest.chunks(*shape).expect("a length")) + depth(shape.kin()))
        .expect("some");
    let stock = Stock::new(1, deepest, &[CIPHERTEXT_BYTES_MAX]);
    let mut lines = stock.manifest.entries().to_vec();
    lines.extend((1..RECORDS_MAX).map(|n| line(1, n, 1)));
    let manifest = Manifest::new(lines).expect("the most");
    let header = header(&manifest);
    let duty = Duty {
        header: &header,
        ..stock.duty(2)
    };
    let duties = duties([duty]);
    let challenge = challenge(1);
    let shard = &stock.shards[0][1];
    let proofs = challenge
        .places(&duties)
        .map(|place| place.prove(&manifest, Some(shard)));
    let answer = Answer::new(proofs.collect()).expect("twenty");
    let verdict = challenge.verify(&duties, &answer).expect("good");
    assert_eq!(verdict.held, CHALLENGES);
    let bytes = wire::encode(&answer).len();
    assert!(
        (34_000..=ANSWER_BYTES_MAX).contains(&bytes),
        "{bytes} bytes"
    );
    const { assert!(ANSWER_BYTES_MAX + 16 * 1024 <= TRANSACTION_BYTES_MAX) };
}
