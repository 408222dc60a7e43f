//! The URL of Redis, with the meaning that redis-py gives it: the fetcher reads the same text.
//!
//! The source is `parse_url` in `redis/connection.py`: the database of the query takes precedence over that of the path,
//! credentials before the host over those of the query, and percent-encoding is decoded everywhere. Refused here, where
//! redis-py guesses: a path that is not one number, the host of a Unix socket, and an unknown key.

use std::borrow::Cow;
use std::path::PathBuf;

use deadpool_redis::redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, RedisResult,
};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;
use uw_websocket_core::settings::Secret;

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 6379;
/// Stands for an absent host.
const NO_HOST: &str = "no-host.invalid";

/// Keys of redis-py about its own objects: pools, time-outs, decoding. They have no meaning here.
const IGNORED: [&str; 31] = [
    "cache",
    "cache_config",
    "client_name",
    "command_packer",
    "connection_class",
    "credential_provider",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "event_dispatcher",
    "health_check_interval",
    "legacy_responses",
    "lib_name",
    "lib_version",
    "maint_notifications_config",
    "max_connections",
    "parser_class",
    "protocol",
    "redis_connect_func",
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "single_connection_client",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "socket_read_size",
    "socket_timeout",
    "socket_type",
    "timeout",
    "auto_close_connection_pool",
];

/// Keys of redis-py about certificates, which the service trusts by its own settings.
const OF_TLS: [&str; 16] = [
    "ssl",
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_exclude_verify_flags",
    "ssl_include_verify_flags",
    "ssl_keyfile",
    "ssl_min_version",
    "ssl_ocsp_context",
    "ssl_ocsp_expected_cert",
    "ssl_password",
    "ssl_validate_ocsp",
];

/// Why a text is not a URL of Redis. Never contains the text, which may hold a password.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RedisUrlError {
    /// Not a URL, or of another scheme.
    #[error("must be a URL that begins with redis://, rediss://, unix:// or redis+unix://{0}")]
    Scheme(String),
    /// With `#…`.
    #[error("must not have a fragment (`#…`); to trust another certificate set TLS_CA_FILE")]
    Fragment,
    /// The path or `db` is not a number.
    #[error("must name the database by a number, such as redis://localhost:6379/0 or ?db=0")]
    Database,
    /// A Unix socket without an absolute path.
    #[error("must name the absolute path of the socket, with three slashes: unix:///run/redis.sock")]
    Path,
    /// An address without a listener.
    #[error("0.0.0.0 is not the address of a server")]
    Unspecified,
    /// A part that is not UTF-8 once it is decoded.
    #[error("must be UTF-8 text once its percent-encoding is decoded")]
    NotText,
    /// A key of the query that redis-py does not know.
    #[error("has the unknown key `{0}` in its query; redis-py knows db, username and password")]
    UnknownKey(String),
    /// A part of the query without a value, which is not shown.
    #[error("has a part without a value in its query, which must be NAME=value")]
    NoKey,
    /// A key of the query that belongs to another part.
    #[error("must not have `{0}` in its query: write it before the `?`")]
    Misplaced(&'static str),
}

/// The location of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
    /// A host name or address without brackets, and a port.
    Tcp(String, u16),
    /// The same with TLS.
    Tls(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// A URL of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// The location of the server.
    pub place: RedisPlace,
    /// The user to log in as.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database.
    pub database: u32,
    /// Keys about certificates, which are not used.
    pub unused_tls_keys: Vec<String>,
}

impl RedisUrl {
    /// Parses a URL as redis-py does.
    pub fn parse(text: &str) -> Result<RedisUrl, RedisUrlError> {
        let with_host = with_host(text);
        let url = Url::parse(&with_host).map_err(|error| RedisUrlError::Scheme(format!(": {error}")))?;
        let is_unix = match url.scheme() {
            "redis" | "rediss" => false,
            "unix" | "redis+unix" => true,
            _ => return Err(RedisUrlError::Scheme(String::new())),
        };
        if url.fragment().is_some() {
            return Err(RedisUrlError::Fragment);
        }
        let query = Query::read(&url, is_unix)?;
        let username = decoded(url.username())?;
        let password = url.password().map(decoded).transpose()?.unwrap_or_default();
        let filled =
            |own: String, of_query: Option<String>| Some(own).filter(|own| !own.is_empty()).or(of_query);
        let password = filled(password, query.password).map(Secret::new);
        let place = if is_unix { unix_place(&url)? } else { tcp_place(&url)? };
        let database = match query.database {
            Some(database) => database,
            None if is_unix => 0,
            None => database_of_path(url.path())?,
        };
        let username = filled(username, query.username);
        Ok(RedisUrl { place, username, password, database, unused_tls_keys: query.unused_tls_keys })
    }

