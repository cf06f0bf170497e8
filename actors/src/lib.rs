//! Actix shells around the rules of [`kithkin_protocol`]: mailboxes, timers, RocksDB, transport, supervision.
//!
//! A shell translates a message, steps the pure core and executes what the core
//! orders; it decides nothing. Start with [`ports`] (what an actor is given),
//! then [`supervisor`] (who starts it and starts it again), then read one role.

pub mod clients;
pub mod cluster;
pub mod friend_relative;
pub mod hospital;
pub mod identity;
mod keybook;
pub mod leader;
pub mod limits;
pub mod node;
pub mod observe;
mod pace;
pub mod patient;
pub mod peer;
pub mod ports;
pub mod rewrapped;
pub mod scope;
#[cfg(test)]
mod secrecy;
pub mod supervisor;
#[cfg(test)]
mod testing;
pub mod upload;
pub mod validator;
