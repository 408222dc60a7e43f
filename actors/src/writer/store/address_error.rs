//! Addresses of Redis that cannot be used.

use thiserror::Error;

use crate::redis_url::RedisUrlError;
use crate::tls::TlsError;

/// The reason why the settings give no address of Redis.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The URL is invalid. Its text may contain a password and is not repeated.
    #[error("REDIS_URL is not a Redis URL: it {0}")]
    Url(#[from] RedisUrlError),
    /// The URL of a master under Sentinel is invalid.
    #[error("REDIS_URL is not the URL of a master under Sentinel: it {0}")]
    Sentinel(String),
    /// The URL of a cluster is invalid.
    #[error("REDIS_URL is not the URL of a Redis Cluster: it {0}")]
    Cluster(String),
    /// The client library cannot be set up for it.
    #[error("REDIS_URL cannot be used: {0}")]
    Client(String),
    /// `TLS_CA_FILE` is unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