    /// Converts it for the client library.
    pub fn connection_info(&self) -> RedisResult<ConnectionInfo> {
        let addr = match &self.place {
            RedisPlace::Tcp(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
            RedisPlace::Tls(host, port) => {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            }
            RedisPlace::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let mut login = RedisConnectionInfo::default().set_db(self.database.into());
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = self.password_to_send() {
            login = login.set_password(password);
        }
        Ok(addr.into_connection_info()?.set_redis_settings(login))
    }

    /// Returns the password to log in with: empty for a user without one.
    #[must_use]
    pub fn password_to_send(&self) -> Option<&str> {
        match (&self.username, &self.password) {
            (_, Some(password)) => Some(password.reveal()),
            (Some(_), None) => Some(""),
            (None, None) => None,
        }
    }
}

/// Whether a key of the query has no meaning here, so that its value is no secret.
#[must_use]
pub fn is_without_meaning(name: &str) -> bool {
    IGNORED.contains(&name)
}

/// The keys of the query that have a meaning.
#[derive(Debug, Default)]
struct Query {
    database: Option<u32>,
    username: Option<String>,
    password: Option<String>,
    unused_tls_keys: Vec<String>,
}

impl Query {
    /// Reads the first value of each key; one without a value counts as absent.
    fn read(url: &Url, is_unix: bool) -> Result<Query, RedisUrlError> {
        let mut query = Query::default();
        for (name, value) in url.query_pairs() {
            // decoded twice, as redis-py does
            let value = Some(decoded(&value)?).filter(|value| !value.is_empty());
            match &*name {
                "db" => {
                    let number = value.map(|value| value.trim().parse().map_err(|_| RedisUrlError::Database));
                    query.database = query.database.or(number.transpose()?);
                }
                "username" => query.username = query.username.or(value),
                "password" => query.password = query.password.or(value),
                // what earlier releases took for a Unix socket
                "user" if is_unix => query.username = query.username.or(value),
                "pass" if is_unix => query.password = query.password.or(value),
                "host" => return Err(RedisUrlError::Misplaced("host")),
                "port" => return Err(RedisUrlError::Misplaced("port")),
                "path" => return Err(RedisUrlError::Misplaced("path")),
                name if OF_TLS.contains(&name) => query.unused_tls_keys.push(name.to_owned()),
                name if IGNORED.contains(&name) => {}
                name if value.is_some() => return Err(RedisUrlError::UnknownKey(name.to_owned())),
                // may be a password
                _ => return Err(RedisUrlError::NoKey),
            }
        }
        Ok(query)
    }
}

/// Returns `unix://user:password@/path` with a host, which the parser demands after credentials.
fn with_host(text: &str) -> Cow<'_, str> {
    let parts = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once("@/")?)));
    match parts {
        Some((scheme @ ("unix" | "redis+unix"), (user, path))) if !user.contains('/') => {
            Cow::Owned(format!("{scheme}://{user}@{NO_HOST}/{path}"))
        }
        _ => Cow::Borrowed(text),
    }
}

fn unix_place(url: &Url) -> Result<RedisPlace, RedisUrlError> {
    // without the third slash a part of the path is where other URLs have the host, and redis-py drops it
    let has_host = url.host_str().is_some_and(|host| !host.is_empty() && host != NO_HOST);
    let path = decoded(url.path())?;
    if has_host || path.trim_matches('/').is_empty() {
        return Err(RedisUrlError::Path);
    }
    Ok(RedisPlace::Unix(path.into()))
}

fn tcp_place(url: &Url) -> Result<RedisPlace, RedisUrlError> {
    let host = decoded(url.host_str().unwrap_or_default())?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    let host = if host.is_empty() { DEFAULT_HOST } else { host };
    if host == "0.0.0.0" || host == "::" {
        return Err(RedisUrlError::Unspecified);
    }
    let port = url.port().unwrap_or(DEFAULT_PORT);
    Ok(match url.scheme() {
        "rediss" => RedisPlace::Tls(host.to_owned(), port),
        _ => RedisPlace::Tcp(host.to_owned(), port),
    })
}

fn database_of_path(path: &str) -> Result<u32, RedisUrlError> {
    match decoded(path)?.trim_matches('/') {
        "" => Ok(0),
        number => number.parse().map_err(|_| RedisUrlError::Database),
    }
}

fn decoded(text: &str) -> Result<String, RedisUrlError> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| RedisUrlError::NotText)
}

#[cfg(test)]
mod tests;
