//! One pass over untrusted JSON that refuses what two readers could read in two ways.
//!
//! A name that occurs twice in one object hides a value from every reader that keeps the other
//! one: a sensitive code could hide behind a harmless one. Deep nesting exhausts the stack of
//! readers less careful than this one. Both are refused before anything else looks at the bytes.
//! `serde_json` alone accepts the first and reports the second as a syntax error.
//!
//! Not here: what the JSON means. Read next: [`crate::bundle`].

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The deepest nesting of objects and arrays that is read. Below `serde_json`'s own limit of 128,
/// so that the limit met is always ours and has a name.
pub(crate) const DEPTH_MAX: usize = 100;

/// Why the bytes are not plain JSON. Lines and columns count from 1.
#[derive(Debug)]
pub(crate) enum Refusal {
    Syntax {
        line: usize,
        column: usize,
        reason: String,
    },
    Duplicate {
        name: String,
        line: usize,
        column: usize,
    },
    Depth {
        line: usize,
        column: usize,
    },
}

/// What a visitor saw before it stopped; serde's errors carry text only.
#[derive(Default)]
struct Found {
    duplicate: Option<String>,
    too_deep: bool,
}

/// Checks that `text` is one JSON value without duplicate names and not nested too deep.
pub(crate) fn check(text: &str) -> Result<(), Refusal> {
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let outcome = Checked {
        found: &mut found,
        depth: 0,
    }
    .deserialize(&mut reader)
    .and_then(|()| reader.end());
    let Err(error) = outcome else {
        return Ok(());
    };
    let (line, column) = (error.line(), error.column());
    Err(if let Some(name) = found.duplicate {
        Refusal::Duplicate { name, line, column }
    } else if found.too_deep {
        Refusal::Depth { line, column }
    } else {
        Refusal::Syntax {
            line,
            column,
            reason: reason(&error),
        }
    })
}

/// The message without the position, which is told separately.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message.get(..end).unwrap_or(&message).to_owned(),
        None => message,
    }
}

struct Checked<'f> {
    found: &'f mut Found,
    depth: usize,
}

impl Checked<'_> {
    fn deeper<E: serde::de::Error>(&mut self) -> Result<Checked<'_>, E> {
        if self.depth >= DEPTH_MAX {
            self.found.too_deep = true;
            return Err(E::custom("nested too deep"));
        }
        Ok(Checked {
            depth: self.depth + 1,
            found: self.found,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items
            .next_element_seed(Checked {
                found: &mut *inner.found,
                depth: inner.depth,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if names.contains(&name) {
                inner.found.duplicate = Some(name);
                return Err(A::Error::custom("duplicate name"));
            }
            names.insert(name);
            members.next_value_seed(Checked {
                found: &mut *inner.found,
                depth: inner.depth,
            })?;
        }
        Ok(())
    }
}
