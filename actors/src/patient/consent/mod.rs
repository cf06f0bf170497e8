//! Consent, outside emergencies, as the patient's device has it (docs/spec/consent.md).
//!
//! | file | holds |
//! |---|---|
//! | [`messages`] | what the screen may ask for |
//! | `handlers` | one short handler for each of them |
//! | `grant` | agreeing with the hospital, sealing the keys anew, having it stand on chain |
//! | `keep` | sealed keys until the hospital has them, across restarts |
//! | `change` | revoking and renewing |
//! | `document` | the consent as a FHIR resource |

mod change;
mod document;
mod grant;
mod handlers;
mod keep;
pub mod messages;
#[cfg(test)]
mod tests;

pub(super) use keep::deliver_all;
