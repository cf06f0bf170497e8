//! Writes the seeds of the fuzz targets into a folder, one subfolder per target: `fuzz_seeds FOLDER`.

use kithkin_protocol::consensus::Message;
use kithkin_protocol::testing::decoders::DECODERS;
use kithkin_protocol::wire;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).expect("a folder"));
    for decoder in DECODERS {
        let folder = folder.join(decoder.name);
        std::fs::create_dir_all(&folder)?;
        for (place, seed) in (decoder.seeds)().into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{place}")), seed)?;
        }
    }
    peer_frames(&folder.join("peer_frame"))
}

/// What goes from node to node: a byte for the lane and one for the kind, then the message.
fn peer_frames(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let seeds = |name: &str| {
        let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
        (decoder.expect("a decoder").seeds)()
    };
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for message in seeds("consensus_message") {
        let head = match wire::decode(&message).expect("a message") {
            Message::Proposal(_) | Message::Body(_) => [1, 2],
            Message::Committed(_) => [3, 4],
            _ => [0, 1],
        };
        frames.push([&head[..], &message].concat());
    }
    // A version byte, then an array of transactions.
    let transactions = seeds("transaction");
    let mut batch = vec![2, 3, transactions[0][0], 0x90 + transactions.len() as u8];
    for transaction in transactions {
        batch.extend_from_slice(&transaction[1..]);
    }
    frames.push(batch);
    for (place, frame) in frames.into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{place}")), frame)?;
    }
    Ok(())
}
