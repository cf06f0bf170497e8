//! A whole cluster in one process: the embedded default, and what demo, scenarios, examples and tests run on.
//!
//! [`Cluster::launch`] opens the data folder, makes or reads every identity,
//! founds or continues the ledger and starts all actors under the supervisor.
//! [`Shape`] is how many of each there are; it is fixed when a folder is founded.

mod founding;
mod govern;
mod launch;
mod liar;

pub use founding::{FoundingError, Shape, ShapeError};
pub use launch::{
    ARCHIVE, Cluster, ClusterConfig, LaunchError, QUOTA_BYTES, VALIDATORS_IN_PROCESS_MAX,
};
pub use liar::{Lie, Lies, NoSuchLie};
