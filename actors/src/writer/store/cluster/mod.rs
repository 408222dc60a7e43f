//! The nodes of a Redis Cluster, and which of them owns which slot.
//!
//! Every node tells the map of the slots as it knows it, with the epoch of the cluster, which each failover raises. The map
//! of the highest epoch counts, and none of a lower epoch than the highest one seen is believed: a node that was replaced
//! and comes back names itself as a master until others reach it. A node is written to only during its [`Tenure`].

pub mod connection;
mod exchange;
pub mod queries;
pub mod slots;
pub mod units;
pub mod url;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use self::slots::{Node, SlotMap};
use self::url::ClusterUrl;
use super::epoch_file::EpochFile;
use super::fault::StoreFault;
use super::link::{AddressError, Endpoint, Link};
use super::resp::{Bound, Commands, Reply};
use super::tenure::{Tenure, Tenures};
use crate::settings::RedisSettings;
use crate::supervisor::Heartbeat;
use crate::sync::lock;

/// Timeout of a node that is asked for the map: they are asked all at once, and more than half suffice.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// Age up to which a map is used without asking again; it is asked for more often while the service runs.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// Maximum number of nodes asked for the map: those of the URL, then masters, then replicas.
const MAX_ASKED: usize = 32;
/// Size of the answer to `CLUSTER SLOTS`: each slot by itself in the worst case, with some nodes each.
const SLOTS_ANSWER: Bound = Bound { bytes: 8 * 1024 * 1024, items: 1024 * 1024 };

/// What is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    /// The map; `None` before the first answer.
    pub map: Option<Arc<SlotMap>>,
    /// The highest epoch seen.
    pub epoch: u64,
    /// Failovers since the first answer.
    pub failovers: u64,
    /// Why the last question had no answer.
    pub fault: Option<StoreFault>,
    confirmed_at: Option<Instant>,
}

/// Open connections to nodes, by their address.
#[derive(Debug, Default)]
pub struct NodeLinks(HashMap<String, Link>);

/// What one node says.
#[derive(Debug)]
struct Testimony {
    map: SlotMap,
    epoch: u64,
    /// Whether it takes commands.
    is_ok: bool,
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    seeds: Vec<Endpoint>,
    view: Mutex<ClusterView>,
    /// The tenure of each master.
    tenures: Mutex<BTreeMap<Node, Tenures>>,
    /// Ends whenever a master is replaced.
    changes: Tenures,
    stale: Notify,
    file: OnceLock<EpochFile>,
}

impl Cluster {
    /// Prepares to ask the nodes of a URL.
    pub fn new(url: &ClusterUrl, settings: &RedisSettings) -> Result<Cluster, AddressError> {
        let seeds = url.seeds.iter().map(|seed| Endpoint::new(seed, settings));
        Ok(Cluster {
            seeds: seeds.collect::<Result<_, _>>()?,
            view: Mutex::default(),
            tenures: Mutex::default(),
            changes: Tenures::default(),
            stale: Notify::new(),
            file: OnceLock::new(),
        })
    }

    /// Returns hosts and ports of the URL, separated by commas.
    #[must_use]
    pub fn hosts(&self) -> String {
        self.seeds.iter().map(Endpoint::host).collect::<Vec<_>>().join(",")
    }

    /// Returns the nodes of the URL.
    #[must_use]
    pub fn seeds(&self) -> &[Endpoint] {
        &self.seeds
    }

    /// Returns the credentials and the encryption of all nodes, at one of them.
    pub fn template(&self) -> Result<&Endpoint, StoreFault> {
        self.seeds.first().ok_or_else(|| StoreFault::Unreachable("the URL names no node".to_owned()))
    }

    /// Returns a node with its credentials.
    pub fn endpoint(&self, node: &Node) -> Result<Endpoint, StoreFault> {
        Ok(self.template()?.at(&node.host, node.port))
    }

