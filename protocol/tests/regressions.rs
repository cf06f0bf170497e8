//! Inputs that once crashed a decoder, by its name: `fuzz/regressions/`. Empty as long as none has been found.

use kithkin_protocol::testing::decoders::DECODERS;
use std::path::Path;

#[test]
fn no_decoder_panics_on_what_once_crashed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions");
    assert!(folder.is_dir(), "{} is missing", folder.display());
    for decoder in DECODERS {
        let Ok(files) = std::fs::read_dir(folder.join(decoder.name)) else {
            continue;
        };
        for file in files {
            let frame = std::fs::read(file.unwrap().path()).unwrap();
            (decoder.body)(&frame);
        }
    }
}
