//! Facts as JSON: checked, and in one form everywhere.
//!
//! Not here: which element they stand in (the resources' modules).

use std::collections::BTreeSet;

use jiff::Timestamp;
use kithkin_protocol::crypto::HashWriter;
use kithkin_protocol::units::Tier;
use serde_json::{Map, Value, json};

use super::{
    Address, FactError, ITEMS_MAX, Identifier, Ledger, Machine, Namespace, Party, PartyKind,
    Period, TEXT_CHARS_MAX, TOKEN_CHARS_MAX,
};
use crate::code::{ActReason, Coded, NetworkType};
use crate::summary::narrative::is_invisible;

/// The extension that says at which height a transaction stands: `valueString`, since R4 has no
/// integer of 64 bits.
const LEDGER_HEIGHT: &str = "https://kithkin.invalid/fhir/StructureDefinition/ledger-height";

/// The system of the tiers.
const TIER: &str = "https://kithkin.invalid/fhir/CodeSystem/tier";

/// An object under construction: optional members are left out, never null.
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self(Map::new())
    }

    /// A resource of this type.
    pub(crate) fn resource(resource_type: &str) -> Self {
        Self::new().with("resourceType", resource_type)
    }

    /// With one more member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// With one more member, where there is one.
    pub(crate) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With one more list: FHIR has no empty lists.
    pub(crate) fn list(self, name: &str, items: Vec<Value>) -> Self {
        let found = (!items.is_empty()).then_some(items);
        self.maybe(name, found)
    }

    /// The finished value.
    pub(crate) fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// A time as FHIR's instant, in UTC, to the millisecond.
pub(crate) fn instant(ms: u64) -> Result<String, FactError> {
    let known = i64::try_from(ms).ok();
    let time = known.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map(|time| format!("{time:.3}"))
        .ok_or(FactError::Time { ms })
}

/// A period.
pub(crate) fn period(period: Period) -> Result<Value, FactError> {
    let Period { start_ms, end_ms } = period;
    if let Some(end_ms) = end_ms.filter(|end| *end < start_ms) {
        return Err(FactError::Period { start_ms, end_ms });
    }
    let end = end_ms.map(instant).transpose()?;
    let object = Object::new().with("start", instant(start_ms)?);
    Ok(object.maybe("end", end).done())
}

/// A text for people: something in it, not too long, nothing that steers a terminal or hides.
pub(crate) fn text<'t>(field: &'static str, text: &'t str) -> Result<&'t str, FactError> {
    limited(field, text, TEXT_CHARS_MAX)?;
    match text.chars().find(|c| c.is_control() || is_invisible(*c)) {
        Some(found) => Err(FactError::Character {
            field,
            code: found.into(),
        }),
        None => Ok(text),
    }
}

/// An identifier's value or an address: printable ASCII without spaces.
pub(crate) fn token<'t>(field: &'static str, token: &'t str) -> Result<&'t str, FactError> {
    limited(field, token, TOKEN_CHARS_MAX)?;
    match token.chars().find(|c| !c.is_ascii_graphic()) {
        Some(found) => Err(FactError::Character {
            field,
            code: found.into(),
        }),
        None => Ok(token),
    }
}

fn limited(field: &'static str, text: &str, max: usize) -> Result<(), FactError> {
    if text.trim().is_empty() {
        return Err(FactError::Empty { field });
    }
    let chars = text.chars().count();
    if chars > max {
        return Err(FactError::TooLong { field, chars, max });
    }
    Ok(())
}

/// An absolute URI: a scheme (RFC 3986, 3.1), a colon, and something behind it.
pub(crate) fn uri<'t>(field: &'static str, uri: &'t str) -> Result<&'t str, FactError> {
    token(field, uri)?;
    let is_absolute = uri.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
            && !rest.is_empty()
    });
    is_absolute.then_some(uri).ok_or(FactError::Form {
        field,
        expected: "absolute URI",
    })
}

/// A resource's `id` (R4, 2.24.0.1): 1 to 64 letters, digits, hyphens and dots.
pub(crate) fn id<'t>(field: &'static str, id: &'t str) -> Result<&'t str, FactError> {
    token(field, id)?;
    let is_id = id.len() <= 64
        && id
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-.".contains(&c));
    is_id.then_some(id).ok_or(FactError::Form {
        field,
        expected: "resource id of at most 64 letters, digits, hyphens and dots",
    })
}

/// A list that must hold something, each item once.
pub(crate) fn items<'t, T: Ord>(field: &'static str, items: &'t [T]) -> Result<&'t [T], FactError> {
    if items.is_empty() {
        return Err(FactError::Empty { field });
    }
    few(field, items)
}

/// A list that may be empty, each item once.
pub(crate) fn few<'t, T: Ord>(field: &'static str, items: &'t [T]) -> Result<&'t [T], FactError> {
    if items.len() > ITEMS_MAX {
        return Err(FactError::TooMany {
            field,
            count: items.len(),
            max: ITEMS_MAX,
        });
    }
    let mut seen = BTreeSet::new();
    if items.iter().all(|item| seen.insert(item)) {
        Ok(items)
    } else {
        Err(FactError::Twice { field })
    }
}

