//! What happens to bytes from outside: one body per kind of frame, for the fuzzer and for a plain test.
//!
//! Each body decodes; what decodes must survive encoding, and goes through every check that a peer could reach with it.
//! Nothing here may panic. The fuzz targets in `fuzz/` call these bodies, `make fuzz` runs them; the test at the end runs
//! them over the seeds and random mutations of the seeds, `tests/regressions.rs` over every input that ever crashed
//! (`fuzz/regressions/`).

mod amendment;
mod consensus;
mod ledger;
mod record;
mod scene;

use crate::testing::snapshot_decoder::{snapshot, snapshot_seeds};
use crate::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// One kind of frame.
#[derive(Clone, Copy)]
pub struct Decoder {
    /// Its name, as the fuzz target's.
    pub name: &'static str,
    /// What is done with bytes from outside.
    pub body: fn(&[u8]),
    /// Frames that decode.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const DECODERS: &[Decoder] = &[
    Decoder {
        name: "consensus_message",
        body: consensus::consensus_message,
        seeds: consensus::message_seeds,
    },
    Decoder {
        name: "consensus_signed",
        body: consensus::consensus_signed,
        seeds: consensus::message_seeds,
    },
    Decoder {
        name: "wal",
        body: consensus::wal,
        seeds: consensus::wal_seeds,
    },
    Decoder {
        name: "finalized",
        body: consensus::finalized,
        seeds: consensus::finalized_seeds,
    },
    Decoder {
        name: "transaction",
        body: ledger::transaction,
        seeds: ledger::transaction_seeds,
    },
    Decoder {
        name: "amendment",
        body: amendment::body,
        seeds: amendment::seeds,
    },
    Decoder {
        name: "genesis",
        body: ledger::genesis,
        seeds: ledger::genesis_seeds,
    },
    Decoder {
        name: "proof",
        body: ledger::proof,
        seeds: ledger::proof_seeds,
    },
    Decoder {
        name: "light_client",
        body: ledger::light_client,
        seeds: ledger::light_client_seeds,
    },
    Decoder {
        name: "stored_state",
        body: ledger::stored_state,
        seeds: ledger::stored_state_seeds,
    },
    Decoder {
        name: "snapshot",
        body: snapshot,
        seeds: snapshot_seeds,
    },
    Decoder {
        name: "record",
        body: record::record,
        seeds: record::record_seeds,
    },
];

/// Runs the body of this name.
///
/// # Panics
/// When there is none, and when the body has found something.
pub fn run(name: &str, frame: &[u8]) {
    let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
    (decoder.expect("a decoder of this name").body)(frame);
}

/// What decodes must be the same after encoding and decoding once more.
pub(super) fn decoded<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    frame: &[u8],
) -> Option<T> {
    let value: T = wire::decode(frame).ok()?;
    let again = wire::encode(&value);
    assert_eq!(wire::decode::<T>(&again).as_ref(), Ok(&value));
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Finalized, Message};
    use crate::ledger::light::{Claim, Follower, Step};
    use crate::ledger::{SignedTransaction, TxProof};
    use crate::testing::decoders::consensus::{finalized_seeds, message_seeds};
    use crate::testing::decoders::ledger::{light_client_seeds, proof_seeds, transaction_seeds};
    use crate::testing::decoders::scene::with_scene;
    use crate::units::Height;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    /// How many mutations of the seeds each decoder gets here; the fuzzer makes millions.
    const MUTATIONS: usize = 2_000;

    #[test]
    fn every_decoder_takes_its_seeds() {
        for decoder in DECODERS {
            let seeds = (decoder.seeds)();
            assert!(!seeds.is_empty(), "{}", decoder.name);
            for seed in &seeds {
                (decoder.body)(seed);
            }
        }
        // A seed that no longer decodes would test nothing.
        with_scene(|scene| {
            let (step, claim): (Step, Claim) = wire::decode(&light_client_seeds()[0]).unwrap();
            let mut follower = Follower::new(&scene.fixture.genesis).unwrap();
            assert_eq!(follower.follow(&step), Ok(()));
            assert!(follower.check(&claim).is_ok());
        });
        for frame in message_seeds() {
            assert!(wire::decode::<Message>(&frame).is_ok());
        }
        for frame in transaction_seeds() {
            assert!(wire::decode::<SignedTransaction>(&frame).is_ok());
        }
        with_scene(|scene| {
            let frame = &finalized_seeds()[3];
            let next: Finalized = wire::decode(frame).unwrap();
            assert_eq!(scene.ledger.clone().check_block(&next.block), Ok(()));
            let proof: TxProof = wire::decode(&proof_seeds()[0]).unwrap();
            let set = scene.ledger.standings().validators();
            assert_eq!(proof.verify(scene.chain, set), Ok((Height(1), 0)));
        });
    }

    #[test]
    fn no_decoder_panics_on_mutated_frames() {
        let seed = std::env::var("KITHKIN_SEED").ok();
        let seed: u64 = seed.map_or(1, |seed| seed.parse().expect("a number"));
        println!("KITHKIN_SEED={seed}");
        for decoder in DECODERS {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let seeds = (decoder.seeds)();
            for _ in 0..MUTATIONS {
                let mut frame = seeds[draw(&mut rng, seeds.len())].clone();
                for _ in 0..=draw(&mut rng, 3) {
                    mutate(&mut rng, &mut frame, &seeds);
                }
                (decoder.body)(&frame);
            }
        }
    }

    fn draw(rng: &mut ChaCha20Rng, below: usize) -> usize {
        usize::try_from(rng.next_u64() % below as u64).unwrap()
    }

    fn mutate(rng: &mut ChaCha20Rng, frame: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        if frame.is_empty() {
            return frame.push(1);
        }
        let place = draw(rng, frame.len());
        match draw(rng, 7) {
            0 => frame[place] ^= 1 << draw(rng, 8),
            1 => frame[place] = [0, 1, 0x7f, 0x80, 0xc0, 0xdc, 0xff][draw(rng, 7)],
            2 => frame[place] = frame[place].wrapping_add(1),
            3 => frame.truncate(place),
            4 => frame.insert(place, rng.next_u64() as u8),
            5 => {
                frame.remove(place);
            }
            _ => {
                let other = &seeds[draw(rng, seeds.len())];
                let from = draw(rng, other.len());
                let length = draw(rng, 64)
                    .min(other.len() - from)
                    .min(frame.len() - place);
                frame[place..place + length].copy_from_slice(&other[from..from + length]);
            }
        }
    }
}
