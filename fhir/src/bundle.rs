//! Reading a bundle: untrusted bytes in, a checked [`Bundle`] that borrows them out.
//!
//! Read are bundles of the types transaction, collection and document (R4 2.36). Checked are:
//! size, UTF-8, JSON without duplicate names or deep nesting, the resource type of the bundle and
//! of every entry, and that the bundle is about one patient. The bytes are never changed; every
//! resource is known by its place in them. What a resource says beyond type and id is not checked:
//! a record with an odd field is still somebody's record.
//!
//! Not here: which resources are sensitive ([`crate::sensitivity`]), cutting ([`mod@crate::cut`]).

mod error;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::BUNDLE_BYTES_MAX;
use crate::json::{self, Members};
use crate::reference::Index;
use crate::strict;
use error::quote;

pub use error::BundleError;

/// The most entries a bundle may have. A large lifelong record has some ten thousand.
pub const ENTRIES_MAX: usize = 65_536;

/// The longest name of a resource type that is read; R4's longest has 33 letters.
const TYPE_NAME_BYTES_MAX: usize = 64;

/// The types of bundle that hold a patient's record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Resources to be stored together, as systems export them.
    Transaction,
    /// Resources gathered for any purpose.
    Collection,
    /// A clinical document: its first entry is a Composition.
    Document,
}

impl Kind {
    /// The code of R4's value set `bundle-type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Collection => "collection",
            Self::Document => "document",
        }
    }
}

/// One entry of a bundle. Ranges are byte offsets into the original.
#[derive(Clone)]
pub struct Entry<'a> {
    range: Range<usize>,
    resource: Option<Resource<'a>>,
    full_url: Option<String>,
    raw: &'a str,
}

/// One resource of a bundle, as it stands in the original.
#[derive(Clone)]
pub struct Resource<'a> {
    range: Range<usize>,
    raw: &'a str,
    kind: String,
    id: Option<String>,
}

impl<'a> Entry<'a> {
    /// Where the whole entry stands: the object with `fullUrl`, `resource`, `request`.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The resource; a transaction's entry that only deletes has none.
    #[must_use]
    pub fn resource(&self) -> Option<&Resource<'a>> {
        self.resource.as_ref()
    }

    /// The entry's `fullUrl`.
    #[must_use]
    pub fn full_url(&self) -> Option<&str> {
        self.full_url.as_deref()
    }

    /// The whole entry as JSON text.
    #[must_use]
    pub fn json(&self) -> &'a str {
        self.raw
    }
}

impl<'a> Resource<'a> {
    /// Where the resource stands.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The resource as JSON text, exactly as it stands in the original.
    #[must_use]
    pub fn json(&self) -> &'a str {
        self.raw
    }

    /// The resource type: letters and digits only.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        &self.kind
    }

    /// The logical id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// A checked bundle about one patient; borrows the original bytes.
pub struct Bundle<'a> {
    bytes: &'a [u8],
    kind: Kind,
    entries: Vec<Entry<'a>>,
    patient_entry: usize,
    patient: Resource<'a>,
    /// Every member of the bundle but its entries.
    frame: Vec<(String, &'a str)>,
    index: Index,
}

impl<'a> Bundle<'a> {
    /// Checks `bytes` and finds its resources.
    ///
    /// # Errors
    /// Every [`BundleError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge {
                bytes: bytes.len(),
                max: BUNDLE_BYTES_MAX,
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| BundleError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        strict::check(text)?;
        let mut members = json::members(text).ok_or_else(|| BundleError::NotABundle {
            found: "no object".to_owned(),
        })?;
        expect_bundle(&members)?;
        let kind = bundle_kind(&members)?;
        let list = members.remove("entry").ok_or(BundleError::NoEntries)?;
        let entries = read_entries(text, list.get())?;
        let index = index(&entries)?;
        let (patient_entry, patient) = find_patient(kind, &entries, &index)?;
        let mut frame: Vec<_> = members
            .into_iter()
            .map(|(name, raw)| (name, raw.get()))
            .collect();
        frame.sort_unstable();
        Ok(Self {
            bytes,
            kind,
            entries,
            patient_entry,
            patient,
            frame,
            index,
        })
    }

    /// The original, as it came.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The type of the bundle.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Every entry, in the order of the original.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The Patient whose record this is.
    #[must_use]
    pub fn patient(&self) -> &Resource<'a> {
        &self.patient
    }

    /// The place of the patient's entry in [`Self::entries`].
    #[must_use]
    pub fn patient_entry(&self) -> usize {
        self.patient_entry
    }

    /// The place of the entry that `reference` means, when the bundle holds it.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<usize> {
        self.index.resolve(reference)
    }

    /// The members of the bundle itself, but for its entries: name and JSON text.
    pub(crate) fn frame_members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.frame.iter().map(|(name, raw)| (name.as_str(), *raw))
    }
}

// A record's contents stay out of logs: shown are places, sizes and types.
impl fmt::Debug for Bundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("kind", &self.kind)
            .field("bytes", &self.bytes.len())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("range", &self.range)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("range", &self.range)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What stands at `name`, for an error.
fn found(members: &Members<'_>, name: &str) -> String {
    members
        .get(name)
        .map_or_else(|| format!("no {name}"), |raw| quote(raw.get()))
}

