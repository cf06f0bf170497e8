//! See `kithkin_protocol::testing::decoders`.
#![no_main]

libfuzzer_sys::fuzz_target!(|frame: &[u8]| {
    kithkin_protocol::testing::decoders::run("snapshot", frame);
});
