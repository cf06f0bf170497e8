//! Where objects are kept: settings as they are written, and the place that they mean once they are checked.
//!
//! Credentials come from the environment only, under the names that every S3 tool knows; they are never in a file of ours,
//! never printed, and wiped when dropped. The client keeps a copy of its own, which it does not wipe.

use object_store::path::Path;
use reqwest::Url;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What every variable with credentials or other means of access starts with.
const ENV_PREFIX: &str = "AWS_";
const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// Other ways to credentials; the program gets them when it needs them.
const OTHER_WAYS: [&str; 4] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];
/// Where the environment can name an endpoint; the first wins.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
/// A shorter value is none that could be a secret; hiding it would garble messages.
const SECRET_CHARS_MIN: usize = 8;

/// A checked place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A local folder.
    Folder(PathBuf),
    /// An S3-compatible store.
    S3(S3Place),
}

/// A bucket of an S3-compatible store, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    pub(super) bucket: String,
    pub(super) prefix: Path,
    /// None means that of the region.
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) allow_http: bool,
    pub(super) credentials: Credentials,
}

/// Settings of a place as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceSettings {
    /// A folder, `file:///FOLDER`, `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    pub url: Option<String>,
    /// Base URL of a store that is not Amazon's.
    pub endpoint: Option<String>,
    /// The region; when neither this nor the environment names one, `us-east-1`.
    pub region: Option<String>,
    /// Whether the endpoint may be `http`.
    pub allow_http: Option<bool>,
}

/// What is wrong with the settings of a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The URL has a scheme that there is no store for.
    #[error(
        "archive_url begins with {scheme}://, which is no place for an archive; write a folder, s3://BUCKET or s3://BUCKET/PREFIX"
    )]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// Nothing, or no folder.
    #[error("archive_url is '{url}'; write a folder, s3://BUCKET or s3://BUCKET/PREFIX")]
    Url {
        /// What was given.
        url: String,
    },
    /// No bucket can have this name.
    #[error(
        "archive_url names the bucket '{bucket}'; a bucket's name has 3 to 63 small letters, digits, dots and hyphens"
    )]
    Bucket {
        /// What was given.
        bucket: String,
    },
    /// The part behind the bucket is no path.
    #[error(
        "archive_url names the prefix '{prefix}': {reason}; write for example s3://BUCKET/hospital/archive"
    )]
    Prefix {
        /// What was given.
        prefix: String,
        /// Why not.
        reason: String,
    },
    /// A setting of an S3 store without one.
    #[error(
        "{key} is only of use when archive_url begins with s3://; remove it, or set archive_url"
    )]
    Stray {
        /// The setting.
        key: &'static str,
    },
    /// No URL of a server.
    #[error(
        "the archive's endpoint '{endpoint}' is none; write for example https://minio.example:9000"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// A name or password in a URL.
    #[error(
        "a URL of the archive has a user's name or a password in it; they belong in {KEY_ID} and {SECRET_KEY} in the environment"
    )]
    UserInfo,
    /// Unencrypted.
    #[error(
        "the archive's endpoint {endpoint} is not encrypted: whoever is on the way sees and removes objects; use https, or set archive_allow_http = true"
    )]
    PlainHttp {
        /// What was given.
        endpoint: String,
    },
    /// Not enough to sign requests with.
    #[error(
        "the archive is in an S3 store, but {missing} is not set: put it in the environment (it does not belong in a file of settings)"
    )]
    Credentials {
        /// The variable.
        missing: &'static str,
    },
}

impl PlaceSettings {
    /// Checks the settings, with what the environment says about access. None when no place is named: the default.
    ///
    /// # Errors
    /// The first [`PlaceError`] found.
    pub fn check(
        &self,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Place>, PlaceError> {
        let Some(url) = self.url.as_deref() else {
            return self.no_stray().map(|()| None);
        };
        match url.split_once("://") {
            Some(("s3", rest)) => Ok(Some(Place::S3(self.s3(rest, env)?))),
            Some(("file", path)) if path.len() > 1 && path.starts_with('/') => {
                self.no_stray()?;
                Ok(Some(Place::Folder(PathBuf::from(path))))
            }
            Some(("file", _)) => Err(PlaceError::Url {
                url: url.to_owned(),
            }),
            Some((scheme, _)) => Err(PlaceError::Scheme {
                scheme: scheme.to_owned(),
            }),
            None if url.trim().is_empty() => Err(PlaceError::Url {
                url: url.to_owned(),
            }),
            None => {
                self.no_stray()?;
                Ok(Some(Place::Folder(PathBuf::from(url))))
            }
        }
    }

    fn no_stray(&self) -> Result<(), PlaceError> {
        let stray = [
            ("archive_endpoint", self.endpoint.is_some()),
            ("archive_region", self.region.is_some()),
            ("archive_allow_http", self.allow_http.is_some()),
        ];
        match stray.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(PlaceError::Stray { key }),
            None => Ok(()),
        }
    }

