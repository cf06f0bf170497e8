//! A clean stop, and going on afterwards.

use crate::support::{check_passes, number, on, start};

const SMALL: [&str; 8] = [
    "--validators",
    "4",
    "--hospitals",
    "2",
    "--patients",
    "2",
    "--relatives",
    "3",
];

#[test]
fn a_signal_stops_it_cleanly_and_the_same_folder_continues() {
    let folder = tempfile::tempdir().unwrap();
    let (mut height, mut acknowledged) = (0, 0);
    for (turn, signal) in ["TERM", "INT", "TERM"].into_iter().enumerate() {
        // The counts are given once; then the folder knows them.
        let mut args = vec!["--load", "10"];
        if turn == 0 {
            args.extend(SMALL);
        }
        let mut running = start(&on(folder.path(), &args));
        let ready = running.until("ready");
        assert_eq!(number(&ready, "patients"), 2);
        assert_eq!(number(&ready, "enrolled"), if turn == 0 { 2 } else { 0 });
        assert!(number(&ready, "height") >= height, "{ready}");
        assert_eq!(number(&ready, "acknowledged"), acknowledged, "{ready}");
        let ack = running.until("ack");
        assert_eq!(number(&ack, "seq"), acknowledged + 1, "{ack}");
        assert!(number(&ack, "height") > height, "height goes on: {ack}");
        running.signal(signal);
        let (status, rest, stderr) = running.end();
        assert_eq!(status.code(), Some(0), "{stderr}");
        let stopped = rest.last().expect("a last line");
        assert_eq!(stopped["type"], "stopped", "{rest:?}");
        assert_eq!(stopped["reason"], "signal");
        let acks = rest.iter().filter(|line| line["type"] == "ack").count() as u64;
        acknowledged += 1 + acks;
        assert_eq!(number(stopped, "acknowledged"), acknowledged, "{stopped}");
        height = number(stopped, "height");
    }
    check_passes(folder.path(), acknowledged);
}

#[test]
fn it_stops_when_the_time_is_over() {
    let mut running = start(&[
        "--json",
        "--patients",
        "1",
        "--relatives",
        "3",
        "--for",
        "300ms",
    ]);
    let ready = running.until("ready");
    assert_eq!(ready["temporary"], true);
    let data = ready["data"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&data).exists());
    let (status, rest, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert_eq!(rest.last().unwrap()["reason"], "time");
    assert!(
        !std::path::Path::new(&data).exists(),
        "a temporary folder is removed"
    );
}
