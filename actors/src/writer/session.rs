//! What a writer may do with Redis at a time, as types: over a connection that was just opened nothing can be written, only
//! [reconciled](Connected::reconcile).

use std::time::{Duration, Instant};

use super::reconciler::Reconciler;
use super::store::fault::StoreFault;
use super::store::link::Address;
use super::store::resp::Commands;
use super::store::{Connection, Identity, Refused};
use crate::supervisor::Beat;

/// How often a server is asked whether it is still the same one and takes writes.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The present state.
#[derive(Debug, Default)]
pub enum Session {
    /// There is no connection.
    #[default]
    Away,
    /// There is one, and Redis may have less or more than it had.
    Connected(Connected),
    /// Redis has what it had.
    Reconciled(Reconciled),
}

/// A connection over which nothing may be written.
#[derive(Debug)]
pub struct Connected(Connection);

/// A connection over which may be written.
#[derive(Debug)]
pub struct Reconciled {
    connection: Connection,
    server: Identity,
    looked_at: Instant,
}

impl Connected {
    /// Connects and logs in.
    pub async fn open(address: &Address, beat: &Beat) -> Result<Connected, StoreFault> {
        Connection::open(address, beat).await.map(Connected)
    }

    /// Sees to it that Redis has what it had.
    pub async fn reconcile(mut self, reconciler: &mut Reconciler) -> Result<Reconciled, StoreFault> {
        let server = self.0.identity().await?;
        reconciler.restore(&mut self.0).await?;
        Ok(Reconciled { connection: self.0, server, looked_at: Instant::now() })
    }

    /// Asks whether Redis takes writes.
    pub async fn probe(mut self, prefix: &str) -> Result<Connected, StoreFault> {
        self.0.probe(prefix).await?;
        Ok(self)
    }
}

impl Reconciled {
    /// Whether anything may still go over the connection.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.connection.is_usable()
    }

    /// The connection, to ask something.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Writes commands all or nothing, as far as Redis can: a fault says that nothing was written (or, if unanswered, that
    /// it is unknown); otherwise all but the refused commands were.
    pub async fn transact(&mut self, commands: &Commands) -> Result<Vec<Refused>, StoreFault> {
        self.connection.transact(commands).await
    }

    /// Whether it is time to look at the server again.
    #[must_use]
    pub fn is_to_be_looked_at(&self) -> bool {
        self.looked_at.elapsed() >= LOOK_EVERY
    }

    /// Looks whether it is still the same server and takes writes. Another one is to be reconciled first.
    pub async fn look(mut self, prefix: &str) -> Result<Session, StoreFault> {
        self.connection.probe(prefix).await?;
        let server = self.connection.identity().await?;
        self.looked_at = Instant::now();
        Ok(if server == self.server {
            Session::Reconciled(self)
        } else {
            Session::Connected(Connected(self.connection))
        })
    }
}
