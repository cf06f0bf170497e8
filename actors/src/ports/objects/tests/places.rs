//! Settings of a place: what they mean, and what is said about those that mean nothing.

use super::super::place::Credentials;
use super::*;

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEKEY01"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG"),
];

fn settings(url: &str) -> PlaceSettings {
    PlaceSettings {
        url: Some(url.to_owned()),
        ..PlaceSettings::default()
    }
}

fn at(url: &str, endpoint: &str) -> PlaceSettings {
    PlaceSettings {
        endpoint: Some(endpoint.to_owned()),
        ..settings(url)
    }
}

fn check(settings: &PlaceSettings, env: &[(&str, &str)]) -> Result<Option<Place>, PlaceError> {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    settings.check(env)
}

#[test]
fn folders_and_buckets_are_told_apart() {
    assert_eq!(check(&PlaceSettings::default(), &KEYS), Ok(None));
    for (url, path) in [
        ("archive", "archive"),
        ("/srv/archive", "/srv/archive"),
        ("file:///srv/archive", "/srv/archive"),
    ] {
        let folder = Place::Folder(PathBuf::from(path));
        assert_eq!(check(&settings(url), &[]), Ok(Some(folder)), "{url}");
    }
    for (url, prefix, shown) in [
        ("s3://sealed", "", "s3://sealed"),
        ("s3://sealed/", "", "s3://sealed"),
        ("s3://sealed/a/b", "a/b", "s3://sealed/a/b"),
    ] {
        let Ok(Some(Place::S3(s3))) = check(&settings(url), &KEYS) else {
            panic!("{url}");
        };
        assert_eq!((s3.bucket.as_str(), s3.prefix.as_ref()), ("sealed", prefix));
        assert_eq!(s3.to_string(), shown);
        assert_eq!((s3.endpoint, s3.allow_http), (None, false));
    }
}

#[test]
fn the_file_wins_over_the_environment_for_the_endpoint() {
    let env = [
        KEYS[0],
        KEYS[1],
        ("AWS_ENDPOINT_URL", "https://one.example"),
    ];
    let endpoint = |settings: &PlaceSettings| match check(settings, &env) {
        Ok(Some(Place::S3(s3))) => s3.endpoint,
        other => panic!("{other:?}"),
    };
    let named = Some("https://one.example".to_owned());
    assert_eq!(endpoint(&settings("s3://sealed")), named);
    let other = Some("https://two.example:9000".to_owned());
    assert_eq!(
        endpoint(&at("s3://sealed", "https://two.example:9000")),
        other
    );
}

#[test]
fn mistakes_say_what_to_do() {
    let url = |url: &str| check(&settings(url), &KEYS).expect_err("a mistake");
    let endpoint = |url: &str| check(&at("s3://sealed", url), &KEYS).expect_err("a mistake");
    let stray = check(&at("/srv/archive", "https://one.example"), &[]);
    let unused = PlaceSettings {
        region: Some("eu-central-1".to_owned()),
        ..PlaceSettings::default()
    };
    let half = check(&settings("s3://sealed"), &KEYS[..1]);
    let other_half = check(&settings("s3://sealed"), &KEYS[1..]);
    let none = check(
        &at("s3://sealed", "https://one.example"),
        &[("AWS_ACCESS_KEY_ID", "")],
    );
    for (error, words) in [
        (url("gs://sealed"), "gs://"),
        (url(""), "write a folder"),
        (url("file://sealed"), "write a folder"),
        (url("s3://"), "3 to 63"),
        (url("s3://Sealed/a"), "'Sealed'"),
        (url("s3://sealed/a//b"), "a//b"),
        (url("s3://me:password@sealed/a"), "environment"),
        (endpoint("minio:9000"), "https://minio.example:9000"),
        (
            endpoint("https://one.example/?a=b"),
            "https://minio.example:9000",
        ),
        (endpoint("https://me:password@one.example"), "environment"),
        (
            endpoint("https://me:password@one.example:port"),
            "environment",
        ),
        (endpoint("http://one.example"), "archive_allow_http = true"),
        (stray.expect_err("a mistake"), "archive_endpoint"),
        (
            check(&unused, &[]).expect_err("a mistake"),
            "archive_region",
        ),
        (half.expect_err("a mistake"), "AWS_SECRET_ACCESS_KEY"),
        (other_half.expect_err("a mistake"), "AWS_ACCESS_KEY_ID"),
        (none.expect_err("a mistake"), "AWS_ACCESS_KEY_ID"),
    ] {
        let text = error.to_string();
        assert!(text.contains(words), "{words}: {text}");
        assert!(!text.contains("password@"), "{text}");
    }
    let plain = PlaceSettings {
        allow_http: Some(true),
        ..at("s3://sealed", "http://127.0.0.1:9000")
    };
    assert!(check(&plain, &KEYS).is_ok());
    // Amazon's own machines give keys to whoever runs on them.
    assert!(check(&settings("s3://sealed"), &[]).is_ok());
}

#[test]
fn credentials_are_not_printed() {
    let place = check(&settings("s3://sealed"), &KEYS).expect("good");
    let place = place.expect("a place");
    let objects = Objects::open(&place).expect("opens");
    let text = format!("{place:?} {place:#?} {objects:?} {objects}");
    for (name, value) in KEYS {
        assert!(text.contains(name) && !text.contains(value), "{text}");
    }
    let Place::S3(s3) = place else {
        panic!("{place:?}");
    };
    let credentials: &Credentials = &s3.credentials;
    let (sent, shown) = (
        format!("<AWSAccessKeyId>{}</AWSAccessKeyId>", KEYS[0].1),
        "<AWSAccessKeyId><redacted></AWSAccessKeyId>",
    );
    assert_eq!(credentials.redact(&sent), shown);
}
