//! The client of an S3-compatible store: how often it tries, how long it waits, what it trusts.
//!
//! TLS is rustls with ring, which the network library uses too; what is trusted is what the operating system trusts (and the
//! file that `SSL_CERT_FILE` names). Requests carry the digest of their body under their signature, so a store cannot take in a
//! body that was changed on the way.

use super::error::ObjectsError;
use super::place::S3Place;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, RetryConfig};
use std::time::Duration;

/// How long a connection may take.
const CONNECT_WITHIN: &str = "5s";
/// How long one request may take, with its body: the largest pack over 10 Mbit/s.
const REQUEST_WITHIN: &str = "60s";
/// Tries after the first one, and since when none is begun any more.
const RETRIES_MAX: usize = 4;
const RETRY_WITHIN: Duration = Duration::from_secs(30);
/// First and longest pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Sets the client up; nothing is sent.
pub(super) fn open(place: &S3Place) -> Result<AmazonS3, ObjectsError> {
    // The client takes the process's provider and has none of its own. An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new();
    for (name, value) in place.credentials.iter() {
        // Names that the client doesn't know are somebody else's.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = &place.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &place.endpoint {
        // Of the two that the environment can give, the one for S3 would win.
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    let client = AmazonS3ConfigKey::Client;
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: PAUSE,
            max_backoff: PAUSE_MAX,
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_WITHIN,
    };
    builder
        .with_bucket_name(&place.bucket)
        .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT_WITHIN)
        .with_config(client(ClientConfigKey::Timeout), REQUEST_WITHIN)
        .with_allow_http(place.allow_http)
        // Not every compatible store has the other request; ours are one object at a time.
        .with_disable_bulk_delete(true)
        .with_retry(retry)
        .build()
        .map_err(|error| ObjectsError::Setup {
            place: place.to_string(),
            reason: place.credentials.redact(&error.to_string()),
        })
}
