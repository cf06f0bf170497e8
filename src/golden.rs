//! Pages that tests compare texts with. `KITHKIN_BLESS=1` writes them anew; read the difference before committing it.

use std::path::Path;

/// Checks that a text is what the page `name` in this folder of the project says.
pub(crate) fn agrees(folder: &str, name: &str, found: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let path = folder.join(name);
    if std::env::var_os("KITHKIN_BLESS").is_some() {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(&path, found).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{}", path.display());
}
