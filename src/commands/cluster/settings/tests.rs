use super::*;
use crate::cli::{Cli, Command};
use clap::Parser as _;

fn args(words: &[&str]) -> ClusterArgs {
    let all = ["kithkin", "cluster"].iter().chain(words);
    match Cli::parse_from(all).command {
        Command::Cluster(args) => args,
        _ => unreachable!("cluster was asked for"),
    }
}

fn resolve(words: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
    let env = env
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Settings::resolve(&args(words), env).map_err(|failure| match failure {
        Failure::Usage(error) | Failure::Storage(error) => format!("{error:#}"),
        other => format!("another failure: {other:?}"),
    })
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.toml");
    std::fs::write(
        &path,
        "validators = 5\nhospitals = 3\nrelatives = 7\nload_records_per_s = 2\n",
    )
    .unwrap();
    let config = path.to_str().unwrap();
    let env = [
        ("KITHKIN_CLUSTER_HOSPITALS", "4"),
        ("KITHKIN_CLUSTER_RELATIVES", "9"),
        ("KITHKIN_CLUSTER_DATA", "2026"),
        ("KITHKIN_CLUSTER_PROFILE", "hardened"),
        ("KITHKIN_SOMETHING_ELSE", "is not ours"),
    ];
    let settings = resolve(&["--config", config, "--relatives", "11"], &env).unwrap();
    assert_eq!(settings.shape.validators, 5, "file");
    assert_eq!(settings.shape.hospitals, 4, "environment over file");
    assert_eq!(settings.shape.relatives, 11, "flag over environment");
    assert_eq!(settings.shape.patients, 3, "default");
    assert_eq!(settings.shape.profile, Profile::Hardened);
    assert_eq!(settings.data, Some(PathBuf::from("2026")));
    assert_eq!(settings.load.unwrap().records_per_s, 2.0);
}

#[test]
fn the_preset_says_what_the_defaults_are() {
    let preset = concat!(env!("CARGO_MANIFEST_DIR"), "/config/cluster.toml");
    let with = resolve(&["--config", preset], &[]).unwrap();
    let without = resolve(&[], &[]).unwrap();
    assert_eq!(with.shape, without.shape);
    assert_eq!(with.timing, without.timing);
    assert_eq!(with.seed, without.seed);
    assert_eq!(with.quota, without.quota);
    assert_eq!(with.check_in_flight_max, without.check_in_flight_max);
    let large = concat!(env!("CARGO_MANIFEST_DIR"), "/config/cluster-large.toml");
    let large = resolve(&["--config", large], &[]).unwrap();
    assert_eq!((large.shape.validators, large.shape.relatives), (40, 9));
    assert!(large.timing.base_ms > with.timing.base_ms);
    let text = std::fs::read_to_string(preset).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let is_key = line.trim_start_matches("# ").contains(" = ");
        assert!(
            !is_key || lines[at - 1].starts_with("# "),
            "no comment: {line}"
        );
    }
}

#[test]
fn mistakes_are_named_where_they_were_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong.toml");
    std::fs::write(&path, "validators = 4\nnurses = 3\n").unwrap();
    let error = resolve(&["--config", path.to_str().unwrap()], &[]).unwrap_err();
    assert!(
        error.contains("wrong.toml") && error.contains("nurses"),
        "{error}"
    );

    let error = resolve(&[], &[("KITHKIN_CLUSTER_VALIDATORS", "many")]).unwrap_err();
    assert!(error.contains("KITHKIN_CLUSTER_VALIDATORS=many"), "{error}");
    let error = resolve(&[], &[("KITHKIN_CLUSTER_NURSES", "1")]).unwrap_err();
    assert!(error.contains("NURSES"), "{error}");

    let error = resolve(&["--validators", "0"], &[]).unwrap_err();
    assert!(error.contains("at least one validator"), "{error}");
    let error = resolve(&["--relatives", "2"], &[]).unwrap_err();
    assert!(error.contains("3 to 64 relatives, not 2"), "{error}");
    let error = resolve(&["--load", "1", "--patients", "0"], &[]).unwrap_err();
    assert!(error.contains("--patients"), "{error}");
    let error = resolve(&["--check"], &[]).unwrap_err();
    assert!(error.contains("--data"), "{error}");
}

#[test]
fn few_validators_are_warned_about() {
    for (count, words) in [("1", "nobody checks"), ("2", "all 2"), ("3", "all 3")] {
        let warning = resolve(&["--validators", count], &[]).unwrap().warning();
        assert!(warning.unwrap().contains(words), "{count}");
    }
    assert_eq!(
        resolve(&["--validators", "4"], &[]).unwrap().warning(),
        None
    );
}

#[test]
fn the_archive_is_a_folder_or_a_bucket_and_credentials_come_from_the_environment() {
    assert_eq!(resolve(&[], &[]).unwrap().archive, None);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.toml");
    let config = path.to_str().unwrap();
    std::fs::write(&path, "archive_url = \"/srv/archive\"\n").unwrap();
    let folder = Place::Folder(PathBuf::from("/srv/archive"));
    let settings = resolve(&["--config", config], &[]).unwrap();
    assert_eq!(settings.archive, Some(folder));

    let file = "archive_url = \"s3://sealed/ward\"\narchive_endpoint = \"http://127.0.0.1:9000\"\n";
    std::fs::write(&path, file).unwrap();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEKEY01"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
    ];
    let error = resolve(&["--config", config], &keys).unwrap_err();
    assert!(error.contains("archive_allow_http = true"), "{error}");
    let http = ("KITHKIN_CLUSTER_ARCHIVE_ALLOW_HTTP", "true");
    let error = resolve(&["--config", config], &[http]).unwrap_err();
    assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    let settings = resolve(&["--config", config], &[http, keys[0], keys[1]]).unwrap();
    let Some(Place::S3(s3)) = &settings.archive else {
        panic!("{:?}", settings.archive);
    };
    assert_eq!(s3.to_string(), "s3://sealed/ward at http://127.0.0.1:9000");
    assert!(!format!("{settings:?}").contains("wJalr"));

    std::fs::write(&path, "archive_secret = \"wJalrXUtnFEMI\"\n").unwrap();
    let error = resolve(&["--config", config], &[]).unwrap_err();
    assert!(error.contains("archive_secret"), "{error}");
}
