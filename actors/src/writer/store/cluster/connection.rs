//! Connections to all masters of a cluster, used like one.
//!
//! A node that cannot be reached is *away*: what needs it fails, all else goes on. It is connected to in the background,
//! so that one that hangs holds up nobody.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use uw_websocket_core::slots::{SLOTS, slot_of};

use super::slots::{Node, SlotMap};
use super::{Cluster, ClusterInfo};
use crate::supervisor::Heartbeat;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::link::Link;
use crate::writer::store::resp::{Commands, Reply};

/// Timeout of a connection with the examination of its node, which have shorter timeouts each.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// Time for which the other nodes are waited for when one is connected; and a node whose connection was just lost.
const GRACE: Duration = Duration::from_millis(500);
/// Interval between attempts to connect to a node that is away.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// Keys tried to find one in a slot of a node: ten times as many as a node of a single slot needs on average.
const PROBED_KEYS: u32 = 10 * SLOTS as u32;

type Opened = (Node, Result<Link, StoreFault>);

/// Connections to the masters of a cluster.
#[derive(Debug)]
pub struct ClusterConnection {
    pub(super) cluster: Arc<Cluster>,
    pub(super) map: Arc<SlotMap>,
    /// Slots that have another owner than in the map, as nodes say.
    pub(super) moved: HashMap<u16, Node>,
    pub(super) links: BTreeMap<Node, Link>,
    away: BTreeMap<Node, Away>,
    opening: JoinSet<Opened>,
    beat: Heartbeat,
}

/// A node that is not connected.
#[derive(Debug)]
struct Away {
    fault: StoreFault,
    /// The last attempt; `None` before the first.
    tried_at: Option<Instant>,
    is_opening: bool,
}

/// Which slots have a node that is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReachableSlots {
    /// All, as on a single server.
    #[default]
    All,
    /// Those that are `true`.
    Some(Vec<bool>),
}

impl ReachableSlots {
    /// Whether a slot can be written to.
    #[must_use]
    pub fn has(&self, slot: u16) -> bool {
        match self {
            ReachableSlots::All => true,
            ReachableSlots::Some(slots) => slots.get(usize::from(slot)).copied().unwrap_or_default(),
        }
    }
}

impl ClusterConnection {
    /// Connects to all masters; some may be away. Calls `beat` whenever bytes are sent or received.
    pub async fn open(cluster: &Arc<Cluster>, beat: &Heartbeat) -> Result<ClusterConnection, StoreFault> {
        let mut connection = ClusterConnection {
            map: cluster.map().await?,
            cluster: Arc::clone(cluster),
            moved: HashMap::new(),
            links: BTreeMap::new(),
            away: BTreeMap::new(),
            opening: JoinSet::new(),
            beat: beat.clone(),
        };
        connection.adopt();
        connection.start_opening();
        let began = Instant::now();
        loop {
            beat.beat();
            match timeout(GRACE, connection.opening.join_next()).await {
                Ok(Some(opened)) => {
                    connection.take(opened);
                }
                Err(_) if connection.links.is_empty() && began.elapsed() < OPEN_LIMIT => {}
                Ok(None) | Err(_) => break,
            }
        }
        if connection.links.is_empty() {
            return Err(connection.fault().unwrap_or_else(|| not_connected("no node")));
        }
        Ok(connection)
    }

    /// Returns the addresses of the connected nodes.
    #[must_use]
    pub fn peers(&self) -> String {
        self.links.values().map(|link| &*link.peer).collect::<Vec<_>>().join(",")
    }

