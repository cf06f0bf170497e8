//! 40 validators, 10 hospitals, 50 patients with 9 relatives each, in one process under 4 GiB.
//!
//! Takes minutes, so it runs only with `KITHKIN_BIG=1`.

use crate::support::{number, on, start};
use std::time::{Duration, Instant};

const GIB_4: u64 = 4 << 30;

#[test]
fn forty_validators_with_everybody_around_stay_under_four_gibibytes() {
    if std::env::var_os("KITHKIN_BIG").is_none_or(|value| value != "1") {
        eprintln!("skipped: takes minutes; run it with KITHKIN_BIG=1");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shape = "--validators 40 --hospitals 10 --patients 50 --relatives 9 --load 2";
    let args: Vec<&str> = shape.split(' ').collect();
    let began = Instant::now();
    let mut running = start(&on(folder.path(), &args));
    running.patience = Duration::from_secs(1_200);
    let ready = running.until("ready");
    eprintln!("ready after {:?}: {ready}", began.elapsed());
    assert_eq!(number(&ready, "enrolled"), 50);
    let first = running.until("ack");
    let since = Instant::now();
    let mut last = running.until("ack");
    while since.elapsed() < Duration::from_secs(60) {
        last = running.until("ack");
    }
    let heights = number(&last, "height") - number(&first, "height");
    eprintln!("{heights} blocks in {:?}", since.elapsed());
    assert!(heights > 0, "blocks become final");
    running.signal("TERM");
    let (status, rest, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let stopped = rest.last().expect("a last line");
    eprintln!("{stopped}");
    assert!(number(stopped, "rss_peak_bytes") < GIB_4, "{stopped}");
}
