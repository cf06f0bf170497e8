//! Small synthetic bundles for demos and tests. Every patient is invented and labelled HTEST.
//!
//! Not here: bundles that must be refused; tests make those themselves.

/// A transaction: one patient with what an emergency room looks for (penicillin allergy, warfarin,
/// insulin, pacemaker, blood group, emergency contacts) and a few sensitive resources.
#[must_use]
pub fn demo_bundle() -> &'static [u8] {
    include_bytes!("../fixtures/demo-patient.json")
}

/// A document with a Composition, two patients of whom the subject is one, and a section about
/// which the record says that nothing is known.
#[must_use]
pub fn document_bundle() -> &'static [u8] {
    include_bytes!("../fixtures/document.json")
}

/// A collection without full URLs, oddly spaced and escaped, with one labelled resource.
#[must_use]
pub fn collection_bundle() -> &'static [u8] {
    include_bytes!("../fixtures/collection.json")
}
