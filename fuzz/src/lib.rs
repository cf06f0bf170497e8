//! Decoders of what a node reads besides the frames of `kithkin_protocol`: frames of peers and clients, settings, genesis
//! files.
//!
//! The files of the program themselves are compiled in here, in modules of the same names: its crates would bring RocksDB
//! along, and libp2p, instrumented. What keeps this possible is that these files do no I/O of their own.
//! The bodies for `kithkin_protocol` are in `protocol/src/testing/decoders.rs`.

#![allow(dead_code, unused_imports)]

// What the settings name of that crate is below.
extern crate self as kithkin_actors;

#[path = "../../actors/src/ports"]
mod ports {
    pub mod names;
    pub mod network {
        pub mod far;
        pub use far::{Far, Frame};
    }
}

#[path = "../../actors/src/validator"]
mod validator {
    pub mod messages;

    /// The fields of the real one, whose file does I/O.
    #[derive(Clone, Copy, Debug)]
    pub struct SnapshotPolicy {
        pub every: std::num::NonZeroU64,
        pub keep: usize,
        pub chunk_bytes: u64,
    }

    impl Default for SnapshotPolicy {
        fn default() -> Self {
            Self {
                every: std::num::NonZeroU64::MIN,
                keep: 2,
                chunk_bytes: 1_048_576,
            }
        }
    }
}

#[path = "../../actors/src/peer"]
mod peer {
    mod codec;
    mod lane;

    use lane::Lane;

    /// As in the real one, whose file needs libp2p.
    pub const GUESTS_MAX: usize = 64;

    /// A frame as it comes on a stream: a byte for the lane, the kind, the frame. What is read is written as it came.
    pub fn frame(bytes: &[u8]) {
        let [lane, kind, frame @ ..] = bytes else {
            return;
        };
        let Some(lane) = Lane::ALL.get(usize::from(*lane)) else {
            return;
        };
        let written = match codec::read(*lane, *kind, frame) {
            Ok(codec::Arrived::Consensus(message)) => codec::write(&message),
            Ok(codec::Arrived::Gossip(message)) => codec::write(&message),
            Ok(codec::Arrived::Lacking(message)) => codec::write(&message),
            Ok(codec::Arrived::Supplied(message)) => codec::write(&message),
            Ok(codec::Arrived::Snapshot(message)) => codec::write(&message),
            // Written by its author only, out of the whole proposal.
            Ok(codec::Arrived::Outlined(message)) => {
                let bytes = kithkin_protocol::wire::encode(&message.0);
                let again = codec::read(*lane, *kind, &bytes);
                assert!(again.is_ok(), "what was written can be read");
                return;
            }
            Err(error) => return drop(error.to_string()),
        };
        let written = written.expect("what was read can be written");
        let lane = codec::lane(written.kind).expect("a kind of its own");
        let again = codec::read(lane, written.kind, &written.bytes);
        assert!(again.is_ok(), "what was written can be read");
    }
}

#[path = "../../actors/src/node"]
mod node {
    mod genesis_text;
    pub mod protocol;

    use genesis_text::TextError;

    /// A genesis file. A wrong digest is put right once, so that what it guards is reached.
    pub fn genesis(text: &str) {
        match genesis_text::read(text) {
            Err(TextError::Changed { found, said }) if !said.is_empty() => {
                drop(genesis_text::read(&text.replace(&said, &found)));
            }
            Err(error) => drop(error.to_string()),
            Ok(genesis) => {
                let written = genesis_text::write(&genesis).expect("it was read");
                let again = genesis_text::read(&written).expect("it was written");
                assert_eq!(again.chain_id(), genesis.chain_id());
            }
        }
    }

    /// What a node reads from a client: one question after the other, from bytes that end anywhere.
    pub fn questions(bytes: &[u8]) {
        said::<protocol::Question>(bytes, protocol::QUESTION_BYTES_MAX);
    }

    /// What a client reads from a node.
    pub fn answers(bytes: &[u8]) {
        said::<protocol::Said>(bytes, protocol::ANSWER_BYTES_MAX);
        said::<protocol::Welcome>(bytes, 4_096);
    }

    fn said<T: serde::de::DeserializeOwned + serde::Serialize>(mut bytes: &[u8], limit: usize) {
        loop {
            // Reading from a slice never waits.
            let next =
                futures_util::FutureExt::now_or_never(protocol::read::<T>(&mut bytes, limit));
            match next.expect("a slice is ready") {
                Ok(Some(value)) => {
                    let mut written = Vec::new();
                    protocol::put(&mut written, &value);
                    let mut written = written.as_slice();
                    let again = protocol::read::<T>(&mut written, usize::MAX);
                    let again = futures_util::FutureExt::now_or_never(again);
                    assert!(
                        matches!(again, Some(Ok(Some(_)))),
                        "what was written can be read"
                    );
                }
                Ok(None) => return,
                Err(error) => return drop(error.to_string()),
            }
        }
    }
}

#[path = "../../actors/src/limits.rs"]
mod limits;

#[path = "../../src/commands/node/settings"]
mod settings {
    mod layer;

    use crate::limits::Limits;
    use layer::{Layer, checked, read_env};
    use multiaddr::Multiaddr;

    /// A settings file, or the text of an environment variable.
    pub fn file(text: &str) {
        if let Ok(layer) = Layer::from_toml(text) {
            drop(checked(layer, false).map_err(|error| format!("{error:#}")));
        }
        if let Some((name, value)) = text.split_once('=') {
            let name = format!("KITHKIN_NODE_{name}");
            drop(read_env([(name, value.to_owned())].into_iter()));
        }
    }
}

/// Runs the body of this name.
///
/// # Panics
/// When there is none, and when the body has found something.
pub fn run(name: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes);
    match (name, text) {
        ("peer_frame", _) => peer::frame(bytes),
        ("door_question", _) => node::questions(bytes),
        ("door_answer", _) => node::answers(bytes),
        ("genesis_file", Ok(text)) => node::genesis(text),
        ("node_settings", Ok(text)) => settings::file(text),
        ("genesis_file" | "node_settings", Err(_)) => {}
        _ => panic!("no decoder of this name"),
    }
}
