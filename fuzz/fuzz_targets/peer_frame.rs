//! See `kithkin_fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    kithkin_fuzz::run("peer_frame", bytes);
});
