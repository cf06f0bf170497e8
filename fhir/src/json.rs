//! Lenient reading of one resource: what is missing or of another shape reads as nothing.
//!
//! A record is sealed and summarised even when a field of it is malformed: an emergency room is
//! better served by the rest than by a refusal. Strictness ends with [`crate::bundle`].
//!
//! Not here: what the fields mean ([`crate::summary`], [`crate::sensitivity`]).

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The members of a JSON object as slices of the original text.
pub(crate) type Members<'a> = HashMap<String, &'a RawValue>;

/// The members of `raw`, when it is an object.
pub(crate) fn members(raw: &str) -> Option<Members<'_>> {
    serde_json::from_str(raw).ok()
}

/// The string at `value[name]`.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

/// The items of the array at `value[name]`; nothing when it is no array.
pub(crate) fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The item or items at `value[name]`, whether it is an array or a single value.
pub(crate) fn one_or_many<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    let found = value.get(name);
    let many = found.and_then(Value::as_array);
    let one = found.filter(|value| !value.is_array() && !value.is_null());
    many.into_iter().flatten().chain(one)
}

/// Every coding of the CodeableConcept or list of them at `value[name]`: (system, code).
pub(crate) fn codings<'v>(
    value: &'v Value,
    name: &str,
) -> impl Iterator<Item = (&'v str, &'v str)> {
    one_or_many(value, name)
        .flat_map(|concept| items(concept, "coding"))
        .map(|coding| {
            (
                text(coding, "system").unwrap_or_default(),
                text(coding, "code").unwrap_or_default(),
            )
        })
}

/// Whether the concept at `value[name]` has this code, of any system.
pub(crate) fn has_code(value: &Value, name: &str, code: &str) -> bool {
    codings(value, name).any(|(_, found)| found == code)
}

/// Whether the concept at `value[name]` has this code of this system.
pub(crate) fn has_coding(value: &Value, name: &str, system: &str, code: &str) -> bool {
    codings(value, name).any(|found| found == (system, code))
}

/// The reference at `value[name].reference`.
pub(crate) fn reference<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value
        .get(name)
        .and_then(|reference| text(reference, "reference"))
}

/// One step into raw JSON.
#[derive(Clone, Copy)]
pub(crate) enum Step<'s> {
    /// Into the member of an object.
    Name(&'s str),
    /// Into the item of an array, from 0.
    Item(usize),
}

/// The largest resource of which numbers are looked up in the text; finding one reads it anew.
const LITERAL_BYTES_MAX: usize = 256 * 1024;

/// The number at `path` exactly as it was written: "7.50" stays "7.50". None in a resource of
/// extraordinary size, whose parsed numbers must do.
///
/// A decimal of FHIR carries its precision in its digits; a binary float loses them.
pub(crate) fn literal<'a>(raw: &'a str, path: &[Step<'_>]) -> Option<&'a str> {
    if raw.len() > LITERAL_BYTES_MAX {
        return None;
    }
    let mut at = raw;
    for step in path {
        at = match step {
            Step::Name(name) => members(at)?.get(*name)?.get(),
            Step::Item(index) => {
                let list: Vec<&'a RawValue> = serde_json::from_str(at).ok()?;
                list.get(*index)?.get()
            }
        };
    }
    at.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        .then_some(at)
}
