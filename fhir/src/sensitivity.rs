//! Which resources of a bundle are sensitive.
//!
//! A resource is sensitive when
//!
//! 1. it is labelled: v3-Confidentiality `R` or `V`, or a sensitivity label of v3-ActCode;
//! 2. it carries, anywhere in its JSON, a code of the value set ([`codes`]), or a concept whose
//!    words are exactly those of the value set, or a medication named after a listed ingredient;
//! 3. it refers to a sensitive resource: the prescription whose reason is a sensitive condition,
//!    the claim for it, the encounter for it, the document whose text tells of it. Not counted are
//!    references that only say whose (`Patient`) and, for statements complete in themselves such
//!    as an allergy or a blood pressure, at which encounter: a penicillin allergy noted during
//!    psychiatric care must not vanish from the emergency summary (the id of the encounter then
//!    stays in the chart, and nothing else of it);
//! 4. it has no meaning but through sensitive ones: members of a sensitive panel, and medications,
//!    binaries and specimens to which only sensitive resources refer;
//! 5. the whole record is labelled (`Bundle.meta.security`, or the `confidentiality` of a
//!    document's Composition) and the resource itself is not labelled as unrestricted.
//!
//! Rules 3 and 4 are applied until nothing changes. The patient is the exception: always chart,
//! unless itself labelled, for everything else hangs on it.
//!
//! Known limits: free text (narratives, notes, attachments) is not understood. A note that tells
//! of a sensitive thing without a label, a code or a reference to it is chart.
//!
//! Not here: the tables (`value_set.rs`), reading one resource (`scan.rs`), references between
//! resources (`spread.rs`). Read next: [`mod@crate::cut`].

mod scan;
mod spread;
mod value_set;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::bundle::{Bundle, Entry, Kind};
use crate::json;
use scan::Scan;
use spread::{Node, spread};

pub use value_set::{SOURCES, VERSION};

/// What a code of the value set tells about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Category {
    /// Mental health, self-harm, dementia.
    Psychiatry,
    /// Infection with HIV, its tests and its drugs.
    Hiv,
    /// Domestic and sexual violence, abuse, neglect.
    Violence,
    /// Carrier status, susceptibility, genetic reports.
    Genetics,
    /// Substance use without tobacco.
    Addiction,
    /// Sexuality, sexually transmitted infections, termination of pregnancy.
    Sexuality,
    /// Labelled as specially protected without saying why.
    Other,
}

/// A code system of the value set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum System {
    /// SNOMED CT.
    Snomed,
    /// LOINC.
    Loinc,
    /// ICD-10 and its national modifications, ICD-10-CM included.
    Icd10,
    /// ICD-9-CM.
    Icd9Cm,
    /// RxNorm.
    RxNorm,
    /// Anatomical Therapeutic Chemical classification.
    Atc,
}

/// One line of the value set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// The code system.
    pub system: System,
    /// The code; classifications without the dot.
    pub code: &'static str,
    /// Whether every code that begins with this one is meant.
    pub prefix: bool,
    /// What it tells about.
    pub category: Category,
    /// What it means, in our words.
    pub description: &'static str,
}

impl System {
    /// The system meant by a URI in a Coding.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        let uri = uri.trim_end_matches('/');
        Some(match uri {
            "http://snomed.info/sct" | "urn:oid:2.16.840.1.113883.6.96" => Self::Snomed,
            "http://loinc.org" | "https://loinc.org" | "urn:oid:2.16.840.1.113883.6.1" => {
                Self::Loinc
            }
            "urn:oid:2.16.840.1.113883.6.90" | "urn:oid:2.16.840.1.113883.6.3" => Self::Icd10,
            "http://hl7.org/fhir/sid/icd-9-cm" | "urn:oid:2.16.840.1.113883.6.103" => Self::Icd9Cm,
            "http://www.nlm.nih.gov/research/umls/rxnorm" | "urn:oid:2.16.840.1.113883.6.88" => {
                Self::RxNorm
            }
            "http://www.whocc.no/atc" | "urn:oid:2.16.840.1.113883.6.73" => Self::Atc,
            // National modifications have addresses of their own; the chapters are the same.
            _ if uri.starts_with("http://snomed.info/sct/") => Self::Snomed,
            _ if uri.to_ascii_lowercase().contains("icd-10") => Self::Icd10,
            _ => return None,
        })
    }
}

/// Every code of the value set.
#[must_use]
pub fn codes() -> &'static [Code] {
    value_set::CODES
}

static EXACT: LazyLock<HashMap<(System, &'static str), Category>> = LazyLock::new(|| {
    let exact = codes().iter().filter(|code| !code.prefix);
    exact.map(|c| ((c.system, c.code), c.category)).collect()
});

/// The category of `code` in `system`, when the value set has it.
#[must_use]
pub fn category(system: System, code: &str) -> Option<Category> {
    let plain = code.trim();
    if let Some(category) = EXACT.get(&(system, plain)) {
        return Some(*category);
    }
    let plain: String = plain.chars().filter(|c| *c != '.').collect();
    let plain = plain.to_ascii_uppercase();
    codes()
        .iter()
        .find(|c| c.prefix && c.system == system && plain.starts_with(c.code))
        .map(|c| c.category)
}

/// What was found out about the resources of one bundle.
#[derive(Debug, Clone)]
pub struct Assessment {
    entries: Vec<bool>,
    frame: bool,
}

