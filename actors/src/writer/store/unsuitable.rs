//! Servers that can never serve this service, whatever is waited for.

use thiserror::Error;

/// The reason why the server at `REDIS_URL` is the wrong one, and what to write instead.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unsuitable {
    /// A node of a Redis Cluster, and a URL of a single server.
    #[error(
        "it is a node of a Redis Cluster: set REDIS_URL=redis+cluster://HOST:PORT,… with some of its nodes \
         (rediss+cluster:// for TLS)"
    )]
    ClusterNode,
    /// A Redis Cluster, and a database that it does not have.
    #[error(
        "a Redis Cluster has no database but 0: set REDIS_URL=redis+cluster://HOST:PORT,… with some of its nodes, \
         and tell desks apart by KEY_PREFIX"
    )]
    ClusterDatabase,
    /// A server outside of any cluster, and a URL of a cluster.
    #[error("it is no node of a Redis Cluster: write redis:// for a single server ({0})")]
    NoCluster(String),
    /// A Sentinel, which stores nothing; with the masters that it monitors.
    #[error("it is a Sentinel, which stores nothing: set REDIS_URL=redis+sentinel://{host}/{}", masters.join("|"))]
    Sentinel {
        /// Host and port of the Sentinel.
        host: String,
        /// Names of the masters that it monitors; `NAME` if it does not tell.
        masters: Vec<String>,
    },
    /// Sentinels that do not monitor a master of this name.
    #[error(
        "the Sentinels monitor no master `{0}`: the name after the hosts must be that of `sentinel monitor`"
    )]
    UnknownMaster(String),
    /// A server where a Sentinel should be.
    #[error("{0} is no Sentinel: list the Sentinels, or write redis:// for a single server")]
    NoSentinel(String),
    /// A proxy, or another server, that does not know `MULTI`.
    #[error(
        "it does not support transactions (MULTI): {0}; set REDIS_URL to the server itself, not to a proxy"
    )]
    NoTransactions(String),
    /// The server has fewer databases.
    #[error("it does not have the database of REDIS_URL: {0}")]
    NoDatabase(String),
}
