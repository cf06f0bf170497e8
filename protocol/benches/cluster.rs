//! What a height costs all validators together: `cargo bench -p kithkin-protocol --features testing --bench cluster`.
//!
//! Clusters of the pure core in memory, with real signatures; a transaction per height. Prints the median CPU time of a
//! height over all nodes, and of one node. There is no disk and no encoding of messages in it.

use kithkin_protocol::testing::{Cluster, Setup};
use std::time::Instant;

const HEIGHTS: u64 = 7;

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark is what measures time"
)]
fn main() {
    for n in [4, 10, 40, 100] {
        let mut cluster = Cluster::new(Setup::new(n, 1));
        let mut times = Vec::new();
        for height in 1..=HEIGHTS {
            cluster.submit();
            let start = Instant::now();
            assert!(cluster.run_until(60_000, |cluster| cluster.all_at(height)));
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let median = times[times.len() / 2].as_secs_f64() * 1e3;
        let each = median / f64::from(n);
        println!("{n:>4} validators: {median:>9.2} ms a height, {each:>7.3} ms each");
    }
}
