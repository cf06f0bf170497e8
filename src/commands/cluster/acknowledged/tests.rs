use super::*;

fn entry(height: u64) -> Acknowledged {
    let batch = AckBatch {
        tier: Tier::Chart,
        batch: BatchId([1; 32]),
        root: Digest([2; 32]),
        records: 3,
        height: Height(height),
        on_chain_bytes: 700,
    };
    Acknowledged::new(1, 0, b"{}", vec![batch])
}

fn with_entries(dir: &Path, heights: &[u64]) {
    let mut log = AckLog::open(dir).unwrap();
    let mut entries: Vec<_> = heights.iter().map(|height| entry(*height)).collect();
    log.append(entries.iter_mut()).unwrap();
}

#[test]
fn numbers_go_on_after_a_torn_line_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    with_entries(dir.path(), &[4, 9, 7]);
    let path = dir.path().join(FILE);
    let whole = std::fs::read(&path).unwrap();
    for torn in [1usize, 40, whole.len() / 3 - 1] {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&whole[..torn]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 3);
        let log = AckLog::open(dir.path()).unwrap();
        assert_eq!((log.count, log.height), (3, Height(9)));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    with_entries(dir.path(), &[12]);
    let list = read(dir.path()).unwrap();
    assert_eq!(
        list.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(list[3].patient, ActorName::Patient(1));
}

#[test]
fn a_changed_list_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    with_entries(dir.path(), &[1, 2, 3]);
    let path = dir.path().join(FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let without_second: Vec<_> = text
        .lines()
        .enumerate()
        .filter(|(at, _)| *at != 1)
        .collect();
    let changed: String = without_second
        .iter()
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    std::fs::write(&path, changed).unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("line 2") && error.contains("backup"),
        "{error}"
    );
    std::fs::write(&path, "not json\n").unwrap();
    assert!(AckLog::open(dir.path()).is_err());
}

#[test]
fn no_list_is_an_empty_list() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read(dir.path()).unwrap().is_empty());
}