impl Assessment {
    /// Assesses every entry of `bundle`.
    #[must_use]
    pub fn of(bundle: &Bundle<'_>) -> Self {
        let frame = frame_scan(bundle);
        let scans: Vec<Scan> = bundle.entries().iter().map(entry_scan).collect();
        let composition_is_labelled = bundle.kind() == Kind::Document
            && scans.first().is_some_and(|scan| scan.whole_document);
        let whole_record = frame.labelled || composition_is_labelled;
        let nodes: Vec<Node> = bundle
            .entries()
            .iter()
            .zip(scans)
            .enumerate()
            .map(|(at, (entry, scan))| {
                let is_patient = at == bundle.patient_entry();
                let by_itself = scan.labelled || (scan.coded && !is_patient);
                let by_record = whole_record && !scan.unrestricted;
                Node::new(entry, &scan, by_itself, by_itself || by_record, |to| {
                    bundle.resolve(to)
                })
            })
            .collect();
        Self {
            entries: spread(&nodes),
            frame: frame.labelled || frame.coded,
        }
    }

    /// Whether the entry at this place of [`Bundle::entries`] is sensitive.
    #[must_use]
    pub fn is_sensitive(&self, entry: usize) -> bool {
        // Nothing is known about a place outside of the bundle: the safe side.
        self.entries.get(entry).copied().unwrap_or(true)
    }

    /// Whether the bundle's own members, between and around the entries, are sensitive.
    #[must_use]
    pub fn frame_is_sensitive(&self) -> bool {
        self.frame
    }

    /// How many entries are sensitive.
    #[must_use]
    pub fn sensitive(&self) -> usize {
        self.entries.iter().filter(|sensitive| **sensitive).count()
    }
}

fn frame_scan(bundle: &Bundle<'_>) -> Scan {
    let mut scan = Scan::default();
    for (name, raw) in bundle.frame_members() {
        if let Ok(value) = serde_json::from_str::<Value>(raw) {
            scan.member(name, &value);
        }
    }
    scan
}

/// The resource together with the rest of its entry, which is cut with it when sensitive.
fn entry_scan(entry: &Entry<'_>) -> Scan {
    let mut scan = Scan::default();
    if let Some(resource) = entry.resource()
        && let Ok(value) = serde_json::from_str::<Value>(resource.json())
    {
        scan.resource(resource.resource_type(), &value);
    }
    for (name, raw) in json::members(entry.json()).unwrap_or_default() {
        if name != "resource"
            && let Ok(value) = serde_json::from_str::<Value>(raw.get())
        {
            scan.wrapper(&name, &value);
        }
    }
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_need_no_dot_and_exact_codes_are_exact() {
        for code in ["F32", "F32.1", "F321", "f32.1", " F32.1 "] {
            assert_eq!(
                category(System::Icd10, code),
                Some(Category::Psychiatry),
                "{code}"
            );
        }
        assert_eq!(category(System::Icd10, "F11.20"), Some(Category::Addiction));
        assert_eq!(category(System::Icd10, "F17.210"), None, "tobacco");
        assert_eq!(category(System::Icd9Cm, "305.1"), None, "tobacco");
        assert_eq!(category(System::Icd10, "I48.0"), None);
        assert_eq!(
            category(System::Snomed, "370143000"),
            Some(Category::Psychiatry)
        );
        assert_eq!(category(System::Snomed, "3701430001"), None);
        assert_eq!(category(System::Loinc, "370143000"), None);
    }

    #[test]
    fn the_tables_are_sound() {
        let mut seen = std::collections::BTreeSet::new();
        for code in codes() {
            assert!(seen.insert((code.system, code.code)), "twice: {code:?}");
            assert!(!code.code.contains('.'), "{code:?}");
            assert!(!code.description.is_empty(), "{code:?}");
            match code.system {
                System::Snomed => assert!(verhoeff(code.code), "check digit: {code:?}"),
                System::Loinc => assert!(mod10(code.code), "check digit: {code:?}"),
                System::Icd10 | System::Icd9Cm | System::RxNorm | System::Atc => {}
            }
        }
        for (name, _) in value_set::INGREDIENTS {
            assert_eq!(*name, name.to_lowercase());
        }
        assert!(!VERSION.is_empty() && !SOURCES.is_empty());
    }

    /// SNOMED CT identifiers end in a Verhoeff check digit: a typing error shows.
    fn verhoeff(code: &str) -> bool {
        const PERMUTED: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
        let multiply = |a: usize, b: usize| match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => 5 + (a + b) % 5,
            (false, true) => 5 + (a + 5 - b) % 5,
            (false, false) => (a + 5 - b) % 5,
        };
        let mut check = 0;
        for (place, digit) in code.bytes().rev().enumerate() {
            let mut digit = usize::from(digit - b'0');
            for _ in 0..place % 8 {
                digit = PERMUTED[digit];
            }
            check = multiply(check, digit);
        }
        check == 0
    }

    /// LOINC codes end in a Luhn check digit.
    fn mod10(code: &str) -> bool {
        let sum: u32 = code
            .bytes()
            .filter(u8::is_ascii_digit)
            .rev()
            .enumerate()
            .map(|(place, digit)| {
                let digit = u32::from(digit - b'0') * if place % 2 == 1 { 2 } else { 1 };
                digit / 10 + digit % 10
            })
            .sum();
        sum.is_multiple_of(10)
    }

    #[test]
    fn systems_have_several_addresses() {
        assert_eq!(
            System::from_uri("http://hl7.org/fhir/sid/icd-10-cm"),
            Some(System::Icd10)
        );
        assert_eq!(
            System::from_uri("http://fhir.de/CodeSystem/bfarm/icd-10-gm"),
            Some(System::Icd10)
        );
        assert_eq!(
            System::from_uri("urn:oid:2.16.840.1.113883.6.96"),
            Some(System::Snomed)
        );
        assert_eq!(System::from_uri("http://unitsofmeasure.org"), None);
    }
}
