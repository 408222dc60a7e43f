//! The port to Redis: transactions, and queries that determine their outcome.
//!
//! A transaction is reported entry by entry, never as a single yes or no, so that no code above assumes that all
//! keys of a transaction are on one node. On a single server it is one `MULTI … EXEC`; in a cluster each stream has its
//! own, and a query is cut into commands, each of which goes to the node of its key.

pub mod address;
mod address_error;
pub mod address_map;
pub mod cluster;
mod connection;
pub mod digests;
pub mod epoch_file;
pub mod fault;
pub mod guard;
pub mod hosts;
pub mod link;
mod lookup;
pub mod pages;
pub mod replication;
pub mod resp;
pub mod sentinel;
pub mod tenure;
pub mod unsuitable;

use address::Address;
pub use connection::{RedisConnection, Refused};
use fault::StoreFault;
pub use lookup::EntryStatus;
pub use replication::Identity;
use resp::{Commands, Reply};

use crate::supervisor::Heartbeat;

/// Redis over successive connections, each opened on demand.
#[derive(Debug)]
pub struct Store {
    address: Address,
    connection: Option<RedisConnection>,
    /// Number of connections so far.
    generation: u64,
    beat: Heartbeat,
}

impl Store {
    /// Creates a store for `address`.
    #[must_use]
    pub fn new(address: Address) -> Store {
        Store { address, connection: None, generation: 0, beat: Heartbeat::default() }
    }

    /// Calls `beat` whenever bytes are sent or received.
    #[must_use]
    pub fn with_beat(self, beat: Heartbeat) -> Store {
        Store { beat, ..self }
    }

    /// Returns the present connection, or a new one.
    pub async fn connection(&mut self) -> Result<&mut RedisConnection, StoreFault> {
        let mut present = self.connection.take();
        let is_usable = present.as_mut().is_some_and(RedisConnection::is_usable);
        let connection = if let Some(mut present) = present.filter(|_| is_usable) {
            if present.find_away().await {
                self.generation += 1;
            }
            present
        } else {
            self.generation += 1;
            RedisConnection::open(&self.address, &self.beat).await?
        };
        Ok(self.connection.insert(connection))
    }

    /// Verifies that the present connection leads to the master, or to all of them; otherwise the next query opens
    /// another. For queries alone: whoever writes relies on the watch.
    pub async fn verify(&self) -> Result<(), StoreFault> {
        if self.address.has_replicas() {
            self.address.locate().await?;
        }
        Ok(())
    }

    /// Returns the number of the present connection, or of a new one: on another, another Redis may respond, or the
    /// same one with less than before.
    pub async fn connect(&mut self) -> Result<u64, StoreFault> {
        self.connection().await?;
        Ok(self.generation)
    }

    /// Sends a query over a connection of its own and returns the first string of its reply, which may have any size.
    pub async fn first_text(&mut self, question: &Commands) -> Result<Option<String>, StoreFault> {
        RedisConnection::open(&self.address, &self.beat).await?.first_text(question).await
    }

    /// Sends queries over the present connection, or a new one.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        self.connection().await?.ask(commands, accept).await
    }
}
