//! Which entry of a bundle a reference means (FHIR R4, 2.36.4.1 "Resolving references in bundles").
//!
//! Real bundles are laxer than the rule: HL7's own summary example gives `urn:uuid:` full URLs and
//! refers by `Type/id`. A reference is therefore tried as a full URL first and by type and id then;
//! for the question whether it leads to a sensitive resource, finding more is the safe side.
//!
//! Not here: what follows from a reference ([`crate::sensitivity`]).

use std::collections::HashMap;

/// Finds entries by reference.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_key: HashMap<String, usize>,
}

impl Index {
    /// Makes `entry` findable; of two entries with one key the first is found.
    pub(crate) fn insert(
        &mut self,
        entry: usize,
        full_url: Option<&str>,
        kind: &str,
        id: Option<&str>,
    ) {
        let mut add = |key: String| {
            self.by_key.entry(key).or_insert(entry);
        };
        if let Some(url) = full_url {
            add(url.to_owned());
        }
        if let Some(id) = id {
            add(format!("{kind}/{id}"));
            add(format!("urn:uuid:{id}"));
        }
    }

    /// The entry meant by `reference`, when the bundle holds it.
    pub(crate) fn resolve(&self, reference: &str) -> Option<usize> {
        // A reference to a version, or into a contained resource, still means the entry.
        let reference = reference.split('#').next().unwrap_or_default();
        let reference = reference.split("/_history/").next().unwrap_or_default();
        if reference.is_empty() {
            return None;
        }
        if let Some(entry) = self.by_key.get(reference) {
            return Some(*entry);
        }
        let relative = type_and_id(reference)?;
        self.by_key.get(relative).copied()
    }
}

/// The last two segments, `Type/id`, of a literal reference.
pub(crate) fn type_and_id(reference: &str) -> Option<&str> {
    let (head, _) = reference.rsplit_once('/')?;
    let start = head.rfind('/').map_or(0, |slash| slash + 1);
    reference.get(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_full_url_by_type_and_id_and_by_version() {
        let mut index = Index::default();
        index.insert(3, Some("urn:uuid:a"), "Condition", Some("c1"));
        index.insert(4, None, "Patient", Some("p1"));
        assert_eq!(index.resolve("urn:uuid:a"), Some(3));
        assert_eq!(index.resolve("Condition/c1"), Some(3));
        assert_eq!(
            index.resolve("https://server.example/fhir/Condition/c1/_history/2"),
            Some(3)
        );
        assert_eq!(index.resolve("urn:uuid:p1"), Some(4));
        assert_eq!(index.resolve("Observation/c1"), None);
        assert_eq!(index.resolve("#contained"), None);
        assert_eq!(index.resolve(""), None);
    }
}