fn string(members: &Members<'_>, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

fn expect_bundle(members: &Members<'_>) -> Result<(), BundleError> {
    if string(members, "resourceType").as_deref() == Some("Bundle") {
        return Ok(());
    }
    Err(BundleError::NotABundle {
        found: found(members, "resourceType"),
    })
}

fn bundle_kind(members: &Members<'_>) -> Result<Kind, BundleError> {
    match string(members, "type").as_deref() {
        Some("transaction") => Ok(Kind::Transaction),
        Some("collection") => Ok(Kind::Collection),
        Some("document") => Ok(Kind::Document),
        _ => Err(BundleError::KindUnsupported {
            found: found(members, "type"),
        }),
    }
}

/// Where `part` stands in `whole`, of which it is a slice.
fn range_in(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

fn read_entries<'a>(text: &'a str, list: &'a str) -> Result<Vec<Entry<'a>>, BundleError> {
    let list: Vec<&'a RawValue> = serde_json::from_str(list).map_err(|_| BundleError::NoEntries)?;
    if list.is_empty() {
        return Err(BundleError::NoEntries);
    }
    if list.len() > ENTRIES_MAX {
        return Err(BundleError::TooManyEntries {
            entries: list.len(),
            max: ENTRIES_MAX,
        });
    }
    list.into_iter()
        .enumerate()
        .map(|(at, raw)| read_entry(text, at, raw.get()))
        .collect()
}

fn read_entry<'a>(text: &'a str, at: usize, raw: &'a str) -> Result<Entry<'a>, BundleError> {
    let members = json::members(raw).ok_or(BundleError::Entry {
        entry: at,
        what: "it is no object",
    })?;
    let full_url = match members.get("fullUrl") {
        None => None,
        Some(_) => Some(string(&members, "fullUrl").ok_or(BundleError::Entry {
            entry: at,
            what: "its fullUrl is no string",
        })?),
    };
    let resource = members
        .get("resource")
        .map(|raw| read_resource(text, at, raw.get()))
        .transpose()?;
    Ok(Entry {
        range: range_in(text, raw),
        resource,
        full_url,
        raw,
    })
}

fn read_resource<'a>(text: &'a str, at: usize, raw: &'a str) -> Result<Resource<'a>, BundleError> {
    let members = json::members(raw).ok_or(BundleError::Entry {
        entry: at,
        what: "its resource is no object",
    })?;
    let kind = string(&members, "resourceType")
        .filter(|kind| is_type_name(kind))
        .ok_or_else(|| BundleError::ResourceType {
            entry: at,
            found: found(&members, "resourceType"),
        })?;
    Ok(Resource {
        range: range_in(text, raw),
        raw,
        kind,
        id: string(&members, "id"),
    })
}

/// The shape of a resource type's name; which names exist changes with every release of FHIR.
fn is_type_name(name: &str) -> bool {
    name.len() <= TYPE_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn index(entries: &[Entry<'_>]) -> Result<Index, BundleError> {
    let mut index = Index::default();
    let mut by_url = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        if let Some(url) = entry.full_url()
            && let Some(first) = by_url.insert(url, at)
        {
            return Err(BundleError::DuplicateFullUrl { first, second: at });
        }
    }
    // Full URLs first: a resource's id must not stand in for another entry's full URL.
    for (at, entry) in entries.iter().enumerate() {
        index.insert(at, entry.full_url(), "", None);
    }
    for (at, entry) in entries.iter().enumerate() {
        if let Some(resource) = entry.resource() {
            index.insert(at, None, resource.resource_type(), resource.id());
        }
    }
    Ok(index)
}

/// Whose record this is: the subject of a document, or else the only patient there is.
fn find_patient<'a>(
    kind: Kind,
    entries: &[Entry<'a>],
    index: &Index,
) -> Result<(usize, Resource<'a>), BundleError> {
    let subject = match kind {
        Kind::Document => document_subject(entries)?,
        Kind::Transaction | Kind::Collection => None,
    };
    let subject = subject.and_then(|reference| index.resolve(&reference));
    let mut patients: Vec<(usize, &Resource<'a>)> = entries
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| Some((at, entry.resource()?)))
        .filter(|(_, resource)| resource.resource_type() == "Patient")
        .collect();
    let count = patients.len();
    if count > 1 {
        patients.retain(|(at, _)| Some(*at) == subject);
    }
    match patients.as_slice() {
        [(at, one)] => Ok((*at, (*one).clone())),
        _ if count == 0 => Err(BundleError::NoPatient),
        _ => Err(BundleError::SeveralPatients { patients: count }),
    }
}

/// The reference to the subject in the Composition that a document starts with.
fn document_subject(entries: &[Entry<'_>]) -> Result<Option<String>, BundleError> {
    let first = entries.first().and_then(Entry::resource);
    let Some(composition) = first.filter(|r| r.resource_type() == "Composition") else {
        return Err(BundleError::NoComposition {
            found: first.map_or("no resource".to_owned(), |r| r.resource_type().to_owned()),
        });
    };
    let composition: Option<serde_json::Value> = serde_json::from_str(composition.json()).ok();
    Ok(composition.and_then(|value| json::reference(&value, "subject").map(str::to_owned)))
}