    /// Returns the connected nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.links.keys()
    }

    /// Whether any node is connected. Notes connections that were closed meanwhile, and another map.
    pub fn is_usable(&mut self) -> bool {
        let is_closed =
            |(node, link): (&Node, &mut Link)| (!link.is_current() || !link.is_open()).then(|| node.clone());
        let closed: Vec<Node> = self.links.iter_mut().filter_map(is_closed).collect();
        for node in closed {
            self.links.remove(&node);
            let fault = not_connected(&node);
            self.lose(node, fault);
        }
        self.adopt();
        !self.links.is_empty()
    }

    /// Whether a node is away.
    #[must_use]
    pub fn has_away(&self) -> bool {
        !self.away.is_empty()
    }

    /// Returns why a node is away, or a slot is; `None` if none is.
    #[must_use]
    pub fn fault(&self) -> Option<StoreFault> {
        let of_node = self.away.values().next().map(|away| away.fault.clone());
        let uncovered = || {
            let text = format!("{} of {SLOTS} slots have no node", usize::from(SLOTS) - self.map.covered());
            (self.map.covered() < usize::from(SLOTS)).then_some(StoreFault::Unreachable(text))
        };
        of_node.or_else(uncovered)
    }

    /// Returns why a node is not connected.
    pub(super) fn fault_of(&self, node: &Node) -> StoreFault {
        self.away.get(node).map_or_else(|| not_connected(node), |away| away.fault.clone())
    }

    /// Returns the owner of a slot.
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<&Node> {
        self.moved.get(&slot).or_else(|| self.map.owner(slot))
    }

    /// Returns which slots can be written to.
    #[must_use]
    pub fn reach(&self) -> ReachableSlots {
        if self.away.is_empty() && self.map.covered() == usize::from(SLOTS) {
            return ReachableSlots::All;
        }
        let is_linked = |slot| self.owner(slot).is_some_and(|node| self.links.contains_key(node));
        ReachableSlots::Some((0..SLOTS).map(is_linked).collect())
    }

    /// Returns a key of the service in a slot of this node; `None` if none is found.
    #[must_use]
    pub(super) fn key_at(&self, node: &Node, prefix: &str) -> Option<String> {
        let keys = (0..PROBED_KEYS).map(|number| format!("{prefix}:ws:probe:{number}"));
        let first = format!("{prefix}:ws:probe");
        std::iter::once(first).chain(keys).find(|key| self.owner(slot_of(key.as_bytes())) == Some(node))
    }

    /// Tries to connect to the nodes that are away; returns whether one has come.
    pub async fn find_away(&mut self) -> bool {
        if self.away.is_empty() {
            return false;
        }
        let was_just_lost = self.away.values().any(|away| away.tried_at.is_none());
        // without an answer the known map is tried
        drop(self.cluster.map().await);
        self.adopt();
        self.start_opening();
        let mut has_come = false;
        if was_just_lost && let Ok(Some(opened)) = timeout(GRACE, self.opening.join_next()).await {
            has_come |= self.take(opened);
        }
        while let Some(opened) = self.opening.try_join_next() {
            has_come |= self.take(opened);
        }
        has_come
    }

    /// Notes that a node is not connected.
    pub(super) fn lose(&mut self, node: Node, fault: StoreFault) {
        self.cluster.is_stale();
        self.away.insert(node, Away { fault, tried_at: None, is_opening: false });
    }

    /// Notes what a node says of the owner of a slot.
    pub(super) fn note_moved(&mut self, slot: u16, node: &Node) {
        self.cluster.is_stale();
        self.moved.insert(slot, node.clone());
        self.note_target(node);
    }

    /// Notes a node that commands are sent to, which may be in no map yet.
    pub(super) fn note_target(&mut self, node: &Node) {
        if !self.links.contains_key(node) && !self.away.contains_key(node) {
            self.lose(node.clone(), not_connected(node));
        }
    }

    /// Takes over the present map. Each of its masters is connected or away.
    fn adopt(&mut self) {
        let map = self.cluster.view().map.unwrap_or_else(|| Arc::clone(&self.map));
        if !Arc::ptr_eq(&map, &self.map) {
            self.map = map;
            self.moved.clear();
            let (map, links) = (&self.map, &self.links);
            self.away.retain(|node, _| map.masters().contains(node) && !links.contains_key(node));
        }
        let unknown = |node: &&Node| !self.links.contains_key(*node) && !self.away.contains_key(*node);
        let unknown: Vec<Node> = self.map.masters().iter().filter(unknown).cloned().collect();
        for node in unknown {
            let away = Away { fault: not_connected(&node), tried_at: None, is_opening: false };
            self.away.insert(node, away);
        }
    }

    fn start_opening(&mut self) {
        let is_due =
            |away: &Away| !away.is_opening && away.tried_at.is_none_or(|at| at.elapsed() >= RETRY_EVERY);
        for (node, away) in self.away.iter_mut().filter(|(_, away)| is_due(away)) {
            (away.tried_at, away.is_opening) = (Some(Instant::now()), true);
            let (cluster, node) = (Arc::clone(&self.cluster), node.clone());
            self.opening.spawn(async move {
                let opened = timeout(OPEN_LIMIT, open(&cluster, &node)).await;
                let late =
                    |_| Err(StoreFault::Unreachable(format!("{node}: no connection within {OPEN_LIMIT:?}")));
                let opened = opened.unwrap_or_else(late);
                (node, opened)
            });
        }
    }

    /// Takes the outcome of an attempt; returns whether the node is connected now.
    fn take(&mut self, opened: Result<Opened, JoinError>) -> bool {
        match opened {
            Ok((node, Ok(link))) => {
                // of a node that is no longer wanted the connection is closed
                let is_wanted = self.away.remove(&node).is_some();
                if is_wanted {
                    self.links.insert(node, link.beating(self.beat.clone()));
                }
                is_wanted
            }
            Ok((node, Err(fault))) => {
                let is_owner =
                    self.map.masters().contains(&node) || self.moved.values().any(|of| *of == node);
                match self.away.get_mut(&node) {
                    Some(away) if is_owner => (away.fault, away.is_opening) = (fault, false),
                    // it only had commands of a slot that was being moved
                    _ => drop(self.away.remove(&node)),
                }
                false
            }
            Err(_) => {
                self.away.values_mut().for_each(|away| away.is_opening = false);
                false
            }
        }
    }
}

fn not_connected(node: impl std::fmt::Display) -> StoreFault {
    StoreFault::Unreachable(format!("{node} is not connected"))
}

/// Connects to a node that is a master in its own eyes and knows of every failover that is known.
async fn open(cluster: &Cluster, node: &Node) -> Result<Link, StoreFault> {
    // before the question: a master that is replaced meanwhile is noticed
    let tenure = cluster.tenure_of(node);
    let mut link = cluster.endpoint(node)?.connect(&Heartbeat::default()).await?.during(tenure);
    let mut questions = Commands::default();
    questions.command(&[b"INFO", b"replication"]).command(&[b"CLUSTER", b"INFO"]);
    let (mut position, mut info) = (0, ClusterInfo::default());
    link.ask(&questions, |reply| {
        position += 1;
        match (position, reply) {
            (_, Reply::Error(text)) => return Err(StoreFault::refused(text)),
            (1, Reply::Bulk(Some(text))) if !String::from_utf8_lossy(text).contains("role:master") => {
                let text = format!("READONLY {node} is a replica, though the map names it as a master");
                return Err(StoreFault::Refused { refusal: Refusal::ReadOnly, text });
            }
            (1, _) => {}
            (_, reply) => info = ClusterInfo::of(&reply),
        }
        Ok(())
    })
    .await?;
    let highest = cluster.view().epoch;
    if info.epoch < highest { Err(cluster.outdated(info.epoch, highest)) } else { Ok(link) }
}
