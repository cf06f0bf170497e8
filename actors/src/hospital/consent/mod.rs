//! Consent, outside emergencies, as a hospital has it (docs/spec/consent.md).
//!
//! | file | holds |
//! |---|---|
//! | [`messages`] | what others may say about it |
//! | `handlers` | one short handler for each of them |
//! | `files` | RocksDB and vault: offers, grants, sealed keys, which purposes are taken |
//! | `offer` | signing terms and renewals, taking in the keys, giving back |
//! | `read` | reading under a grant |
//! | `misuse` | what a hospital that does not keep to a grant would try; for demonstrations |
//! | `tend` | destroying the keys of grants that have ended |
//!
//! Who may read what is for `kithkin_protocol::consent` to say.

mod files;
mod handlers;
pub mod messages;
mod misuse;
mod offer;
mod read;
mod tend;

pub(super) use files::Consents;
pub(super) use tend::{on_notice, tend};
