//! What an actor is given instead of reaching for it: disk, keys, network, clock.
//!
//! Actors see these types and nothing behind them. [`store`] is one RocksDB per
//! process with a key space per actor and group commit; [`objects`] keeps what is
//! large and never changes; [`vault`] keeps secret
//! keys outside of it; [`network`] carries typed messages between actors and
//! looks addresses up anew for each; [`clock`] tells the time.

pub mod clock;
pub mod directory;
pub(crate) mod folder;
pub mod names;
pub mod network;
pub mod objects;
pub mod random;
pub mod store;
pub mod vault;
