//! Redis connections outside event processing: a small pool for the startup check, for `ws:status`, for Redis' facts
//! about itself, and for the janitor.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_redis::redis::io::AsyncDNSResolver;
use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, RedisFuture, TlsCertificates,
};
use deadpool_redis::{Hook, HookError, Manager, Pool, PoolError, Runtime};
use thiserror::Error;
use tokio::time::timeout;

use crate::cluster_pool::{ClusterPool, PooledConnection};
use crate::dial;
use crate::observation::RedisFacts;
use crate::settings::RedisSettings;
use crate::supervisor::Heartbeat;
use crate::sync::lock;
use crate::tls;
use crate::writer::store::RedisConnection;
use crate::writer::store::address::Address;
use crate::writer::store::cluster::slots::SlotMap;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::guard;
use crate::writer::store::link::{AddressError, Endpoint};
use crate::writer::store::tenure::Tenure;
use crate::writer::store::unsuitable::Unsuitable;

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
    /// The server can never serve: waiting does not help.
    #[error("REDIS_URL names a server that cannot be used: {0}")]
    Unsuitable(#[from] Unsuitable),
    /// Redis has no database of this number.
    #[error("redis does not have the database of REDIS_URL: {0}")]
    NoDatabase(String),
    /// Redis is too old.
    #[error("redis {0} is too old: 6.2 or newer is needed")]
    TooOld(String),
}

/// Connections to the server that may be used now; cheap to clone. Another master is another pool, and the connections
/// to the previous one are not used again.
#[derive(Clone)]
pub struct RedisPool {
    address: Address,
    extra_root_pem: Option<Arc<[u8]>>,
    present: Arc<Mutex<Option<(Tenure, Pool)>>>,
    cluster: Option<ClusterPool>,
}

impl RedisPool {
    /// Creates a pool. Does not connect yet.
    pub fn new(address: &Address, settings: &RedisSettings) -> Result<RedisPool, AddressError> {
        let extra_root_pem = settings.extra_root_pem.as_deref().map(Arc::from);
        let cluster = address.cluster().map(|cluster| ClusterPool::new(Arc::clone(cluster), PATIENCE));
        let pool = RedisPool { address: address.clone(), extra_root_pem, present: Arc::default(), cluster };
        if let Address::Single(endpoint) = address {
            let tenure = Tenure::default();
            let connections = pool.build(endpoint, &tenure)?;
            *lock(&pool.present) = Some((tenure, connections));
        }
        Ok(pool)
    }

    /// Returns a connection to the present server, or to all nodes of a cluster.
    pub async fn get(&self) -> Result<PooledConnection, PoolError> {
        match &self.cluster {
            Some(cluster) => cluster.get().await.map_err(|fault| unreachable(fault.to_string())),
            None => Ok(PooledConnection::Server(self.pool().await?.get().await?)),
        }
    }

    /// Returns the slots of a cluster, if it is one and they are known.
    #[must_use]
    pub fn slots(&self) -> Option<Arc<SlotMap>> {
        self.address.cluster()?.view().map
    }

    /// Drops the connections if Redis refused because it is a replica: another server may be behind the same address.
    pub fn note(&self, error: &RedisError) {
        if Refusal::of(error.code().unwrap_or_default()) == Refusal::ReadOnly {
            *lock(&self.present) = None;
        }
    }

    async fn pool(&self) -> Result<Pool, PoolError> {
        if let Some((tenure, pool)) = &*lock(&self.present)
            && !tenure.is_over()
        {
            return Ok(pool.clone());
        }
        let located = timeout(PATIENCE, self.address.locate()).await;
        let (endpoint, tenure) = match located {
            Ok(Ok(located)) => located,
            Ok(Err(fault)) => return Err(unreachable(fault.to_string())),
            Err(_) => return Err(unreachable(format!("no master is known within {PATIENCE:?}"))),
        };
        let pool = self.build(&endpoint, &tenure).map_err(|error| unreachable(error.to_string()))?;
        *lock(&self.present) = Some((tenure, pool.clone()));
        Ok(pool)
    }

