//! The real files beside the checkout: Synthea's transactions and HL7's example of a summary.

use std::path::Path;

use kithkin_fhir::bundle::Bundle;
use kithkin_fhir::cut;
use kithkin_fhir::summary::{self, Counts};

const FILES: [(&str, [usize; 3]); 4] = [
    ("IPS_IG-bundle-01.json", [2, 2, 1]),
    (
        "Kermit_Trantow_f1a650a5-737e-4fd7-828e-03c3348b9524.json",
        [3, 3, 1],
    ),
    (
        "Marcos_Delagarza_4acb6705-25a7-430a-b799-a4ad8d7fbb38.json",
        [7, 3, 3],
    ),
    (
        "Ned_Hintz_e4b9259d-0f54-48d1-a35d-b526729a4dfe.json",
        [0, 0, 1],
    ),
];

#[test]
fn real_bundles_come_back_and_their_counts_agree() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if !folder.is_dir() {
        eprintln!(
            "shared data absent: {} is no folder; skipped",
            folder.display()
        );
        return;
    }
    for (name, [allergies, medications, problems]) in FILES {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let bundle = Bundle::parse(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let cut = cut::cut(&bundle, 1_767_225_600_000).unwrap();
        let mut parts: Vec<Vec<u8>> = cut.parts.iter().map(|part| part.bytes.clone()).collect();
        assert_eq!(parts.len(), bundle.entries().len() + 1);
        parts.reverse();
        assert!(
            cut::join(&parts).unwrap() == bytes,
            "{name} came back changed"
        );
        let counts = summary::counts(&cut.summary).unwrap();
        assert_eq!(counts, summary::active_counts(&bundle), "{name}");
        let expected = Counts {
            allergies,
            medications,
            problems,
            withheld: 0,
        };
        assert_eq!(counts, expected, "{name}");
        let text = summary::render_text(&cut.summary).unwrap();
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{name}"
        );
    }
}