    fn s3(
        &self,
        rest: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<S3Place, PlaceError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains(['@', ':']) {
            return Err(PlaceError::UserInfo);
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) {
            let bucket = bucket.to_owned();
            return Err(PlaceError::Bucket { bucket });
        }
        let prefix = Path::parse(prefix).map_err(|error| PlaceError::Prefix {
            prefix: prefix.to_owned(),
            reason: error.to_string(),
        })?;
        let credentials = Credentials::of(env);
        let named = || ENDPOINTS.iter().find_map(|name| credentials.get(name));
        let endpoint = self.endpoint.as_deref().or_else(named).map(str::to_owned);
        let allow_http = self.allow_http.unwrap_or(false);
        if let Some(endpoint) = &endpoint {
            check_endpoint(endpoint, allow_http)?;
        }
        credentials.suffice(endpoint.is_some())?;
        Ok(S3Place {
            bucket: bucket.to_owned(),
            prefix,
            endpoint,
            region: self.region.clone(),
            allow_http,
            credentials,
        })
    }
}

fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), PlaceError> {
    let bad = || PlaceError::Endpoint {
        endpoint: endpoint.to_owned(),
    };
    let url = match Url::parse(endpoint) {
        Ok(url) => url,
        // It may be a URL with a password that a slip has spoilt.
        Err(_) if endpoint.contains('@') => return Err(PlaceError::UserInfo),
        Err(_) => return Err(bad()),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(PlaceError::UserInfo);
    }
    let bare = url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "https" | "http" if !bare || url.host_str().is_none() => Err(bad()),
        "https" => Ok(()),
        "http" if allow_http => Ok(()),
        "http" => Err(PlaceError::PlainHttp {
            endpoint: endpoint.to_owned(),
        }),
        _ => Err(bad()),
    }
}

impl core::fmt::Display for S3Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.as_ref().is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

/// What the environment says about access: variables by name. Wiped when the last copy is dropped, never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Credentials(Arc<Vec<(String, Zeroizing<String>)>>);

impl Credentials {
    fn of(env: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = env
            .into_iter()
            .filter(|(name, value)| name.starts_with(ENV_PREFIX) && !value.is_empty())
            .map(|(name, value)| (name, Zeroizing::new(value)));
        Self(Arc::new(ours.collect()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(of, _)| *of == name)
            .map(|(_, value)| value)
    }

    /// Without keys Amazon's own machines still have a way to some; another store's don't.
    fn suffice(&self, other_store: bool) -> Result<(), PlaceError> {
        let missing = match (self.get(KEY_ID), self.get(SECRET_KEY)) {
            (Some(_), Some(_)) => return Ok(()),
            (None, Some(_)) => KEY_ID,
            (Some(_), None) => SECRET_KEY,
            (None, None) => {
                let elsewhere = OTHER_WAYS.iter().any(|name| self.get(name).is_some());
                if elsewhere || !other_store {
                    return Ok(());
                }
                KEY_ID
            }
        };
        Err(PlaceError::Credentials { missing })
    }

    /// A text from the store or its client without our credentials: some stores send back what they were sent.
    pub(super) fn redact(&self, text: &str) -> String {
        let secret = |name: &str| name.contains("KEY") || name.contains("TOKEN");
        self.iter()
            .filter(|(name, value)| secret(name) && value.len() >= SECRET_CHARS_MIN)
            .fold(text.to_owned(), |text, (_, value)| {
                text.replace(value, "<redacted>")
            })
    }
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
        write!(f, "Credentials({}: <redacted>)", names.join(", "))
    }
}
