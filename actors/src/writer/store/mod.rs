//! The port to Redis: transactions, and the questions that tell what became of one.
//!
//! A transaction is reported entry by entry and never as one yes or no, so that nothing above this module assumes that
//! all keys of a transaction live on one node. Today there is one node, and a transaction is one `MULTI … EXEC` on it.

mod connection;
pub mod fault;
pub mod link;
mod lookup;
pub mod resp;

pub use connection::{Connection, Identity, Refused};
use fault::StoreFault;
use link::Address;
pub use lookup::EntryStatus;
use resp::{Commands, Reply};

use crate::supervisor::Beat;

/// Redis, through one connection after the other: each is opened when it is needed.
#[derive(Debug)]
pub struct Store {
    address: Address,
    connection: Option<Connection>,
    /// How many connections there have been.
    generation: u64,
    beat: Beat,
}

impl Store {
    /// Redis at `address`.
    #[must_use]
    pub fn new(address: Address) -> Store {
        Store { address, connection: None, generation: 0, beat: Beat::default() }
    }

    /// Proves progress by `beat` whenever Redis takes or gives some bytes.
    #[must_use]
    pub fn with_beat(self, beat: Beat) -> Store {
        Store { beat, ..self }
    }

    /// The present connection, or a new one.
    pub async fn connection(&mut self) -> Result<&mut Connection, StoreFault> {
        let present = self.connection.take().filter(Connection::is_usable);
        let connection = if let Some(connection) = present {
            connection
        } else {
            self.generation += 1;
            Connection::open(&self.address, &self.beat).await?
        };
        Ok(self.connection.insert(connection))
    }

    /// The number of the present connection, or of a new one: over another, another Redis may answer, or the same one with
    /// less than it had.
    pub async fn connect(&mut self) -> Result<u64, StoreFault> {
        self.connection().await?;
        Ok(self.generation)
    }

    /// Asks over the present connection, or a new one.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        self.connection().await?.ask(commands, accept).await
    }
}
