//! Redis connections outside event processing: a small pool for the startup check, for `ws:status`, for Redis' facts
//! about itself, and for the janitor.

use std::net::SocketAddr;
use std::time::Duration;

use deadpool_redis::redis::io::AsyncDNSResolver;
use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisFuture,
    TlsCertificates,
};
use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use thiserror::Error;

use crate::dial;
use crate::observation::RedisFacts;
use crate::redis_url::RedisUrl;
use crate::settings::RedisSettings;
use crate::supervisor::Heartbeat;
use crate::tls;
use crate::writer::store::RedisConnection;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::link::{Address, AddressError};

/// Maximum number of connections: one for the status, one held by the janitor for a round, one for all others.
const CONNECTIONS: usize = 3;
/// Maximum wait for a connection or a reply: every request is repeated anyway, so none is worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(2);
/// The oldest Redis version with all stream features used.
const OLDEST: (u32, u32) = (6, 2);

/// A failure of the startup check.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Redis does not answer. The service waits for it.
    #[error("redis is not reachable: {0}")]
    Unreachable(String),
    /// Redis refuses the credentials or grants too few permissions: waiting does not help.
    #[error("redis refuses the credentials of REDIS_URL: {0}")]
    Credentials(String),
    /// Redis has no database of this number.
    #[error("redis does not have the database of REDIS_URL: {0}")]
    NoDatabase(String),
    /// Redis is too old.
    #[error("redis {0} is too old: 6.2 or newer is needed")]
    TooOld(String),
}

/// Creates a client for exclusive connections. Does not connect yet.
pub fn client(settings: &RedisSettings) -> Result<Client, AddressError> {
    Client::open(connection_info(settings)?).map_err(|error| wrong(&error))
}

/// Returns the configuration of a connection; the client tries all addresses of a name at once.
#[must_use]
pub fn connection_config(connect: Duration, answer: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect))
        .set_response_timeout(Some(answer))
        .set_dns_resolver(Resolver)
}

/// Resolves names like the writers.
struct Resolver;

impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let addresses = dial::resolve(host, port).await?;
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

/// Creates a pool. Does not connect yet.
pub fn pool(settings: &RedisSettings) -> Result<Pool, AddressError> {
    let info = connection_info(settings)?;
    let config = connection_config(PATIENCE, PATIENCE);
    let manager = Manager::new_with_config(info, config).map_err(|error| wrong(&error))?;
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(PATIENCE))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| AddressError::Client(error.to_string()))
}

fn connection_info(settings: &RedisSettings) -> Result<ConnectionInfo, AddressError> {
    let url = RedisUrl::parse(settings.url.reveal())?;
    let mut info = url.connection_info().map_err(|error| wrong(&error))?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        // the same roots as the writers': the library would replace its roots with the given ones
        let roots = tls::roots_pem(settings.extra_root_pem.as_deref());
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(roots) };
        let client = Client::build_with_tls(info, certificates).map_err(|error| wrong(&error))?;
        info = client.get_connection_info().clone();
    }
    Ok(info)
}

fn wrong(error: &RedisError) -> AddressError {
    AddressError::Client(error.detail().unwrap_or("it cannot be parsed").to_owned())
}

/// Checks once that Redis is reachable, grants access and is new enough; returns its version. The writers' kind of
/// connection is tried first, since it reports a refusal in Redis' own words.
pub async fn check(address: &Address, prefix: &str, pool: &Pool) -> Result<String, CheckError> {
    let refusal = match probe(address, prefix).await {
        Ok(()) => None,
        Err(StoreFault::Refused { refusal: Refusal::NoAuth, text }) => {
            return Err(CheckError::Credentials(text));
        }
        Err(StoreFault::Refused { refusal: Refusal::NoDatabase, text }) => {
            return Err(CheckError::NoDatabase(text));
        }
        // an old Redis does not know the probe: its version is checked before this is reported
        Err(StoreFault::Refused { text, .. }) => Some(text),
        Err(fault) => return Err(CheckError::Unreachable(fault.to_string())),
    };
    let version = match (version(pool).await, &refusal) {
        (Ok(version), _) => version,
        (Err(CheckError::Unreachable(_)), Some(text)) => return Err(CheckError::Unreachable(text.clone())),
        (Err(error), _) => return Err(error),
    };
    // Valkey keeps `redis_version` at 7.2.4 for clients that check it
    if parse_version(&version).is_some_and(|version| version < OLDEST) {
        return Err(CheckError::TooOld(version));
    }
    refusal.map_or(Ok(version), |text| Err(CheckError::Unreachable(text)))
}

/// Returns why a connection is refused, in the words of the server or of a proxy, which this library does not keep.
pub async fn words(address: &Address) -> Option<String> {
    let opened = RedisConnection::open(address, &Heartbeat::default()).await;
    opened.err().map(|fault| fault.to_string())
}

async fn probe(address: &Address, prefix: &str) -> Result<(), StoreFault> {
    RedisConnection::open(address, &Heartbeat::default()).await?.probe(prefix).await
}

/// Returns the version as reported by Redis.
async fn version(pool: &Pool) -> Result<String, CheckError> {
    let mut connection = pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => explain(&error),
        other => CheckError::Unreachable(other.to_string()),
    })?;
    let asked = redis::cmd("INFO").arg("server").query_async(&mut connection).await;
    let server: String = match asked {
        Ok(server) => server,
        // a user with minimal permissions may not query this, but can still write
        Err(error) if error.code() == Some("NOPERM") => String::new(),
        Err(error) => return Err(explain(&error)),
    };
    let version = server.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("unknown").trim().to_owned())
}

/// Queries Redis about itself; facts that it does not report are `None`.
pub async fn ask_facts(pool: &Pool) -> RedisFacts {
    let asked = async {
        let mut connection = pool.get().await.ok()?;
        let mut sections = redis::pipe();
        // two commands: Redis accepts several sections in one only since 7.0
        sections.cmd("INFO").arg("server").cmd("INFO").arg("memory");
        let (server, memory): (String, String) = sections.query_async(&mut connection).await.ok()?;
        Some(RedisFacts::parse(&(server + &memory)))
    };
    asked.await.unwrap_or_default()
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn explain(error: &RedisError) -> CheckError {
    let code = error.code().unwrap_or_default();
    let is_credentials =
        error.kind() == ErrorKind::AuthenticationFailed || matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM");
    let text = error.to_string();
    if is_credentials { CheckError::Credentials(text) } else { CheckError::Unreachable(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(parse_version("7.0.15"), Some((7, 0)));
        assert!(parse_version("6.0.16").unwrap() < OLDEST);
        assert!(parse_version("10.0.1").unwrap() > OLDEST);
        assert_eq!(parse_version("unknown"), None);
    }
}
