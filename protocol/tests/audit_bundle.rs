//! The bytes of an audit bundle, pinned. The files are the fuzzer's seeds as well, in `fuzz/seeds/`.
//! `KITHKIN_BLESS=1 cargo test -p kithkin-protocol --features testing --test audit_bundle` writes them anew: a deliberate act,
//! because bundles of before are then no longer understood.
//!
//! The scene is that of the unit tests, compiled in here: it needs nothing private, and the crate's own sources do no I/O.

// The unit tests use more of the scene.
#![allow(dead_code)]

// Where the scene looks for them.
use kithkin_protocol::{
    audit, consensus, crypto, emergency, ids, record, roster, sharing, testing, units,
};

#[path = "../src/ledger"]
mod ledger {
    pub(crate) use kithkin_protocol::ledger::*;
    pub(crate) mod test_chain;
}

#[path = "../src/audit/tests/scene.rs"]
mod scene;

#[path = "../src/audit/tests/story.rs"]
mod story;

use kithkin_protocol::wire;
use std::path::Path;

/// What the seed of that name holds; `KITHKIN_BLESS=1` puts `bytes` there first.
fn pinned(name: &str, bytes: &[u8]) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(name);
    if std::env::var_os("KITHKIN_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(&file, bytes).expect("written");
    }
    std::fs::read(&file).expect("a seed; KITHKIN_BLESS=1 writes it")
}

#[test]
fn a_bundle_has_the_pinned_bytes() {
    let (mut scene, case) = story::story();
    let bundle = scene.bundle(audit::Subject::Case(case)).encode().unwrap();
    let genesis = wire::encode(&scene.chain.genesis);
    let seed = pinned("audit_bundle/case", &bundle);
    assert!(bundle == seed, "audit_bundle/case has changed");
    let expected = pinned("audit_genesis/genesis", &genesis);
    assert!(genesis == expected, "audit_genesis/genesis has changed");
    assert!(audit::verify_bytes(&scene.chain.genesis, &seed).is_ok());
}