    /// Reads the highest epoch from `path`, and writes it there from now on.
    pub fn remember(&self, path: PathBuf) -> io::Result<()> {
        let file = EpochFile::new(path, format!("cluster {}", self.hosts()));
        let highest = file.read()?;
        let mut view = lock(&self.view);
        view.epoch = view.epoch.max(highest);
        drop(self.file.set(file));
        Ok(())
    }

    /// Returns the file of the highest epoch with that epoch, if it is to be kept.
    #[must_use]
    pub fn to_remember(&self) -> Option<(EpochFile, u64)> {
        let file = self.file.get()?.clone();
        Some((file, lock(&self.view).epoch))
    }

    /// Returns what is known of the cluster.
    #[must_use]
    pub fn view(&self) -> ClusterView {
        lock(&self.view).clone()
    }

    /// Returns a tenure that ends whenever a master is replaced.
    #[must_use]
    pub fn changes(&self) -> Tenure {
        self.changes.present()
    }

    /// Returns the present tenure of a node.
    #[must_use]
    pub fn tenure_of(&self, node: &Node) -> Tenure {
        lock(&self.tenures).entry(node.clone()).or_default().present()
    }

    /// Announces that a node has sent a command elsewhere: the map is asked for again.
    pub fn is_stale(&self) {
        lock(&self.view).confirmed_at = None;
        self.stale.notify_one();
    }

    /// Waits until the map is stale.
    pub async fn until_stale(&self) {
        self.stale.notified().await;
    }

    /// Returns the map, asked for unless it is fresh.
    pub async fn map(&self) -> Result<Arc<SlotMap>, StoreFault> {
        let fresh = {
            let view = lock(&self.view);
            view.map.clone().filter(|_| view.confirmed_at.is_some_and(|at| at.elapsed() < FRESH_FOR))
        };
        match fresh {
            Some(map) => Ok(map),
            None => self.poll(&mut NodeLinks::default()).await,
        }
    }

