//! Actix shells around the rules of [`kithkin_protocol`]: mailboxes, timers, RocksDB, transport, supervision.
//!
//! A shell translates a message, steps the pure core and executes what the core
//! orders; it decides nothing. Start with [`ports`] (what an actor is given),
//! then read one role.

pub mod ports;
