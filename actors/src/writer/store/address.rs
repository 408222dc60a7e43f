//! The address of Redis, and the one place where it becomes a connection.
//!
//! What a user of Redis gets is a connection to the server that may be written to now. Which one that is, under
//! Sentinel, is decided here and nowhere else: every connection carries the [`Tenure`] of its server.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::cluster::Cluster;
use super::cluster::url::ClusterUrl;
use super::fault::{Refusal, StoreFault};
use super::link::{AddressError, Endpoint, Link};
use super::resp::{Commands, Reply};
use super::sentinel::Sentinels;
use super::sentinel::url::SentinelUrl;
use super::tenure::Tenure;
use crate::settings::RedisSettings;
use crate::supervisor::Heartbeat;

/// The file of the highest epoch of the Sentinels.
const SENTINEL_EPOCH: &str = "sentinel";
/// The file of the highest epoch of a cluster.
const CLUSTER_EPOCH: &str = "cluster";

/// The address of Redis; cheap to clone.
#[derive(Clone, Debug)]
pub enum Address {
    /// A single server.
    Single(Arc<Endpoint>),
    /// The master that Sentinels name.
    Sentinel(Arc<Sentinels>),
    /// The nodes of a cluster.
    Cluster(Arc<Cluster>),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Single(endpoint) => endpoint.fmt(f),
            Address::Sentinel(sentinels) => {
                let scheme = if sentinels.is_tls() { "rediss+sentinel" } else { "redis+sentinel" };
                write!(f, "{scheme}://{}/{}", sentinels.hosts(), sentinels.name())
            }
            Address::Cluster(cluster) => {
                let is_tls = cluster.seeds().iter().any(Endpoint::is_tls);
                let scheme = if is_tls { "rediss+cluster" } else { "redis+cluster" };
                write!(f, "{scheme}://{}", cluster.hosts())
            }
        }
    }
}

impl Address {
    /// Parses the settings.
    pub fn new(settings: &RedisSettings) -> Result<Address, AddressError> {
        let url = settings.url.reveal();
        match (SentinelUrl::parse(url), ClusterUrl::parse(url)) {
            (Some(url), _) => {
                let url = url.map_err(AddressError::Sentinel)?;
                Ok(Address::Sentinel(Arc::new(Sentinels::new(&url, settings)?)))
            }
            (None, Some(url)) => {
                let url = url.map_err(AddressError::Cluster)?;
                Ok(Address::Cluster(Arc::new(Cluster::new(&url, settings)?)))
            }
            (None, None) => Ok(Address::Single(Arc::new(Endpoint::new(url, settings)?))),
        }
    }

    /// Returns the Sentinels, if there are any.
    #[must_use]
    pub fn sentinels(&self) -> Option<&Arc<Sentinels>> {
        match self {
            Address::Single(_) | Address::Cluster(_) => None,
            Address::Sentinel(sentinels) => Some(sentinels),
        }
    }

    /// Returns the cluster, if it is one.
    #[must_use]
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        match self {
            Address::Single(_) | Address::Sentinel(_) => None,
            Address::Cluster(cluster) => Some(cluster),
        }
    }

    /// Whether there are replicas even if none is connected.
    #[must_use]
    pub fn has_replicas(&self) -> bool {
        !matches!(self, Address::Single(_))
    }

    /// Returns hosts and ports as the nodes or the Sentinels last named them.
    #[must_use]
    pub fn announced(&self) -> Vec<(String, u16)> {
        match self {
            Address::Single(_) => Vec::new(),
            Address::Sentinel(sentinels) => {
                sentinels.view().master.map(|master| (master.host, master.port)).into_iter().collect()
            }
            Address::Cluster(cluster) => {
                let map = cluster.view().map.unwrap_or_default();
                let nodes = map.masters().iter().chain(map.replicas());
                nodes.map(|node| (node.host.clone(), node.port)).collect()
            }
        }
    }

    /// Returns the addresses of all masters, for what concerns each of them, such as its keys; of a single one its own.
    pub async fn masters(&self) -> Result<Vec<Address>, StoreFault> {
        let Address::Cluster(cluster) = self else { return Ok(vec![self.clone()]) };
        let map = cluster.map().await?;
        let address = |node| Ok(Address::Single(Arc::new(cluster.endpoint(node)?)));
        map.masters().iter().map(address).collect()
    }

    /// Keeps what must be known after a restart in a folder: the highest epoch.
    pub fn remember(&self, folder: &Path) -> io::Result<()> {
        match self {
            Address::Single(_) => Ok(()),
            Address::Sentinel(sentinels) => sentinels.remember(folder.join(SENTINEL_EPOCH)),
            Address::Cluster(cluster) => cluster.remember(folder.join(CLUSTER_EPOCH)),
        }
    }

    /// Returns the server to use now, and its tenure; of a cluster one of the masters.
    pub async fn locate(&self) -> Result<(Endpoint, Tenure), StoreFault> {
        match self {
            Address::Single(endpoint) => Ok((Endpoint::clone(endpoint), Tenure::default())),
            Address::Sentinel(sentinels) => Ok(sentinels.locate().await?),
            Address::Cluster(cluster) => {
                let map = cluster.map().await?;
                let no_master = || StoreFault::Unreachable("the cluster has no master".to_owned());
                let node = map.masters().first().ok_or_else(no_master)?;
                Ok((cluster.endpoint(node)?, cluster.tenure_of(node)))
            }
        }
    }

    /// Connects and authenticates. Under Sentinel the server must be a master in its own eyes too.
    pub async fn connect(&self, beat: &Heartbeat) -> Result<Link, StoreFault> {
        let mut link = self.connect_to_any_role(beat).await?;
        if self.sentinels().is_some() {
            verify_role(&mut link).await?;
        }
        Ok(link)
    }

    /// Connects and authenticates, to examine the server: it may be a replica.
    pub async fn connect_to_any_role(&self, beat: &Heartbeat) -> Result<Link, StoreFault> {
        let (endpoint, tenure) = self.locate().await?;
        let mut ends = tenure.clone();
        tokio::select! {
            biased;
            link = endpoint.connect(beat) => Ok(link?.during(tenure)),
            () = ends.ended() => {
                Err(StoreFault::Unreachable(format!("{endpoint}: another server has become the master")))
            }
        }
    }

    /// Returns the present tenure without asking anybody.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        match self {
            Address::Single(_) => Tenure::default(),
            Address::Sentinel(sentinels) => sentinels.tenure(),
            Address::Cluster(cluster) => cluster.changes(),
        }
    }

    /// Returns the user that logs in to Redis; `None` is `default`.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let endpoint: Option<&Endpoint> = match self {
            Address::Single(endpoint) => Some(endpoint),
            Address::Sentinel(sentinels) => Some(sentinels.redis()),
            Address::Cluster(cluster) => cluster.seeds().first(),
        };
        endpoint.and_then(|endpoint| endpoint.info().redis_settings().username())
    }
}

/// Refuses a server that is not a master in its own eyes, or does not tell.
async fn verify_role(link: &mut Link) -> Result<(), StoreFault> {
    let mut question = Commands::default();
    question.command(&[b"INFO", b"replication"]);
    link.ask(&question, |reply| match reply {
        Reply::Bulk(Some(info)) if String::from_utf8_lossy(info).contains("role:master") => Ok(()),
        Reply::Error(text) => Err(StoreFault::refused(text)),
        _ => {
            let text = "READONLY it is a replica, though the Sentinels name it as the master".to_owned();
            Err(StoreFault::Refused { refusal: Refusal::ReadOnly, text })
        }
    })
    .await
}
