//! Audit bundles: what decodes has one encoding and goes through the whole verification. The genesis beside the seeds is
//! theirs.
#![no_main]

use kithkin_protocol::audit::{Bundle, verify};
use kithkin_protocol::ledger::Genesis;
use std::sync::LazyLock;

static GENESIS: LazyLock<Genesis> = LazyLock::new(|| {
    let bytes = include_bytes!("../seeds/audit_genesis/genesis");
    kithkin_protocol::wire::decode(bytes).expect("a genesis")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(bundle) = Bundle::decode(bytes) {
        assert_eq!(bundle.encode().as_deref(), Ok(bytes));
        // Whether it holds is not asked here: only that it can be told.
        let _ = verify(&GENESIS, &bundle);
    }
});
