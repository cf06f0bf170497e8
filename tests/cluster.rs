//! `kithkin cluster` from the outside: the real program, killed, starved of disk, mistyped, stopped and started again.
//!
//! Nothing here waits by sleeping: a test reads the program's lines, each with a deadline.

#[path = "cluster/big.rs"]
mod big;
#[path = "cluster/few.rs"]
mod few;
#[path = "cluster/kill.rs"]
mod kill;
#[path = "cluster/liar.rs"]
mod liar;
#[path = "cluster/refusals.rs"]
mod refusals;
#[path = "running/mod.rs"]
mod running;
#[path = "cluster/shutdown.rs"]
mod shutdown;
#[path = "cluster/support.rs"]
mod support;
