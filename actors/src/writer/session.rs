//! The session with Redis as types: a new connection permits no writes, only
//! [reconciliation](Connected::reconcile).

use std::time::{Duration, Instant};

use super::reconciler::Reconciler;
use super::store::address::Address;
use super::store::cluster::connection::ReachableSlots;
use super::store::fault::StoreFault;
use super::store::replication::ServerInfo;
use super::store::{Identity, RedisConnection};
use crate::supervisor::Heartbeat;

/// Interval at which a server is checked: whether it is still the same and accepts writes.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The state of the session.
#[derive(Debug, Default)]
pub enum RedisSession {
    /// No connection.
    #[default]
    Away,
    /// Connected; Redis may have less or more than before.
    Connected(Connected),
    /// Reconciled; Redis has what it had.
    Reconciled(Reconciled),
}

/// A connection that does not permit writes yet.
#[derive(Debug)]
pub struct Connected(RedisConnection);

/// A connection that permits writes.
#[derive(Debug)]
pub struct Reconciled {
    connection: RedisConnection,
    /// By node of a cluster.
    servers: Vec<(String, Identity)>,
    looked_at: Instant,
}

impl RedisSession {
    /// Ends a session whose connection was closed meanwhile, as Redis does with idle ones: nothing was in flight.
    pub fn drop_closed(&mut self) {
        let is_usable = match self {
            RedisSession::Away => true,
            RedisSession::Connected(Connected(connection)) => connection.is_usable(),
            RedisSession::Reconciled(session) => session.is_usable(),
        };
        if !is_usable {
            *self = RedisSession::Away;
        }
    }
}

impl Connected {
    /// Connects and authenticates.
    pub async fn open(address: &Address, beat: &Heartbeat) -> Result<Connected, StoreFault> {
        RedisConnection::open(address, beat).await.map(Connected)
    }

    /// Returns the IP addresses and ports, or the path, that it is connected to.
    #[must_use]
    pub fn peer(&self) -> String {
        self.0.peer()
    }

    /// Ensures that Redis has what it had before.
    pub async fn reconcile(mut self, reconciler: &mut Reconciler) -> Result<Reconciled, StoreFault> {
        let asked = Instant::now();
        let servers = self.0.servers().await?;
        reconciler.restore(&mut self.0).await?;
        reconciler.replicas.forget();
        reconciler.note_replicas(asked, &servers, self.0.has_away());
        Ok(Reconciled { connection: self.0, servers: identities(servers), looked_at: Instant::now() })
    }

    /// Checks whether Redis accepts writes.
    pub async fn probe(mut self, prefix: &str) -> Result<Connected, StoreFault> {
        self.0.servers().await?;
        self.0.probe(prefix).await?;
        Ok(self)
    }
}

impl Reconciled {
    /// Whether the connection may still be used.
    #[must_use]
    pub fn is_usable(&mut self) -> bool {
        self.connection.is_usable()
    }

    /// Returns the connection, for queries.
    pub fn connection(&mut self) -> &mut RedisConnection {
        &mut self.connection
    }

    /// Whether a node of a cluster is away.
    #[must_use]
    pub fn has_away(&self) -> bool {
        self.connection.has_away()
    }

    /// Whether some slots of a cluster cannot be written to.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.connection.reach() != ReachableSlots::All
    }

    /// Tries to connect to the nodes that are away. If one has come, it has to be reconciled first.
    pub async fn find_away(mut self) -> RedisSession {
        if self.connection.find_away().await {
            RedisSession::Connected(Connected(self.connection))
        } else {
            RedisSession::Reconciled(self)
        }
    }

    /// Whether the next check of the server is due.
    #[must_use]
    pub fn is_to_be_looked_at(&self) -> bool {
        self.looked_at.elapsed() >= LOOK_EVERY
    }

    /// Checks whether they are still the same servers and accept writes. Others have to be reconciled first.
    pub async fn look(mut self, reconciler: &mut Reconciler) -> Result<RedisSession, StoreFault> {
        let asked = Instant::now();
        let servers = self.connection.servers().await?;
        self.connection.probe(reconciler.prefix()).await?;
        self.looked_at = Instant::now();
        // a node that is away has not changed
        let is_known = |(node, info): &(String, ServerInfo)| {
            self.servers.iter().any(|(known, identity)| known == node && *identity == info.identity)
        };
        if servers.iter().all(is_known) {
            reconciler.note_replicas(asked, &servers, self.connection.has_away());
            Ok(RedisSession::Reconciled(self))
        } else {
            Ok(RedisSession::Connected(Connected(self.connection)))
        }
    }
}

fn identities(servers: Vec<(String, ServerInfo)>) -> Vec<(String, Identity)> {
    servers.into_iter().map(|(node, info)| (node, info.identity)).collect()
}
