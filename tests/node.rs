//! `kithkin node` from the outside: the real program, four processes with a database each, on free ports of this machine.
//!
//! Nothing here waits by sleeping: a test reads the programs' lines or asks at their doors, each with a deadline.

#[path = "node/attack.rs"]
mod attack;
#[path = "node/audit.rs"]
mod audit;
#[path = "node/credential.rs"]
mod credential;
#[path = "node/flood.rs"]
mod flood;
#[path = "node/founding.rs"]
mod founding;
#[path = "node/governance.rs"]
mod governance;
#[path = "node/kill.rs"]
mod kill;
#[path = "node/light.rs"]
mod light;
#[path = "node/refusals.rs"]
mod refusals;
#[path = "node/review.rs"]
mod review;
#[path = "running/mod.rs"]
mod running;
#[path = "node/together.rs"]
mod together;
