//! Reading one resource for what makes it sensitive, and for its references.
//!
//! Everything is looked at wherever it stands, contained resources and extensions included: where
//! a code stands changes what it means for care, hardly what it tells.
//!
//! Not here: what follows from the references (`spread.rs`).

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::value_set::{INGREDIENTS, LABELS};
use super::{System, category, codes};
use crate::json;

const ACT_CODE: [&str; 3] = [
    "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "http://hl7.org/fhir/v3/ActCode",
    "urn:oid:2.16.840.1.113883.5.4",
];
const CONFIDENTIALITY: [&str; 3] = [
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "http://hl7.org/fhir/v3/Confidentiality",
    "urn:oid:2.16.840.1.113883.5.25",
];
/// Restricted, very restricted.
const RESTRICTED: [&str; 2] = ["R", "V"];
/// Unrestricted, low, moderate, normal.
const UNRESTRICTED: [&str; 4] = ["U", "L", "M", "N"];

/// The words of the value set, for concepts that have text but no code.
static DESCRIPTIONS: LazyLock<HashSet<String>> =
    LazyLock::new(|| codes().iter().map(|c| plain_words(c.description)).collect());

/// What one resource, or the frame of a bundle, shows.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Carries a label that restricts it.
    pub(super) labelled: bool,
    /// Carries a code of the value set.
    pub(super) coded: bool,
    /// Is itself labelled as not restricted.
    pub(super) unrestricted: bool,
    /// Is a Composition whose confidentiality restricts the document.
    pub(super) whole_document: bool,
    /// Every reference: the name of the member it stands in, and the reference.
    pub(super) references: Vec<(String, String)>,
}

impl Scan {
    /// Reads a resource.
    pub(super) fn resource(&mut self, kind: &str, value: &Value) {
        if let Some(meta) = value.get("meta") {
            self.unrestricted = json::items(meta, "security").any(|coding| {
                json::text(coding, "system").is_some_and(|s| CONFIDENTIALITY.contains(&s))
                    && json::text(coding, "code").is_some_and(|c| UNRESTRICTED.contains(&c))
            });
        }
        if kind == "Composition"
            && json::text(value, "confidentiality").is_some_and(|c| RESTRICTED.contains(&c))
        {
            self.labelled = true;
            self.whole_document = true;
        }
        if kind.starts_with("Medication") {
            self.medication(value);
        }
        self.walk(kind, value);
    }

    /// Reads a member of the bundle itself.
    pub(super) fn member(&mut self, name: &str, value: &Value) {
        self.walk(name, value);
    }

    /// Reads a member of an entry beside its resource.
    pub(super) fn wrapper(&mut self, name: &str, value: &Value) {
        self.walk(name, value);
        if name == "request" {
            for address in ["url", "ifNoneExist"] {
                self.coded |= json::text(value, address).is_some_and(query_has_code);
            }
        }
    }

    /// `name` is the member that `value` stands in. The depth is bounded by the strict pass.
    fn walk(&mut self, name: &str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(name, item)),
            Value::Object(members) => {
                self.object(name, value);
                for (inner, value) in members {
                    self.walk(inner, value);
                }
            }
            Value::String(text) if matches!(name, "text" | "display") => {
                self.coded |= DESCRIPTIONS.contains(&plain_words(text));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn object(&mut self, name: &str, value: &Value) {
        if let Some(code) = json::text(value, "code") {
            self.coding(name, json::text(value, "system"), code);
        }
        // An attachment's address may be a resource of this bundle, as a reference is.
        for address in ["reference", "url"] {
            if let Some(target) = json::text(value, address) {
                self.references.push((name.to_owned(), target.to_owned()));
            }
        }
    }

    fn coding(&mut self, name: &str, system: Option<&str>, code: &str) {
        let is_label = |systems: &[&str]| match system {
            Some(system) => systems.contains(&system),
            None => name == "security",
        };
        let restricts = is_label(&CONFIDENTIALITY) && RESTRICTED.contains(&code)
            || is_label(&ACT_CODE) && LABELS.iter().any(|(label, _)| *label == code);
        self.labelled |= restricts;
        self.coded |= match system {
            Some(uri) => System::from_uri(uri).and_then(|s| category(s, code)),
            // Without a system only codes of an unmistakable shape count.
            None => [System::Snomed, System::Loinc, System::Icd10, System::Atc]
                .into_iter()
                .find_map(|s| category(s, code)),
        }
        .is_some();
    }

    fn medication(&mut self, value: &Value) {
        let concepts = ["medicationCodeableConcept", "code", "itemCodeableConcept"]
            .into_iter()
            .filter_map(|name| value.get(name))
            .chain(json::items(value, "ingredient").filter_map(|i| i.get("itemCodeableConcept")));
        for concept in concepts {
            let names = json::items(concept, "coding")
                .filter_map(|coding| json::text(coding, "display"))
                .chain(json::text(concept, "text"));
            for name in names {
                let name = name.to_lowercase();
                self.coded |= name.split(|c: char| !c.is_alphanumeric()).any(|word| {
                    INGREDIENTS
                        .iter()
                        .any(|(ingredient, _)| *ingredient == word)
                });
            }
        }
    }
}

/// Lower case, single spaces, without the kind in brackets that SNOMED CT's names end in.
fn plain_words(text: &str) -> String {
    const KINDS: [&str; 6] = [
        "(disorder)",
        "(finding)",
        "(procedure)",
        "(situation)",
        "(regime/therapy)",
        "(event)",
    ];
    let lower = text.trim().to_lowercase();
    let bare = KINDS
        .iter()
        .find_map(|kind| lower.strip_suffix(kind))
        .unwrap_or(&lower);
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a search such as `Condition?code=http://snomed.info/sct|370143000` names a code.
fn query_has_code(url: &str) -> bool {
    let query = percent_decoded(url.split_once('?').map_or(url, |(_, query)| query));
    query
        .split(['&', '=', ',', ';'])
        .any(|value| match value.rsplit_once('|') {
            Some((system, code)) => match System::from_uri(system) {
                Some(system) => category(system, code).is_some(),
                None => false,
            },
            None => [System::Snomed, System::Loinc, System::Icd10]
                .into_iter()
                .any(|system| category(system, value).is_some()),
        })
}

/// RFC 3986, 2.1; what is no valid escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_in_a_request_are_read() {
        assert!(query_has_code(
            "Condition?code=http%3A%2F%2Fsnomed.info%2Fsct%7C370143000"
        ));
        assert!(query_has_code(
            "code=http://hl7.org/fhir/sid/icd-10-cm|F32.1"
        ));
        assert!(query_has_code("Condition?code=F32.1,I10"));
        assert!(!query_has_code("Condition?code=I10"));
        assert!(!query_has_code("Condition/370143-x%"));
    }

    #[test]
    fn words_are_compared_without_case_and_kind() {
        assert_eq!(plain_words("  Opioid  Abuse (disorder)"), "opioid abuse");
        assert!(DESCRIPTIONS.contains("opioid abuse"));
    }
}
