//! A friend or relative: keeps shares and shards, proves requests, decides, releases partial openings.
//!
//! | file | holds |
//! |---|---|
//! | [`messages`] | what others may say to it |
//! | `actor` | the shell: mailbox, timers, which cases have unfinished business |
//! | `desk` | what every flow works with: keys, store, ledger client; small caches |
//! | `turns`, `recent`, `devices` | one flow for each id; what was proved a moment ago |
//! | `storage` | what it keeps in RocksDB, and how it comes back after a crash |
//! | `invitations` | asking the person before becoming kin |
//! | `offers` | becoming a patient's kin: checking and keeping shares |
//! | `shards` | keeping and handing out shards of sealed records |
//! | `access` | who may fetch them |
//! | `consent` | fetching under a patient's grant |
//! | `roster` | what a roster that changes asks of this kin; drills; the person's wishes |
//! | `second` | being in a patient's second circle |
//! | `second_offers` | coming into one that the patient names after the enrolment |
//! | `bundles` | what dealers have sealed, fetched from kin to kin |
//! | `passage`, `combine` | dealing, complaining, taking new shares and putting them together |
//! | `anew` | a patient's new device: releasing shares to it, taking its shares and capsules |
//! | `mend` | pieces of records that are missing made anew from those of other kin; showing that they are there |
//! | `erase` | destroying an upload by the patient's order, and signing for it |
//! | `room` | what each patient's records take here, and what goes when others hold it |
//! | `requests` | proving a request before it is shown or signed |
//! | `decide` | approving and refusing; the replay that scenarios ask for |
//! | `prepare` | making the partial openings of one case |
//! | `release` | from an approval to delivered partial openings, across restarts |
//!
//! The rules are in `kithkin_protocol::{sharing, record, emergency, ledger}`.

mod access;
mod actor;
mod anew;
mod bundles;
mod combine;
mod consent;
mod decide;
mod desk;
mod devices;
mod erase;
mod invitations;
mod mend;
pub mod messages;
mod offers;
mod passage;
mod prepare;
mod recent;
mod release;
mod requests;
mod room;
mod roster;
mod second;
mod second_offers;
mod shards;
mod storage;
#[cfg(test)]
mod tests;
mod turns;

pub use actor::FriendRelative;
#[cfg(test)]
pub(crate) use tests::kept_shares;
