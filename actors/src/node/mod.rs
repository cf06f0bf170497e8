//! One validator in a process of its own: its keys, its start and stop, and its door for other processes.
//!
//! * [`keys`]: the three secrets of a validator, in a folder of their own; [`reviewer`]: a reviewer's. [`mod@file`]: the genesis as a file.
//!   [`amendment`]: what validators decide about the ledger, as a file that they sign one after the other.
//!   [`credential`]: what an issuer says of a clinician, as a file for the hospital.
//! * [`launch`](Node): database, supervisor, transport, validator and leader, in this order; and back.
//! * [`door`]: TCP for hospitals, kin, load generators and commands. [`protocol`]: what is said there.
//!   [`client`]: the other side of the door.
//!
//! Not here: the transport between validators ([`crate::peer`]), many validators in one process ([`crate::cluster`]).

pub mod amendment;
pub mod client;
pub mod credential;
pub mod door;
pub mod file;
mod genesis_text;
mod handed;
pub mod keys;
mod launch;
pub mod light;
#[cfg(test)]
mod pinned;
pub mod protocol;
pub mod reviewer;
mod seats;

pub use client::{ClientFailure, NodeClient};
pub use credential::IssuedCredential;
pub use keys::{HospitalKeys, IssuerKeys, NodeKeys};
pub use launch::{Node, NodeConfig, NodeError};
pub use reviewer::ReviewerKeys;