    fn build(&self, endpoint: &Endpoint, tenure: &Tenure) -> Result<Pool, AddressError> {
        let info = connection_info(endpoint, self.extra_root_pem.as_deref())?;
        let config = connection_config(PATIENCE, PATIENCE);
        let manager = Manager::new_with_config(info, config).map_err(|error| wrong(&error))?;
        let (address, tenure) = (self.address.clone(), tenure.clone());
        let verify = Hook::async_fn(move |_, _| Box::pin(verified(address.clone(), tenure.clone())));
        Pool::builder(manager)
            .post_create(verify)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .recycle_timeout(Some(PATIENCE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| AddressError::Client(error.to_string()))
    }
}

/// Returns the configuration of a connection; the client tries all addresses of a name at the same time.
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

/// Verifies of a new connection, before it is used, that its server is still the master: the pool may open one long after
/// the address was found.
async fn verified(address: Address, tenure: Tenure) -> Result<(), HookError> {
    if address.sentinels().is_none() {
        return Ok(());
    }
    match address.locate().await {
        Ok((_, present)) if present.is(&tenure) => Ok(()),
        Ok(_) => Err(HookError::message("another server has become the master")),
        Err(fault) => Err(HookError::message(fault.to_string())),
    }
}

fn unreachable(text: String) -> PoolError {
    PoolError::Backend(RedisError::from((ErrorKind::Io, "no server to connect to", text)))
}

fn connection_info(
    endpoint: &Endpoint,
    extra_root_pem: Option<&[u8]>,
) -> Result<ConnectionInfo, AddressError> {
    let info = endpoint.info().clone();
    if !endpoint.is_tls() {
        return Ok(info);
    }
    // the same roots as the writers': the library would replace its roots with the given ones
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(tls::roots_pem(extra_root_pem)) };
    let client = Client::build_with_tls(info, certificates).map_err(|error| wrong(&error))?;
    Ok(client.get_connection_info().clone())
}

fn wrong(error: &RedisError) -> AddressError {
    AddressError::Client(error.detail().unwrap_or("it cannot be parsed").to_owned())
}

/// Checks once that Redis is reachable, grants access and is new enough; returns its version. The writers' kind of
/// connection is tried first, since it reports a refusal in Redis' own words.
pub async fn check(address: &Address, prefix: &str, pool: &RedisPool) -> Result<String, CheckError> {
    match guard::examine(address, prefix).await {
        Ok(Some(Unsuitable::NoDatabase(text))) => return Err(CheckError::NoDatabase(text)),
        Ok(Some(unsuitable)) => return Err(unsuitable.into()),
        Err(fault @ (StoreFault::Unreachable(_) | StoreFault::Unanswered(_) | StoreFault::TooLarge(_))) => {
            return Err(CheckError::Unreachable(fault.to_string()));
        }
        // a refusal is reported by the probe
        Ok(None) | Err(StoreFault::Refused { .. }) => {}
    }
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
    let mut connection = RedisConnection::open(address, &Heartbeat::default()).await?;
    connection.servers().await?;
    if connection.has_away() {
        return Err(connection.away_fault());
    }
    connection.probe(prefix).await
}

/// Returns the version as reported by Redis.
async fn version(pool: &RedisPool) -> Result<String, CheckError> {
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

/// Queries Redis about itself; facts that it does not report are `None`. Of a cluster they are those of the fullest node.
pub async fn ask_facts(pool: &RedisPool) -> RedisFacts {
    let asked = async {
        let mut connection = pool.get().await.ok()?;
        // two commands: Redis accepts several sections in one only since 7.0
        let infos = connection.of_each_node(&[&["INFO", "server"], &["INFO", "memory"]]).await.ok()?;
        let facts = infos.iter().map(|(_, texts)| RedisFacts::parse(&texts.concat()));
        facts.max_by(|one, other| one.fullness().total_cmp(&other.fullness()))
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
