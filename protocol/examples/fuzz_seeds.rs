//! Writes the seeds of the fuzz targets into a folder, one subfolder per target: `fuzz_seeds FOLDER`.

use kithkin_protocol::testing::decoders::DECODERS;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).expect("a folder"));
    for decoder in DECODERS {
        let folder = folder.join(decoder.name);
        std::fs::create_dir_all(&folder)?;
        for (place, seed) in (decoder.seeds)().into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{place}")), seed)?;
        }
    }
    Ok(())
}