    /// Asks the nodes for the map.
    pub async fn poll(&self, links: &mut NodeLinks) -> Result<Arc<SlotMap>, StoreFault> {
        let nodes = self.to_ask()?;
        let majority = nodes.len() / 2 + 1;
        let asked = nodes.into_iter().map(|endpoint| {
            let link = links.0.remove(&endpoint.host());
            async move {
                let answer = timeout(ASK_LIMIT, ask(&endpoint, link)).await;
                let late =
                    || Err(StoreFault::Unanswered(format!("{endpoint}: no answer within {ASK_LIMIT:?}")));
                (endpoint.host(), answer.unwrap_or_else(|_| late()))
            }
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        let (mut testimonies, mut faults) = (Vec::new(), Vec::new());
        while let Some((host, answer)) = answers.next().await {
            match answer {
                Ok((testimony, link)) => {
                    testimonies.push(testimony);
                    links.0.insert(host, link);
                }
                Err(fault) => faults.push(fault),
            }
            // one that hangs holds up nobody
            if testimonies.len() >= majority {
                break;
            }
        }
        self.note(testimonies, faults)
    }

    /// Returns the nodes to ask: those of the URL and all that are known.
    fn to_ask(&self) -> Result<Vec<Endpoint>, StoreFault> {
        let map = lock(&self.view).map.clone();
        let mut nodes: Vec<Endpoint> = self.seeds.clone();
        let mut known: BTreeSet<String> = nodes.iter().map(Endpoint::host).collect();
        for node in map.iter().flat_map(|map| map.masters().iter().chain(map.replicas())) {
            let endpoint = self.endpoint(node)?;
            if nodes.len() < MAX_ASKED && known.insert(endpoint.host()) {
                nodes.push(endpoint);
            }
        }
        Ok(nodes)
    }

    /// Draws the conclusion from the answers, and ends the tenures of masters that were replaced.
    fn note(&self, testimonies: Vec<Testimony>, faults: Vec<StoreFault>) -> Result<Arc<SlotMap>, StoreFault> {
        let rank = |testimony: &Testimony| (testimony.epoch, testimony.is_ok, testimony.map.covered());
        let mut view = lock(&self.view);
        let best = match testimonies.into_iter().max_by_key(rank) {
            Some(best) if best.epoch < view.epoch => Err(self.outdated(best.epoch, view.epoch)),
            Some(best) if best.map.masters().is_empty() => {
                Err(StoreFault::Unreachable("the cluster has no slots yet".to_owned()))
            }
            Some(best) => Ok(best),
            None => Err(faults
                .into_iter()
                .min_by_key(|fault| !matches!(fault, StoreFault::Refused { .. }))
                .unwrap_or_else(|| StoreFault::Unreachable("no node was asked".to_owned()))),
        };
        let best = match best {
            Ok(best) => best,
            Err(fault) => {
                view.fault = Some(fault.clone());
                return Err(fault);
            }
        };
        (view.epoch, view.fault, view.confirmed_at) = (best.epoch, None, Some(Instant::now()));
        if let Some(before) = view.map.as_ref().filter(|before| ***before == best.map) {
            return Ok(Arc::clone(before));
        }
        let map = Arc::new(best.map);
        if let Some(before) = view.map.replace(Arc::clone(&map)) {
            let replaced = before.replaced_in(&map);
            view.failovers += replaced.len() as u64;
            let mut tenures = lock(&self.tenures);
            tenures.retain(|node, tenure| {
                let is_master = map.masters().contains(node);
                if !is_master {
                    tenure.end();
                }
                is_master
            });
            if !replaced.is_empty() {
                self.changes.end();
            }
        }
        Ok(map)
    }

    /// Returns the fault of a node whose epoch is lower than the highest one seen.
    #[must_use]
    pub fn outdated(&self, epoch: u64, highest: u64) -> StoreFault {
        let place = self.file.get().map_or("the state of this process (restart it)".to_owned(), |file| {
            file.path().display().to_string()
        });
        StoreFault::Unreachable(format!(
            "the cluster is in epoch {epoch} there, but {highest} was seen: the node has been replaced. If the cluster \
             was set up anew, remove {place}"
        ))
    }
}

async fn ask(endpoint: &Endpoint, link: Option<Link>) -> Result<(Testimony, Link), StoreFault> {
    let mut link = match link {
        Some(link) => link,
        None => endpoint.connect(&Heartbeat::default()).await?,
    };
    let mut questions = Commands::default();
    questions.command(&[b"CLUSTER", b"SLOTS"]).command(&[b"CLUSTER", b"INFO"]).expect(SLOTS_ANSWER);
    let (mut map, mut info) = (SlotMap::default(), ClusterInfo::default());
    let mut position = 0;
    let host = endpoint.host_name();
    link.ask(&questions, |reply| {
        position += 1;
        match (position, reply) {
            (_, Reply::Error(text)) => return Err(StoreFault::refused(text)),
            (1, reply) => {
                map = SlotMap::of(&reply, host).map_err(|error| StoreFault::Unanswered(error.to_string()))?;
            }
            (_, reply) => info = ClusterInfo::of(&reply),
        }
        Ok(())
    })
    .await?;
    Ok((Testimony { map, epoch: info.epoch, is_ok: info.is_ok }, link))
}

/// What a node says in `CLUSTER INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The highest epoch that it knows; 0 if it does not tell.
    pub epoch: u64,
    /// Whether it takes commands.
    pub is_ok: bool,
}

impl ClusterInfo {
    /// Reads the answer.
    #[must_use]
    pub fn of(reply: &Reply<'_>) -> ClusterInfo {
        let Reply::Bulk(Some(text)) = reply else { return ClusterInfo::default() };
        let text = String::from_utf8_lossy(text);
        let field = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| *key == name)
                .map(|(_, v)| v.trim())
        };
        ClusterInfo {
            epoch: field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default(),
            is_ok: field("cluster_state") == Some("ok"),
        }
    }
}

#[cfg(test)]
mod tests;
