//! From a batch of events to the commands of one transaction.
//!
//! For every event one `XADD` with its ID into each of its streams. Only the last one into a stream carries the cap: inside
//! a transaction nobody sees the stream between. Without streams a transaction is empty, and tells that Redis is there.

use super::store::resp::{Commands, id_text};
use super::streams::{Entry, Streams};
use crate::queue::batch::EventBatch;

/// What is kept of a command buffer between transactions: a usual transaction of 512 trades.
const KEEP_BYTES: usize = 512 * 1024;

/// The commands of one transaction; its memory is used again for the next.
#[derive(Debug, Default)]
pub struct Transaction {
    commands: Commands,
    /// The positions of the last entry of each stream.
    lasts: Vec<usize>,
}

impl Transaction {
    /// Encodes the commands that write these entries of a batch, `MULTI` to `EXEC`, in their order.
    pub fn encode(&mut self, batch: &EventBatch, entries: &[Entry], streams: &mut Streams) {
        for (position, entry) in entries.iter().enumerate() {
            streams.get_mut(entry.stream).last_entry = position;
        }
        self.lasts.clear();
        self.commands.clear(KEEP_BYTES);
        self.commands.command(&[b"MULTI"]);
        for (position, entry) in entries.iter().enumerate() {
            let slot = streams.get(entry.stream);
            let head = if slot.last_entry == position {
                self.lasts.push(position);
                &slot.xadd_capped
            } else {
                &slot.xadd
            };
            self.commands
                .begin_encoded(head)
                .arg(id_text(entry.id).as_ref())
                .arg(b"payload")
                .arg(&entry.of(batch).0.payload);
        }
        self.commands.command(&[b"EXEC"]);
    }

    /// What [`Transaction::encode`] made.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// The last entry of each stream, by its position.
    #[must_use]
    pub fn lasts(&self) -> &[usize] {
        &self.lasts
    }
}

#[cfg(test)]
mod tests;