/// A count of which nothing would be nothing to tell.
pub(crate) fn count(field: &'static str, count: u32) -> Result<u32, FactError> {
    if count == 0 {
        return Err(FactError::Empty { field });
    }
    Ok(count)
}

/// An Identifier.
pub(crate) fn identifier(field: &'static str, id: &Identifier) -> Result<Value, FactError> {
    uri(field, &id.system)?;
    token(field, &id.value)?;
    Ok(json!({"system": id.system, "value": id.value}))
}

/// A Reference by identifier: pseudonyms have no address.
pub(crate) fn logical(
    field: &'static str,
    resource_type: Option<&str>,
    id: &Identifier,
) -> Result<Value, FactError> {
    let object = Object::new().maybe("type", resource_type);
    Ok(object.with("identifier", identifier(field, id)?).done())
}

/// A Reference to a party.
pub(crate) fn reference(
    field: &'static str,
    kind: PartyKind,
    id: &Identifier,
) -> Result<Value, FactError> {
    logical(field, Some(kind.resource_type()), id)
}

/// A Reference to a party.
pub(crate) fn party(field: &'static str, party: &Party) -> Result<Value, FactError> {
    reference(field, party.kind, &party.id)
}

/// The network element of an AuditEvent's agent.
pub(crate) fn network(machine: &Machine) -> Result<Value, FactError> {
    let (kind, address) = match &machine.address {
        Address::Name(name) => (NetworkType::MachineName, token("address", name)?.to_owned()),
        Address::Ip(ip) => (NetworkType::IpAddress, ip.to_string()),
        Address::Uri(address) => (NetworkType::Uri, uri("address", address)?.to_owned()),
    };
    Ok(json!({"address": address, "type": kind.code()}))
}

/// A transaction's identifier.
pub(crate) fn transaction(ledger: &Ledger) -> Identifier {
    Identifier::new(Namespace::Transaction, ledger.transaction.as_str())
}

/// A Reference to a transaction of the ledger, with its height.
pub(crate) fn on_ledger(resource_type: Option<&str>, ledger: &Ledger) -> Result<Value, FactError> {
    let mut value = logical("ledger.transaction", resource_type, &transaction(ledger))?;
    if let Some(members) = value.as_object_mut() {
        let height = json!([{"url": LEDGER_HEIGHT, "valueString": ledger.height.to_string()}]);
        members.insert("extension".to_owned(), height);
    }
    Ok(value)
}

/// The tier as a Coding.
pub(crate) fn tier(tier: Tier) -> Value {
    json!({"system": TIER, "code": tier.as_str()})
}

/// The meta element: profile, and the label of synthetic data.
pub(crate) fn meta(profile: Option<&str>, test_data: bool) -> Option<Value> {
    let profiles = profile.map(Value::from).into_iter().collect();
    let label = test_data.then(|| ActReason::TestData.coding());
    (profile.is_some() || test_data).then(|| {
        let object = Object::new().list("profile", profiles);
        object.list("security", label.into_iter().collect()).done()
    })
}

/// A resource id that is the same for the same facts: 64 hexadecimal digits of SHA-256.
///
/// Part of what goes in is chosen by others; with a weaker hash two events could be made to share
/// one id, and the later would hide the earlier.
pub(crate) fn stable_id(domain: &str, ledger: &Ledger, names: &[&str]) -> String {
    let mut writer = HashWriter::new(domain);
    writer.field(&ledger.transaction).number(ledger.height);
    for name in names {
        writer.field(name);
    }
    writer.finish().to_hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_instant_is_the_last_that_the_calendar_knows() {
        let last = 253_402_207_200_000;
        assert_eq!(instant(last).unwrap(), "9999-12-30T22:00:00.000Z");
        assert_eq!(instant(last + 1), Err(FactError::Time { ms: last + 1 }));
        assert_eq!(instant(u64::MAX), Err(FactError::Time { ms: u64::MAX }));
        assert_eq!(instant(0).unwrap(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn uris_need_a_scheme_and_something_behind_it() {
        for good in ["urn:oid:1.2", "https://a.example/x", "a+b:c"] {
            assert_eq!(uri("f", good), Ok(good));
        }
        for bad in ["urn:", "no-scheme", "/a:b", "1a:b", ":b"] {
            assert!(
                matches!(uri("f", bad), Err(FactError::Form { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn ids_depend_on_every_name_and_on_where_it_ends() {
        let ledger = |transaction: &str, height| Ledger {
            transaction: transaction.to_owned(),
            height,
        };
        let one = stable_id("d", &ledger("t", 1), &["ab", "c"]);
        assert_eq!(one, stable_id("d", &ledger("t", 1), &["ab", "c"]));
        assert_eq!(id("id", &one), Ok(one.as_str()));
        for other in [
            stable_id("d", &ledger("t", 1), &["a", "bc"]),
            stable_id("d", &ledger("t", 2), &["ab", "c"]),
            stable_id("d", &ledger("u", 1), &["ab", "c"]),
            stable_id("e", &ledger("t", 1), &["ab", "c"]),
        ] {
            assert_ne!(one, other);
        }
    }
}
